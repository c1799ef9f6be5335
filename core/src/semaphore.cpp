// Semaphore: a count and a queue under one lock.
//
// Invariant, whenever the lock is free: the request in front of the queue, if any, does not fit. So
// whatever makes room, or takes the front away, serves the queue. Units are taken on a waiter's
// behalf before it is woken.
#include <treadle/semaphore.h>

#include <fmt/core.h>

#include "runtime/context_state.h"
#include "runtime/sched.h"
#include "runtime/syscall.h"
#include "runtime/waiter.h"

namespace treadle {

namespace {

struct Request : rt::Waiter {
  std::int64_t n = 0;
};

// Serves the queue from the front, as far as the units go. Under the lock.
void serve(std::int64_t size, std::int64_t& taken, rt::Waiter*& head, rt::Waiter*& tail,
           rt::GList& ready) noexcept {
  rt::WaiterQueue queue(head, tail);
  while (head) {
    auto* r = static_cast<Request*>(head);
    const std::int64_t n = r->n;
    if (n > size - taken && r->fired() == rt::Fired::no) return;
    queue.pop_front();
    rt::G* g = nullptr;
    if (n > size - taken || !r->claim(rt::Fired::granted, &g)) continue;  // its context ended
    taken += n;
    if (g) ready.push_back(g);
  }
}

void make_ready(rt::GList& ready) noexcept {
  while (rt::G* g = ready.pop_front()) rt::goready(g);
}

void check_count(const char* function, std::int64_t n) {
  if (n < 0) throw Panic(fmt::format("treadle::Semaphore::{}: negative count {}", function, n));
}

}  // namespace

Semaphore::Semaphore(std::int64_t size) : size_(size) {
  if (size < 0) throw Panic(fmt::format("treadle::Semaphore: negative size {}", size));
}

bool Semaphore::try_acquire(std::int64_t n) {
  check_count("try_acquire", n);
  rt::Entry entry;
  const rt::LockGuard hold(lock_);
  if (head_ || n > size_ - taken_) return false;
  taken_ += n;
  return true;
}

bool Semaphore::acquire_slow(std::int64_t n, rt::ContextState* context) {
  rt::ensure_started();
  rt::ParkingEntry entry;
  Request r;
  r.n = n;
  {
    const rt::LockGuard hold(lock_);
    if (!head_ && n <= size_ - taken_) {
      taken_ += n;
      return true;
    }
    rt::WaiterQueue(head_, tail_).push_back(&r);
  }
  rt::Fired fired;
  {
    rt::ContextWait registered(context, r);
    fired = r.wait(rt::WaitReason::semaphore);
  }
  if (fired == rt::Fired::granted && r.claimed_parked()) return true;
  rt::GList ready;
  {
    const rt::LockGuard hold(lock_);
    rt::WaiterQueue(head_, tail_).remove(&r);
    if (fired == rt::Fired::context) serve(size_, taken_, head_, tail_, ready);
  }
  make_ready(ready);
  return fired == rt::Fired::granted;
}

void Semaphore::acquire(std::int64_t n) {
  check_count("acquire", n);
  if (n > size_)
    throw Panic(fmt::format("treadle::Semaphore::acquire: {} units of {} in all", n, size_));
  acquire_slow(n, nullptr);
}

Result<void> Semaphore::acquire(std::int64_t n, const Context& ctx) {
  check_count("acquire", n);
  if (n > size_) return fail(std::make_error_code(std::errc::value_too_large));
  if (!acquire_slow(n, ctx.state())) return fail(ctx.error());
  return {};
}

void Semaphore::release(std::int64_t n) {
  check_count("release", n);
  std::int64_t taken;
  {
    rt::Entry entry;
    rt::GList ready;
    {
      const rt::LockGuard hold(lock_);
      taken = taken_;
      if (n <= taken) {
        taken_ -= n;
        serve(size_, taken_, head_, tail_, ready);
      }
    }
    make_ready(ready);
  }
  if (n > taken)
    throw Panic(fmt::format("treadle::Semaphore::release: {} units of {} taken", n, taken));
}

std::int64_t Semaphore::available() noexcept {
  rt::Entry entry;
  const rt::LockGuard hold(lock_);
  return size_ - taken_;
}

}  // namespace treadle
