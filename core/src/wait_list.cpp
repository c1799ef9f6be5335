#include "wait_list.h"

#include "runtime/context_state.h"
#include "runtime/sched.h"

namespace treadle::rt {

namespace {

// Under the heap's lock.
std::int64_t on_timeout(Timer* t, std::int64_t, TimerWork& work) {
  G* g = nullptr;
  if (static_cast<Waiter*>(t->arg)->claim(Fired::timeout, &g) && g) {
    if (g->foreign)
      goready(g);
    else
      work.ready.push_back(g);
  }
  return kNever;
}

Fired park(Waiter& w, WaitLimits limits, WaitReason why) noexcept {
  ContextWait registered(limits.context, w);
  if (limits.until == kNever) return w.wait(why);
  Timer timer;
  timer.fn = &on_timeout;
  timer.arg = &w;
  timer_arm(timer, limits.until);
  const Fired fired = w.wait(why);
  timer_remove(timer);  // its function does not run after this, and `w` may go
  return fired;
}

}  // namespace

Fired wait_in(Lock& lock, WaiterQueue queue, WaitLimits limits, WaitReason why) noexcept {
  Waiter w;
  queue.push_back(&w);
  lock.unlock();
  const Fired fired = park(w, limits, why);
  if (fired == Fired::context || fired == Fired::timeout || !w.claimed_parked()) {
    // Still queued, or claimed by somebody who holds the lock and may not be done with `w`.
    LockGuard hold(lock);
    queue.remove(&w);
  }
  return fired;
}

Fired wait_alone(WaitLimits limits, WaitReason why) noexcept {
  Waiter w;
  return park(w, limits, why);
}

bool wake_one(WaiterQueue queue, Fired reason, GList& ready) noexcept {
  while (Waiter* w = queue.pop_front()) {
    G* g = nullptr;
    if (!w->claim(reason, &g)) continue;  // its context or timeout came first
    if (g) ready.push_back(g);
    return true;
  }
  return false;
}

void wake_all(WaiterQueue queue, Fired reason, GList& ready) noexcept {
  while (wake_one(queue, reason, ready)) {
  }
}

void ready_all(GList& ready) noexcept {
  while (G* g = ready.pop_front()) goready(g);
}

}  // namespace treadle::rt
