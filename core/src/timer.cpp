// The clock, deadlines and sleep.
#include <treadle/timer.h>

#include "runtime/bubble.h"
#include "runtime/context_state.h"
#include "runtime/sched.h"
#include "runtime/syscall.h"
#include "runtime/waiter.h"

namespace treadle {

namespace {

// A Waiter's timeout: the timer of one wait.
std::int64_t fire_timeout(rt::Timer* t, std::int64_t, rt::TimerWork& work) {
  rt::G* g = nullptr;
  if (static_cast<rt::Waiter*>(t->arg)->claim(rt::Fired::timeout, &g) && g) {
    if (g->foreign)
      rt::goready(g);
    else
      work.ready.push_back(g);
  }
  return rt::kNever;
}

rt::Fired sleep_inside(std::int64_t until) {
  rt::ParkingEntry entry;
  rt::Waiter w;
  rt::Timer timer;
  timer.fn = &fire_timeout;
  timer.arg = &w;
  rt::Fired fired;
  {
    rt::ContextWait registered(rt::current_context_state(), w);
    rt::timer_arm(timer, until);
    fired = w.wait(rt::WaitReason::sleep);
  }
  if (fired != rt::Fired::timeout) rt::timer_remove(timer);
  // A timer that fired has left its heap, but its function may still be returning under the heap's
  // lock; it does not touch the timer any more.
  return fired;
}

}  // namespace

Clock::time_point Clock::now() noexcept {
  if (const rt::Bubble* b = rt::current_bubble()) [[unlikely]]
    return time_point(Duration(b->now.load(std::memory_order_relaxed)));
  return time_point(Duration(rt::nanotime()));
}

Deadline Deadline::after(Duration d) noexcept {
  const std::int64_t now = Clock::now().time_since_epoch().count();
  Deadline deadline;
  if (d.count() < kNever - now) deadline.ns_ = now + (d.count() > 0 ? d.count() : 0);
  return deadline;
}

bool Deadline::passed() const noexcept { return !is_never() && at() <= Clock::now(); }

Duration Deadline::remaining() const noexcept {
  if (is_never()) return Duration::max();
  const Duration left = at() - Clock::now();
  return left.count() > 0 ? left : Duration::zero();
}

Result<void> sleep_until(Deadline at) {
  rt::ensure_started();
  if (at.passed()) return {};
  if (sleep_inside(at.is_never() ? rt::kNever - 1 : at.at().time_since_epoch().count()) !=
      rt::Fired::context)
    return {};
  return fail(current_context().error());
}

Result<void> sleep(Duration d) {
  if (d.count() <= 0) return {};
  return sleep_until(Deadline::after(d));
}

}  // namespace treadle
