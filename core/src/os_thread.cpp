// lock_os_thread(): a goroutine that is tied to its M, and an M that runs nothing else.
//
// Invariants
//  - M.locked_g == g exactly while g is tied; then g.bound_m == M, running or not. Both are stored
//    by g itself, inside the guard.
//  - Whoever dequeues g hands its P to M (startlockedm()); g is on at most one queue, so M gets at
//    most one P for each time it sleeps in run_locked().
//  - M leaves g only for g0 (to_next()), where run_locked() gives M's own P away before it sleeps.
//    g may be dequeued before that: the P in nextp is then there first, and the note keeps its
//    wake-up.
//  - At least one M is alive that is not tied: it comes by stopm() in the end, where Ps wait that
//    found no M. Without it, tied Ms could all sleep beside an idle P that has goroutines.
#include <treadle/os_thread.h>

#include <time.h>

#include <system_error>

#include <treadle/blocking.h>
#include <treadle/context.h>
#include <treadle/go.h>
#include <treadle/timer.h>

#include "runtime/bubble.h"
#include "runtime/dispatch.h"
#include "runtime/sched.h"
#include "runtime/syscall.h"

namespace treadle {

namespace rt {

namespace {

constexpr int kTries = 1000;  // of a millisecond each, for a thread that is being made

// The P in which the goroutine waits already, if nobody has taken it from there yet.
bool next_here(M* m, P* p, G* g) noexcept {
  if (sched.stop_wanted.load(std::memory_order_relaxed)) return false;
  if (m->next_g == g) {
    m->next_g = nullptr;
    return true;
  }
  G* expected = g;
  return p->runnext.load(std::memory_order_relaxed) == g &&
         p->runnext.compare_exchange_strong(expected, nullptr, std::memory_order_acquire,
                                            std::memory_order_relaxed);
}

void give_p_away(M* m, P* p) noexcept {
  if (m->next_g) runqput(p, std::exchange(m->next_g, nullptr), false);
  releasep(m);
  if (sched.stop_wanted.load(std::memory_order_relaxed))
    give_to_stopper(p);
  else
    handoffp(p);
}

void untie(M* m) noexcept {
  m->locked_g = nullptr;
  m->os_locks = 0;
  LockGuard hold(sched.lock);
  --sched.os_locked;
}

// False: no other M would be left.
bool tie(M* m) noexcept {
  {
    LockGuard hold(sched.lock);
    if (sched.ms - sched.ms_starting - sched.os_locked < 2) return false;
    ++sched.os_locked;
  }
  m->locked_g = m->curg;
  m->curg->bound_m = m;
  m->os_locks = 1;
  return true;
}

// A millisecond of real time: in a bubble sleep() would take none.
void wait_a_moment() {
  if (current_bubble()) {
    gosched();
    const timespec moment{.tv_sec = 0, .tv_nsec = 1'000'000};
    blocking([&] { ::nanosleep(&moment, nullptr); });
    return;
  }
  ContextScope whatever_happens{background()};
  (void)sleep(std::chrono::milliseconds(1));
}

}  // namespace

bool run_locked(M* m) noexcept {
  G* g = m->locked_g;
  P* p = m->p.load(std::memory_order_relaxed);
  if (m->locked_ended) {
    m->locked_ended = false;
    untie(m);
    if (p) give_p_away(m, p);
    return false;
  }
  if (!p || !next_here(m, p, g)) {
    if (p) give_p_away(m, p);
    bool quiet;
    {
      LockGuard hold(sched.lock);
      ++sched.locked_ms;
      quiet = all_quiet_locked();
    }
    if (quiet) suspect_deadlock();
    m->note.sleep();
    {
      LockGuard hold(sched.lock);
      --sched.locked_ms;
    }
    p = std::exchange(m->nextp, nullptr);
    acquirep(m, p);
  }
  begin_slice(m, p, g, false);
  run_on_m(m, g);
  return true;
}

}  // namespace rt

void lock_os_thread() {
  rt::ensure_started();
  for (int n = 0; n < rt::kTries; ++n) {
    {
      rt::Entry entry;
      rt::M* m = entry.m();
      if (m->foreign) return;
      if (m->locked_g) {
        ++m->os_locks;
        return;
      }
      if (rt::tie(m)) return;
      rt::wake_template_thread();
    }
    rt::wait_a_moment();
  }
  throw std::system_error(std::make_error_code(std::errc::resource_unavailable_try_again),
                          "treadle::lock_os_thread: no thread would be left for other goroutines");
}

void unlock_os_thread() noexcept {
  rt::Entry entry;
  rt::M* m = entry.m();
  if (m->foreign || !m->locked_g || --m->os_locks > 0) return;
  m->curg->bound_m = nullptr;
  rt::untie(m);
}

}  // namespace treadle
