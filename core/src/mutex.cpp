// Mutex.
//
// Invariants
//  - kWaiters and the queue change only under queue_lock_, and agree whenever it is free.
//  - The holder alone clears kLocked; without kWaiters by the fast path, else under queue_lock_.
//  - At most one waiter is woken and on its way (woken_): it competes with whoever runs, which is
//    what makes the lock fast. One that has waited for kStarved is given the lock instead, without
//    its being free in between, so that nobody waits for ever.
#include <treadle/mutex.h>

#include "runtime/context_state.h"
#include "runtime/sched.h"
#include "runtime/syscall.h"
#include "runtime/waiter.h"

namespace treadle {

namespace {

constexpr std::int64_t kStarved = 1'000'000;  // 1 ms, as in Go
constexpr auto kTryAgain = rt::Fired::closed;

// One stay in the queue. Fired::granted: the lock was handed over.
rt::Fired wait_in_queue(rt::Waiter& w, rt::ContextState* context) {
  rt::ContextWait registered(context, w);
  return w.wait(rt::WaitReason::mutex);
}

}  // namespace

namespace rt {
// Friend-free access for the loop below: the fields it works on, all protected by `lock`.
struct MutexQueue {
  std::atomic<std::uint32_t>& state;
  Lock& lock;
  bool& woken;
  WaiterQueue waiters;
};
}  // namespace rt

namespace {

constexpr std::uint32_t kLockedBit = 1;
constexpr std::uint32_t kWaitersBit = 2;

void settle_waiters_bit(rt::MutexQueue& q) noexcept {
  if (q.waiters.empty())
    q.state.fetch_and(~kWaitersBit, std::memory_order_relaxed);
  else
    q.state.fetch_or(kWaitersBit, std::memory_order_relaxed);
}

// True when the lock is ours, or `context` ended the wait (then *ended is set).
void lock_queued(rt::MutexQueue q, rt::ContextState* context, bool* ended) {
  rt::ParkingEntry entry;
  const std::int64_t since = rt::nanotime();
  bool again = false;
  for (;;) {
    rt::Waiter w;
    w.since = since;
    {
      rt::LockGuard hold(q.lock);
      if (again) q.woken = false;
      // With kWaiters set no unlock passes by the queue any more.
      const std::uint32_t before =
          q.state.fetch_or(kLockedBit | kWaitersBit, std::memory_order_acquire);
      if (!(before & kLockedBit)) {
        settle_waiters_bit(q);
        return;
      }
      if (again)
        q.waiters.push_front(&w);  // it had its turn already
      else
        q.waiters.push_back(&w);
    }
    switch (wait_in_queue(w, context)) {
      case rt::Fired::granted: return;
      case rt::Fired::context: {
        rt::LockGuard hold(q.lock);
        q.waiters.remove(&w);
        settle_waiters_bit(q);
        *ended = true;
        return;
      }
      default: again = true;
    }
  }
}

void unlock_queued(rt::MutexQueue q) noexcept {
  rt::Entry entry;
  const std::int64_t now = rt::nanotime();
  rt::G* wake = nullptr;
  {
    rt::LockGuard hold(q.lock);
    bool handed_over = false;
    while (!q.woken && !handed_over) {
      rt::Waiter* w = q.waiters.pop_front();
      if (!w) break;
      const bool starved = now - w->since > kStarved;
      if (!w->claim(starved ? rt::Fired::granted : kTryAgain, &wake)) continue;  // its context ended
      handed_over = starved;
      q.woken = !starved;
    }
    settle_waiters_bit(q);
    if (!handed_over) q.state.fetch_and(~kLockedBit, std::memory_order_release);
  }
  // Null when the waiter had not parked yet: then it has seen the claim.
  if (wake) rt::goready(wake);
}

}  // namespace

void Mutex::lock_slow() {
  rt::ensure_started();
  bool ended = false;
  lock_queued({state_, queue_lock_, woken_, {head_, tail_}}, nullptr, &ended);
}

Result<void> Mutex::lock(const Context& ctx) {
  if (try_lock()) return {};
  rt::ensure_started();
  bool ended = false;
  lock_queued({state_, queue_lock_, woken_, {head_, tail_}}, ctx.state(), &ended);
  if (ended) return fail(ctx.error());
  return {};
}

bool Mutex::try_lock() noexcept {
  std::uint32_t s = state_.load(std::memory_order_relaxed);
  while (!(s & kLocked))
    if (state_.compare_exchange_weak(s, s | kLocked, std::memory_order_acquire,
                                     std::memory_order_relaxed))
      return true;
  return false;
}

void Mutex::unlock_slow() {
  if (!(state_.load(std::memory_order_relaxed) & kLocked))
    throw Panic("treadle::Mutex: unlock of a mutex that is not locked");
  unlock_queued({state_, queue_lock_, woken_, {head_, tail_}});
}

}  // namespace treadle
