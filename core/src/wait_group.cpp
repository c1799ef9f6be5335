// WaitGroup: a counter and a queue under one lock. The last thing add() does with the object is to
// unlock it, so it may be destroyed as soon as a waiter has seen zero.
#include <treadle/wait_group.h>

#include <fmt/core.h>

#include "runtime/context_state.h"
#include "runtime/sched.h"
#include "runtime/syscall.h"
#include "runtime/waiter.h"

namespace treadle {

void WaitGroup::add(std::int64_t delta) {
  std::int64_t before = 0;
  bool refused = false;
  {
    rt::Entry entry;
    rt::GList ready;
    {
      rt::LockGuard hold(lock_);
      before = count_;
      std::int64_t sum = 0;
      refused = __builtin_add_overflow(before, delta, &sum) || sum < 0;
      if (!refused) count_ = sum;
      if (!refused && sum == 0) {
        rt::WaiterQueue queue(head_, tail_);
        while (rt::Waiter* w = queue.pop_front()) {
          rt::G* g = nullptr;
          if (w->claim(rt::Fired::granted, &g) && g) ready.push_back(g);
        }
      }
    }
    while (rt::G* g = ready.pop_front()) rt::goready(g);
  }
  if (refused)
    throw Panic(fmt::format("treadle::WaitGroup::add: {} to a counter of {}: {}", delta, before,
                            delta < 0 ? "it would become negative" : "it would overflow"));
}

Result<void> WaitGroup::wait_for(rt::ContextState* context) {
  rt::ensure_started();
  rt::ParkingEntry entry;
  rt::Waiter w;
  rt::WaiterQueue queue(head_, tail_);
  {
    rt::LockGuard hold(lock_);
    if (count_ == 0) return {};
    queue.push_back(&w);
  }
  rt::Fired fired;
  {
    rt::ContextWait registered(context, w);
    fired = w.wait(rt::WaitReason::wait_group);
  }
  if (fired != rt::Fired::context && w.claimed_parked()) return {};
  // Claimed before we parked: add() may not have unlocked yet, and the object may be destroyed as
  // soon as we return.
  rt::LockGuard hold(lock_);
  queue.remove(&w);
  if (fired != rt::Fired::context) return {};
  return fail(Errc::canceled);  // the caller names the context's own error
}

void WaitGroup::wait() { (void)wait_for(nullptr); }

Result<void> WaitGroup::wait(const Context& ctx) {
  if (!wait_for(ctx.state())) return fail(ctx.error());
  return {};
}

}  // namespace treadle
