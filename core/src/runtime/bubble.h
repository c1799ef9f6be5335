// Bubble: goroutines that live in a virtual time of their own (testing::run_virtual()).
//
// A goroutine started by a member is a member. The clock of the bubble stands still while any
// member is active: runs, is on its way to running, or waits for something that the bubble does
// not decide (a descriptor, a channel or a context made outside it). When all are durably blocked,
// the root (the goroutine inside run_virtual(), no member itself) wakes and moves the clock to the
// next timer of the bubble's own heap.
//
// Invariants
//  - active counts members that are not durably blocked, and the root while it runs. Whoever wakes
//    a durably blocked G counts it before it becomes runnable (goready(), ready_in_hook(),
//    finish_timer_work()); gopark() uncounts one only after its hook has published it, or found it
//    woken. So the count is never too low, and the one who brings it to zero sees a bubble in which
//    nobody moves.
//  - Zero is never seen twice: under the same lock the root, or the waiter in testing::wait(), is
//    counted and woken.
//  - now changes only while the root alone is active: members read it without a lock.
//  - Bubbles are never freed, only used again: a timer or a goroutine that was left behind still
//    names one. `id` tells two uses apart.
// Lock order: a bubble's lock is a leaf.
#pragma once

#include <atomic>
#include <cstdint>

#include <treadle/detail/lock.h>
#include <treadle/timer.h>

#include "runtime/g.h"
#include "runtime/timers.h"

namespace treadle::rt {

struct Bubble {
  std::atomic<std::int64_t> now{0};
  TimerHeap timers;
  G* root = nullptr;     // fixed while in use
  std::uint32_t id = 0;  // fixed while in use; never used before, never 0

  Lock lock;  // protects what follows
  std::int32_t active = 0;
  std::int32_t members = 0;  // not ended yet
  G* root_parked = nullptr;
  G* waiter = nullptr;     // parked in testing::wait()
  bool waiting = false;    // somebody is inside it
  bool abandoned = false;  // the root is gone: to be used again once the last member has ended
  Bubble* next_free = nullptr;
};

// The calling goroutine's, or null. Any thread.
Bubble* current_bubble() noexcept;
// Names the calling goroutine's bubble in what it makes (a channel, a context); 0: none.
inline std::uint32_t bubble_id(const Bubble* b) noexcept { return b ? b->id : 0; }
// `g` is about to park for what was made in bubble `made_in`: outside its own, such a wait does not
// count as durable.
inline void waits_on(G* g, std::uint32_t made_in) noexcept {
  if (g->in_bubble && g->bubble.load(std::memory_order_relaxed)->id != made_in) [[unlikely]]
    g->outside = true;
}

// Clock's time, which in a bubble is virtual; nanotime() is the runtime's own.
inline std::int64_t clock_nanos() noexcept { return Clock::now().time_since_epoch().count(); }

// `g`, not yet runnable, becomes a member.
void bubble_join(Bubble* b, G* g) noexcept;
// In the hook that ends `g`.
void bubble_leave(M* m, G* g) noexcept;
// A member's park: true when it is a durable one, which bubble_parked() follows in the hook.
bool bubble_before_park(G* g, WaitReason reason) noexcept;
void bubble_parked(M* m, Bubble* b) noexcept;
// Before a durably blocked member becomes runnable.
void bubble_wake(G* g) noexcept;

// For the root: makes a bubble, runs its clock until all members have ended (true) or are blocked
// for good (false), and leaves it. Inside the guard, drive also of a parking entry.
Bubble* bubble_open(G* root) noexcept;
bool bubble_drive(Bubble* b) noexcept;
void bubble_close(Bubble* b) noexcept;
// testing::wait(). False: somebody waits there already.
bool bubble_wait(Bubble* b) noexcept;

}  // namespace treadle::rt
