// The short way from one goroutine to the next: what nearly every park, yield and wake-up runs,
// inline in park.cpp and sched.cpp. Whatever is rare stands out of line in sched.cpp, so that these
// need no registers saved.
#pragma once

#include "runtime/random.h"
#include "runtime/sched.h"
#include "runtime/syscall.h"

namespace treadle::rt {

// How often a P prefers the global queue, so that two Gs that ready each other do not starve it.
inline constexpr std::uint32_t kGlobalQueueTick = 61;
// So many Gs may follow each other through runnext while others wait in the queue: microseconds.
inline constexpr std::uint32_t kRunnextStreak = 64;

// The clock says that a timer of `p` is due, or one may be and it is time to look closely.
bool timers_due(P* p) noexcept;
// `g` found no room on the local queue.
void runqput_slow(P* p, G* g) noexcept;

// With one P nobody steals, so its holder needs no read-modify-write. The number changes only while
// the world is stopped, which keeps thieves, who need a P, away from the change.
inline bool several_ps() noexcept { return sched.procs.load(std::memory_order_relaxed) > 1; }

// Takes `g`, which was seen in runnext, from there; false when a thief was quicker.
inline bool take_runnext(P* p, G* g) noexcept {
  if (!several_ps()) {
    p->runnext.store(nullptr, std::memory_order_relaxed);
    return true;
  }
  return p->runnext.compare_exchange_strong(g, nullptr, std::memory_order_acquire,
                                            std::memory_order_relaxed);
}

// runnext first, but not for ever: two Gs that ready each other would hold the queue, and with it
// every timer and descriptor that became ready, until sysmon's slice is over.
inline G* local_runq(P* p, bool* inherit) noexcept {
  if (sched.random) [[unlikely]]
    return random_local_runq(p, inherit);
  G* next = p->runnext.load(std::memory_order_relaxed);
  if (next && (p->runnext_streak < kRunnextStreak || p->runq.empty()) && take_runnext(p, next)) {
    ++p->runnext_streak;
    *inherit = true;
    return next;
  }
  p->runnext_streak = 0;
  *inherit = false;
  if (G* g = p->runq.pop(several_ps())) return g;
  next = p->runnext.load(std::memory_order_relaxed);  // thieves emptied the queue
  return next && take_runnext(p, next) ? next : nullptr;
}

// Something is known of the goroutine (G::hog), or the slice before was a short one.
void begin_hog_slice(M* m, P* p, G* g, bool inherit) noexcept;

inline void begin_tick(M* m, P* p) noexcept {
  p->schedtick.store(p->schedtick.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  // A standing ask was for the goroutine before. Only ask can stand here: we hold a P.
  if ((m->req.load(std::memory_order_relaxed) & kReqMask) != kReqNone) [[unlikely]]
    cas_req(m, kReqAsk, kReqNone, std::memory_order_relaxed);
}

// The start of a G whose slice is its own (`inherit`: goes on in its predecessor's).
inline void begin_slice(M* m, P* p, G* g, bool inherit) noexcept {
  if (g->hog != 0 || p->slice.load(std::memory_order_relaxed) != SliceKind::whole) [[unlikely]]
    return begin_hog_slice(m, p, g, inherit);
  if (!inherit) begin_tick(m, p);
}

// Whether this slice begins with the global queue.
inline bool global_queue_turn(P* p) noexcept {
  return p->schedtick.load(std::memory_order_relaxed) % kGlobalQueueTick == 0 ||
         (sched.random && random_global_turn(p));
}

// The next G of the local queue for a direct switch; null when g0 has to look.
[[gnu::always_inline]] inline G* next_local(M* m, P* p, bool* inherit) noexcept {
  if (sched.stop_wanted.load(std::memory_order_relaxed)) [[unlikely]]
    return nullptr;
  // The cheap half first: the queue is empty as a rule.
  if (sched.runq_size.load(std::memory_order_relaxed) != 0 && global_queue_turn(p)) [[unlikely]]
    return nullptr;
  if (p->timers.next_when() != kNever && timers_due(p)) [[unlikely]]
    return nullptr;
  G* g = local_runq(p, inherit);
  if (g && g->bound_m && g->bound_m != m) [[unlikely]] {
    m->next_g = g;  // needs g0, to hand the P over
    return nullptr;
  }
  return g;
}

// Puts G on the P's queue; `next`: as the one to run next, whoever was that goes to the queue.
inline void runqput(P* p, G* g, bool next) noexcept {
  if (sched.random) [[unlikely]] {
    next = next && random_below(p, 2) == 0;
    if (!next && p->runq.size() >= kRandomRunq) return runqput_slow(p, g);
  }
  if (next) {
    // Only the holder stores a G here, thieves only take: an empty slot needs no exchange.
    G* kicked = p->runnext.load(std::memory_order_relaxed);
    if (!kicked || !several_ps()) {
      p->runnext.store(g, std::memory_order_release);  // pairs with steal_runnext()
      g = kicked;
    } else {
      g = p->runnext.exchange(g, std::memory_order_acq_rel);
    }
    if (!g) return;
  }
  if (!p->runq.push(g)) [[unlikely]]
    runqput_slow(p, g);
}

}  // namespace treadle::rt
