// Timers: one heap for each P.
//
// Invariants:
//  - A timer belongs to the heap it was first armed on until that heap's P dies; then to another
//    one. All its fields are protected by the lock of the heap it belongs to, `heap` too once set:
//    whoever has locked the one he read looks whether it still is.
//  - A timer's function runs under the heap's lock: once remove() has returned, the function does
//    not run and will not. It must not block, nor arm or remove timers; what is to be done after
//    unlocking (readying goroutines, cancelling contexts) it leaves in TimerWork.
//  - next_when() is the top's time, or kNever; others read it without the lock to decide whether to
//    look closer, and how long to sleep.
#pragma once

#include <atomic>
#include <cstdint>
#include <limits>
#include <vector>

#include <treadle/detail/lock.h>

#include "runtime/g.h"

namespace treadle::rt {

inline constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();

struct CancelState;
class TimerHeap;
struct Bubble;

// Anything else that is to be done once the heap is unlocked: `run` is called inside the guard,
// without locks, in the order in which the timers were due.
struct TimerTask {
  void (*run)(TimerTask* self) noexcept = nullptr;
  TimerTask* next = nullptr;
};

// What timers' functions leave to be done once the heap is unlocked.
struct TimerWork {
  GList ready;
  CancelState* expired_contexts = nullptr;  // each retained once, linked through next_expired
  TimerTask* tasks = nullptr;
  TimerTask* last_task = nullptr;

  void add(TimerTask* t) noexcept {
    t->next = nullptr;
    (tasks ? last_task->next : tasks) = t;
    last_task = t;
  }
  bool empty() const noexcept { return ready.empty() && !expired_contexts && !tasks; }
};

struct Timer {
  // Called when due; returns when to be called next, kNever for no more.
  using Fn = std::int64_t (*)(Timer* self, std::int64_t now, TimerWork& work);

  Fn fn = nullptr;
  void* arg = nullptr;
  std::int64_t when = kNever;             // under the heap's lock
  std::uint32_t index = kNotQueued;       // place in the heap; under its lock
  std::atomic<TimerHeap*> heap{nullptr};  // null until the first arm()
  bool real = false;  // runs on real time whoever arms it; fixed before the first arm()

  static constexpr std::uint32_t kNotQueued = 0xffffffff;
};

class TimerHeap {
 public:
  std::int64_t next_when() const noexcept { return next_when_.load(std::memory_order_acquire); }

  // Runs what is due at `now`, collecting what they leave to do. Any M inside the guard.
  void run_due(std::int64_t now, TimerWork& work);

  // The P dies: all timers move to `to`, and those that come later go elsewhere. One caller at a
  // time.
  void retire_into(TimerHeap& to);
  void revive() noexcept;

  // Whose virtual time it keeps; null: real time. Fixed before the first timer.
  Bubble* bubble = nullptr;
  // Lets go of all timers: they are as if removed.
  void clear() noexcept;

  std::size_t size() noexcept {
    LockGuard hold(lock_);
    return heap_.size();
  }

 private:
  friend struct Arming;
  friend bool timer_remove(Timer&) noexcept;

  struct Entry {
    std::int64_t when;
    Timer* timer;
  };
  void place(std::uint32_t i, Entry e) noexcept;
  void sift_up(std::uint32_t i) noexcept;
  void sift_down(std::uint32_t i) noexcept;
  void update(Timer& t, std::int64_t when);
  void erase(Timer& t) noexcept;
  void publish() noexcept;

  Lock lock_;
  bool retired_ = false;                         // its P is dead; under lock_
  std::vector<Entry> heap_;                      // 4-ary, smallest `when` first; under lock_
  std::atomic<std::int64_t> next_when_{kNever};  // stored under lock_
};

// Arms `t` for `when` (again, when it is armed already; if `only_earlier`, not when that would put
// it off). Inside the guard, or on a thread without a P. True when `t` became its heap's first.
bool timer_arm(Timer& t, std::int64_t when, bool only_earlier = false);
// The same for a timer whose heap holds one of `refs` while it is armed: takes that when it was not
// armed before. True when it was.
bool timer_rearm(Timer& t, std::int64_t when, std::atomic<std::uint32_t>& refs);
// The alarm of a G that is about to park, which has one: due now, and set no more. A lock of what
// is waited for may be held. ticker.cpp.
void sound_park_alarm(G* g) noexcept;
// Takes `t` off its heap; true when it was armed. Afterwards its function does not run.
bool timer_remove(Timer& t) noexcept;

// Runs a heap's due timers and does what they leave; inside the guard. True: Gs may have become
// ready, on the local queue if there is a P.
bool run_timers(TimerHeap& heap, std::int64_t now);

}  // namespace treadle::rt
