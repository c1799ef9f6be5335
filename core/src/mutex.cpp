// Mutex.
//
// One word: kLocked; kWaiters, the queue is not empty; kQueue, a spin lock over the queue, woken_
// and hand_overs_. Invariants:
//  - kWaiters and the queue change only under kQueue, and agree whenever it is clear.
//  - The holder alone clears kLocked: from exactly kLocked by the fast path, else while it holds
//    kQueue. While both are set, nobody but their holders changes the word.
//  - At most one waiter is woken and on its way (woken_): it competes with whoever runs, which is
//    what makes the lock fast.
//  - unlock() ends with one store that clears kLocked and kQueue together. A waiter that was
//    claimed before it parked is not made ready after that store, so it waits for kQueue to clear.
//
// Starvation. A woken waiter that finds the lock taken again has lost. One that has lost often
// enough, or has waited for 1 ms, makes the next kHandOvers unlocks give the lock to the waiter in
// front, without its being free in between. So nobody waits for ever; and goroutines that park
// inside their critical sections, which make every woken waiter lose, pay one switch an operation
// instead of two. After kHandOvers, or when nobody waits, there is competition again: short
// critical sections must not go on in lockstep for ever because of one unlucky moment. With one P a
// single loss is enough: the holder was seen to park with the lock.
#include <treadle/mutex.h>

#include "runtime/context_state.h"
#include "runtime/sched.h"
#include "runtime/syscall.h"
#include "runtime/waiter.h"
#include "runtime/word_lock.h"

namespace treadle {

namespace {

constexpr std::uint32_t kLockedBit = 1;
constexpr std::uint32_t kWaitersBit = 2;
constexpr std::uint32_t kQueueBit = 4;

constexpr std::int64_t kStarved = 1'000'000;  // 1 ms, as in Go
constexpr int kLosses = 4;                    // with more than one P
constexpr std::uint8_t kHandOvers = 16;
constexpr auto kTryAgain = rt::Fired::closed;

// A Mutex's fields, for the functions below.
struct MutexRef {
  std::atomic<std::uint32_t>& state;
  bool& woken;
  std::uint8_t& hand_overs;
  rt::WaiterQueue waiters;

  // Returns the word with kQueue set.
  std::uint32_t lock_queue() noexcept { return rt::lock_bit(state, kQueueBit) | kQueueBit; }
  std::uint32_t waiters_bit() const noexcept { return waiters.empty() ? 0 : kWaitersBit; }
  // Keeps kLocked as it is, whoever may be changing it, and lets the queue go.
  void unlock_queue() noexcept {
    std::uint32_t s = state.load(std::memory_order_relaxed);
    while (!state.compare_exchange_weak(s, (s & kLockedBit) | waiters_bit(),
                                        std::memory_order_release, std::memory_order_relaxed)) {
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

// What one goroutine's stays in the queue add up to.
struct Losses {
  int count = 0;
  std::int64_t since = 0;  // the coarse clock at its first park, which gopark() has read

  void add(const rt::Waiter& w) noexcept {
    ++count;
    if (since == 0 && w.claimed_parked())
      since = rt::getm()->curg->waiting_since.load(std::memory_order_relaxed);
  }
  bool starving() const noexcept {
    if (count == 0) return false;
    return rt::sched.procs == 1 || count >= kLosses ||
           (since != 0 && rt::nanotime() - since > kStarved);
  }
};

// False when `context` ended the wait; otherwise the lock is ours.
bool lock_queued(MutexRef mutex, rt::ContextState* context) {
  rt::ParkingEntry entry;
  Losses losses;
  for (;;) {
    rt::Waiter w;
    std::uint32_t s = mutex.lock_queue();
    if (losses.count > 0) mutex.woken = false;
    if (!(s & kLockedBit) && try_lock_word(mutex.state)) {
      mutex.unlock_queue();
      return true;
    }
    // Both bits are set, whoever set kLocked: the word stands still until our store below.
    if (losses.starving()) mutex.hand_overs = kHandOvers;
    if (losses.count > 0)
      mutex.waiters.push_front(&w);  // it had its turn already
    else
      mutex.waiters.push_back(&w);
    mutex.state.store(kLockedBit | kWaitersBit, std::memory_order_release);
    const rt::Fired fired = wait_in_queue(w, context);
    if (fired == kTryAgain) {
      losses.add(w);
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
  rt::G* wake = nullptr;
  bool handed_over = false;
  mutex.lock_queue();
  while (!mutex.woken && !handed_over) {
    rt::Waiter* w = mutex.waiters.pop_front();
    if (!w) break;
    const bool hand_over = mutex.hand_overs > 0;
    if (!w->claim(hand_over ? rt::Fired::granted : kTryAgain, &wake))
      continue;  // its context ended
    handed_over = hand_over;
    mutex.woken = !hand_over;
  }
  if (mutex.waiters.empty())
    mutex.hand_overs = 0;
  else if (handed_over)
    --mutex.hand_overs;
  // We hold kLocked and kQueue: a plain store is enough, and nothing of the mutex is ours after it.
  mutex.state.store((handed_over ? kLockedBit : 0) | mutex.waiters_bit(),
                    std::memory_order_release);
  if (wake) rt::goready(wake);
}

}  // namespace

void Mutex::lock_slow() {
  rt::ensure_started();
  lock_queued({state_, woken_, hand_overs_, {head_, tail_}}, nullptr);
}

Result<void> Mutex::lock(const Context& ctx) {
  if (try_lock()) return {};
  rt::ensure_started();
  if (!lock_queued({state_, woken_, hand_overs_, {head_, tail_}}, ctx.state()))
    return fail(ctx.error());
  return {};
}

bool Mutex::try_lock() noexcept { return try_lock_word(state_); }

void Mutex::unlock_slow() {
  if (!(state_.load(std::memory_order_relaxed) & kLocked))
    throw Panic("treadle::Mutex: unlock of a mutex that is not locked");
  unlock_queued({state_, woken_, hand_overs_, {head_, tail_}});
}

}  // namespace treadle
