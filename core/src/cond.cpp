// Cond: a queue of waiters.
//
// No lost wake-ups: a waiter stands in the queue before it unlocks the caller's lock. Who changes
// what it waits for does so under that lock, hence either before the waiter looked, or after it was
// queued; then notify sees waiting_ > 0, through the caller's lock. A waiter whose context ends at
// the same moment as it is notified has one of the two: claim() decides, and notify_one() goes on
// to the next when it loses.
//
// Lifetime: the notifier may destroy the Cond as soon as notify has returned, though waiters are
// still on their way out; and a waiter may as soon as it has returned, though notify is still
// returning. So a notified waiter does not touch the Cond any more, nor does the notifier once the
// waiter can return. Parked ones are made ready after the lock was let go; those claimed before
// they parked wait for a mark in their own frame, which is set then too.
#include <treadle/cond.h>

#include "runtime/context_state.h"
#include "runtime/sched.h"
#include "runtime/syscall.h"
#include "runtime/waiter.h"

namespace treadle {

namespace {

struct CondWaiter : rt::Waiter {
  // Stored by the notifier (release) as its last access, read by a waiter that was not parked.
  std::atomic<bool> let_go{false};

  void wait_let_go() const noexcept {
    for (int spins = 0; !let_go.load(std::memory_order_acquire); ++spins) rt::spin_pause(spins);
  }
};

void add(std::atomic<std::uint32_t>& waiting, std::uint32_t n) noexcept {
  // Stored under the lock only, so this need not be one step.
  waiting.store(waiting.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
}

// Waiters taken from the queue and claimed; let go once the Cond's lock is free.
class Notified {
 public:
  // False when its context came first.
  bool claim(rt::Waiter* w) noexcept {
    rt::G* g = nullptr;
    if (!w->claim(rt::Fired::granted, &g)) return false;
    if (g) {
      parked_.push_back(g);
    } else {
      w->next = running_;
      running_ = w;
    }
    return true;
  }
  void let_go() noexcept {
    while (rt::Waiter* w = running_) {
      running_ = w->next;
      // Release: pairs with wait_let_go(); the waiter's frame may end at once.
      static_cast<CondWaiter*>(w)->let_go.store(true, std::memory_order_release);
    }
    while (rt::G* g = parked_.pop_front()) rt::goready(g);
  }

 private:
  rt::GList parked_;
  rt::Waiter* running_ = nullptr;
};

}  // namespace

Result<void> Cond::wait_with(detail::LockOps ops, const Context* ctx) {
  rt::ensure_started();
  CondWaiter w;
  {
    rt::Entry entry;
    const rt::LockGuard hold(lock_);
    rt::WaiterQueue(head_, tail_).push_back(&w);
    add(waiting_, 1);
  }
  // What remains to be done about a waiter that did not park; inside the guard.
  const auto leave_queue = [&] {
    if (w.fired() == rt::Fired::granted) return w.wait_let_go();
    const rt::LockGuard hold(lock_);
    if (w.queued) add(waiting_, static_cast<std::uint32_t>(-1));
    rt::WaiterQueue(head_, tail_).remove(&w);
  };
  try {
    ops.release(ops.lock);
  } catch (...) {
    bool notified;
    {
      rt::Entry entry;
      rt::G* none = nullptr;
      notified = !w.claim(rt::Fired::closed, &none);
      leave_queue();
    }
    if (notified) notify_one();  // it was for somebody who waits
    throw;
  }
  rt::Fired fired;
  {
    rt::ParkingEntry entry;
    {
      rt::ContextWait registered(ctx ? ctx->state() : nullptr, w);
      fired = w.wait(rt::WaitReason::cond);
    }
    if (!w.claimed_parked() || fired == rt::Fired::context) leave_queue();
  }
  ops.acquire(ops.lock);
  if (fired == rt::Fired::context) return fail(ctx->error());
  return {};
}

void Cond::notify_one() noexcept {
  if (waiting_.load(std::memory_order_relaxed) == 0) return;
  rt::Entry entry;
  Notified notified;
  {
    const rt::LockGuard hold(lock_);
    rt::WaiterQueue queue(head_, tail_);
    while (rt::Waiter* w = queue.pop_front()) {
      add(waiting_, static_cast<std::uint32_t>(-1));
      if (notified.claim(w)) break;
    }
  }
  notified.let_go();
}

void Cond::notify_all() noexcept {
  if (waiting_.load(std::memory_order_relaxed) == 0) return;
  rt::Entry entry;
  Notified notified;
  {
    const rt::LockGuard hold(lock_);
    rt::WaiterQueue queue(head_, tail_);
    while (rt::Waiter* w = queue.pop_front()) notified.claim(w);
    waiting_.store(0, std::memory_order_relaxed);
  }
  notified.let_go();
}

}  // namespace treadle
