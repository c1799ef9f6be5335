// Semaphore.
//
// One word: kQueue, a spin lock over the queue; kWaiters, the queue is not empty; above them how
// many units are taken. Invariants:
//  - While kQueue is set, nobody but its holder changes the word. The queue changes only under it,
//    and agrees with kWaiters whenever it is clear.
//  - Whenever kQueue is clear, the request in front does not fit. So whatever makes room, or takes
//    the front away, serves the queue. Units are taken on a waiter's behalf before it is woken.
//  - The fast paths work on a word without flags: nobody is overtaken.
//  - Each operation ends with one store, after which it touches the object no more. A waiter that
//  was
//    claimed before it parked waits for kQueue to clear.
#include <treadle/semaphore.h>

#include <fmt/core.h>

#include "runtime/context_state.h"
#include "runtime/sched.h"
#include "runtime/syscall.h"
#include "runtime/waiter.h"
#include "runtime/word_lock.h"

namespace treadle {

namespace {

constexpr std::uint64_t kQueue = 1;
constexpr std::uint64_t kWaiters = 2;
constexpr std::uint64_t kFlags = 3;
constexpr std::uint64_t kUnit = 4;
constexpr std::int64_t kMost = std::int64_t{1} << 61;

struct Request : rt::Waiter {
  std::int64_t n = 0;
};

struct SemaphoreRef {
  std::atomic<std::uint64_t>& state;
  const std::int64_t size;
  rt::WaiterQueue waiters;
  rt::Waiter*& head;

  // Takes the queue's lock; returns how many units are taken.
  std::int64_t lock_queue() noexcept {
    return static_cast<std::int64_t>(rt::lock_bit(state, kQueue) / kUnit);
  }
  // The last access.
  void unlock_queue(std::int64_t taken) noexcept {
    state.store(static_cast<std::uint64_t>(taken) * kUnit + (waiters.empty() ? 0 : kWaiters),
                std::memory_order_release);
  }
  // Serves the queue from the front, as far as the units go; returns how many are taken then.
  std::int64_t serve(std::int64_t taken, rt::GList& ready) noexcept {
    while (head) {
      auto* r = static_cast<Request*>(head);
      const bool fits = r->n <= size - taken;
      const std::int64_t n = r->n;
      if (!fits && r->fired() == rt::Fired::no) break;
      waiters.pop_front();
      rt::G* g = nullptr;
      if (!fits || !r->claim(rt::Fired::granted, &g)) continue;  // its context ended
      taken += n;
      if (g) ready.push_back(g);
    }
    return taken;
  }
};

// Changes the number of taken units by one step, unless somebody waits or is at the queue, or it
// would leave the range.
bool try_add(std::atomic<std::uint64_t>& state, std::int64_t delta, std::int64_t size,
             std::memory_order order) noexcept {
  std::uint64_t s = state.load(std::memory_order_relaxed);
  while (!(s & kFlags)) {
    const std::int64_t taken = static_cast<std::int64_t>(s / kUnit) + delta;
    if (taken < 0 || taken > size) return false;
    if (state.compare_exchange_weak(s, static_cast<std::uint64_t>(taken) * kUnit, order,
                                    std::memory_order_relaxed))
      return true;
  }
  return false;
}

void make_ready(rt::GList& ready) noexcept {
  while (rt::G* g = ready.pop_front()) rt::goready(g);
}

void check_count(const char* function, std::int64_t n) {
  if (n < 0) throw Panic(fmt::format("treadle::Semaphore::{}: negative count {}", function, n));
}

}  // namespace

Semaphore::Semaphore(std::int64_t size) : size_(size) {
  if (size < 0 || size > kMost) throw Panic(fmt::format("treadle::Semaphore: size of {}", size));
}

bool Semaphore::try_acquire(std::int64_t n) {
  check_count("try_acquire", n);
  if (n > size_) return false;
  if (try_add(state_, n, size_, std::memory_order_acquire)) return true;
  // Another look once whoever is at the queue has done: a refusal must have had a reason.
  rt::Entry entry;
  SemaphoreRef s{state_, size_, {head_, tail_}, head_};
  std::int64_t taken = s.lock_queue();
  const bool fits = !head_ && n <= size_ - taken;
  s.unlock_queue(fits ? taken + n : taken);
  return fits;
}

bool Semaphore::acquire_slow(std::int64_t n, rt::ContextState* context) {
  rt::ensure_started();
  rt::ParkingEntry entry;
  SemaphoreRef s{state_, size_, {head_, tail_}, head_};
  Request r;
  r.n = n;
  std::int64_t taken = s.lock_queue();
  if (!head_ && n <= size_ - taken) {
    s.unlock_queue(taken + n);
    return true;
  }
  s.waiters.push_back(&r);
  s.unlock_queue(taken);
  rt::Fired fired;
  {
    rt::ContextWait registered(context, r);
    fired = r.wait(rt::WaitReason::semaphore);
  }
  if (fired == rt::Fired::granted && r.claimed_parked()) return true;
  rt::GList ready;
  taken = s.lock_queue();
  s.waiters.remove(&r);
  if (fired == rt::Fired::context) taken = s.serve(taken, ready);
  s.unlock_queue(taken);
  make_ready(ready);
  return fired == rt::Fired::granted;
}

void Semaphore::acquire(std::int64_t n) {
  check_count("acquire", n);
  if (n > size_)
    throw Panic(fmt::format("treadle::Semaphore::acquire: {} units of {} in all", n, size_));
  if (!try_add(state_, n, size_, std::memory_order_acquire)) acquire_slow(n, nullptr);
}

Result<void> Semaphore::acquire(std::int64_t n, const Context& ctx) {
  check_count("acquire", n);
  if (n > size_) return fail(std::make_error_code(std::errc::value_too_large));
  if (try_add(state_, n, size_, std::memory_order_acquire) || acquire_slow(n, ctx.state()))
    return {};
  return fail(ctx.error());
}

void Semaphore::release(std::int64_t n) {
  check_count("release", n);
  if (n <= size_ && try_add(state_, -n, size_, std::memory_order_release)) return;
  std::int64_t taken;
  {
    rt::Entry entry;
    SemaphoreRef s{state_, size_, {head_, tail_}, head_};
    rt::GList ready;
    taken = s.lock_queue();
    s.unlock_queue(n <= taken ? s.serve(taken - n, ready) : taken);
    make_ready(ready);
  }
  if (n > taken)
    throw Panic(fmt::format("treadle::Semaphore::release: {} units of {} taken", n, taken));
}

std::int64_t Semaphore::available() const noexcept {
  return size_ - static_cast<std::int64_t>(state_.load(std::memory_order_relaxed) / kUnit);
}

}  // namespace treadle
