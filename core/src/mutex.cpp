// Mutex.
//
// One word: kLocked; kWaiters, the queue is not empty; kQueue, a spin lock over the queue and
// woken_. Invariants:
//  - kWaiters and the queue change only under kQueue, and agree whenever it is clear.
//  - The holder alone clears kLocked: from exactly kLocked by the fast path, else while it holds
//    kQueue. While both are set, nobody but their holders changes the word.
//  - At most one waiter is woken and on its way (woken_): it competes with whoever runs, which is
//    what makes the lock fast. One that has waited for kStarved is given the lock instead, without
//    its being free in between, so that nobody waits for ever.
//  - unlock() ends with one store that clears kLocked and kQueue together. A waiter that was
//  claimed
//    before it parked is not made ready after that store, so it waits for kQueue to clear.
#include <treadle/mutex.h>

#include "runtime/context_state.h"
#include "runtime/sched.h"
#include "runtime/syscall.h"
#include "runtime/waiter.h"

namespace treadle {

namespace {

constexpr std::uint32_t kLockedBit = 1;
constexpr std::uint32_t kWaitersBit = 2;
constexpr std::uint32_t kQueueBit = 4;

constexpr std::int64_t kStarved = 1'000'000;  // 1 ms, as in Go
constexpr auto kTryAgain = rt::Fired::closed;

// A Mutex's fields, for the functions below.
struct MutexRef {
  std::atomic<std::uint32_t>& state;
  bool& woken;
  rt::WaiterQueue waiters;

  // Returns the word with kQueue set. Inside the guard: a holder keeps its P, and is gone in a
  // moment unless the kernel took its CPU.
  std::uint32_t lock_queue() noexcept {
    for (int spins = 0;; ++spins) {
      std::uint32_t s = state.load(std::memory_order_relaxed);
      if (!(s & kQueueBit) &&
          state.compare_exchange_weak(s, s | kQueueBit, std::memory_order_acquire,
                                      std::memory_order_relaxed))
        return s | kQueueBit;
      rt::spin_pause(spins);
    }
  }
  // Keeps kLocked as it is, whoever may be changing it, and lets the queue go.
  void unlock_queue() noexcept {
    const std::uint32_t waiting = waiters.empty() ? 0 : kWaitersBit;
    std::uint32_t s = state.load(std::memory_order_relaxed);
    while (!state.compare_exchange_weak(s, (s & kLockedBit) | waiting, std::memory_order_release,
                                        std::memory_order_relaxed)) {
    }
  }
};

bool try_lock_word(std::atomic<std::uint32_t>& state) noexcept {
  std::uint32_t s = state.load(std::memory_order_relaxed);
  while (!(s & kLockedBit))
    if (state.compare_exchange_weak(s, s | kLockedBit, std::memory_order_acquire,
                                    std::memory_order_relaxed))
      return true;
  return false;
}

// One stay in the queue. Fired::granted: the lock was handed over.
rt::Fired wait_in_queue(rt::Waiter& w, rt::ContextState* context) {
  rt::ContextWait registered(context, w);
  return w.wait(rt::WaitReason::mutex);
}

// False when `context` ended the wait; otherwise the lock is ours.
bool lock_queued(MutexRef mutex, rt::ContextState* context) {
  rt::ParkingEntry entry;
  const std::int64_t since = rt::nanotime();
  bool again = false;
  for (;;) {
    rt::Waiter w;
    w.since = since;
    mutex.lock_queue();
    if (again) mutex.woken = false;
    if (try_lock_word(mutex.state)) {
      mutex.unlock_queue();
      return true;
    }
    if (again)
      mutex.waiters.push_front(&w);  // it had its turn already
    else
      mutex.waiters.push_back(&w);
    mutex.unlock_queue();
    const rt::Fired fired = wait_in_queue(w, context);
    if (fired == kTryAgain) {
      again = true;
      continue;
    }
    if (fired == rt::Fired::context || !w.claimed_parked()) {
      mutex.lock_queue();
      mutex.waiters.remove(&w);
      mutex.unlock_queue();
    }
    return fired == rt::Fired::granted;
  }
}

void unlock_queued(MutexRef mutex) noexcept {
  rt::Entry entry;
  const std::int64_t now = rt::nanotime();
  rt::G* wake = nullptr;
  bool handed_over = false;
  mutex.lock_queue();
  while (!mutex.woken && !handed_over) {
    rt::Waiter* w = mutex.waiters.pop_front();
    if (!w) break;
    const bool starved = now - w->since > kStarved;
    if (!w->claim(starved ? rt::Fired::granted : kTryAgain, &wake)) continue;  // its context ended
    handed_over = starved;
    mutex.woken = !starved;
  }
  // We hold kLocked and kQueue: a plain store is enough, and nothing of the mutex is ours after it.
  mutex.state.store((handed_over ? kLockedBit : 0) | (mutex.waiters.empty() ? 0 : kWaitersBit),
                    std::memory_order_release);
  if (wake) rt::goready(wake);
}

}  // namespace

void Mutex::lock_slow() {
  rt::ensure_started();
  lock_queued({state_, woken_, {head_, tail_}}, nullptr);
}

Result<void> Mutex::lock(const Context& ctx) {
  if (try_lock()) return {};
  rt::ensure_started();
  if (!lock_queued({state_, woken_, {head_, tail_}}, ctx.state())) return fail(ctx.error());
  return {};
}

bool Mutex::try_lock() noexcept { return try_lock_word(state_); }

void Mutex::unlock_slow() {
  if (!(state_.load(std::memory_order_relaxed) & kLocked))
    throw Panic("treadle::Mutex: unlock of a mutex that is not locked");
  unlock_queued({state_, woken_, {head_, tail_}});
}

}  // namespace treadle
