#include "gate.h"

#include "runtime/sched.h"
#include "runtime/syscall.h"
#include "wait_list.h"

namespace treadle::rt {

Admission Gate::enter(const Context* ctx) {
  ensure_started();
  ParkingEntry entry;
  lock_.lock();
  if (closed_ || used_ < limit_) {
    const bool closed = closed_;
    if (!closed) ++used_;
    lock_.unlock();
    return closed ? Admission::closed : Admission::admitted;
  }
  switch (wait_in(lock_, {head_, tail_}, {.context = state_of(ctx)}, why_)) {
    case Fired::granted: return Admission::admitted;
    case Fired::context: return Admission::context_done;
    default: return Admission::closed;
  }
}

Admission Gate::try_enter() noexcept {
  Entry entry;
  LockGuard hold(lock_);
  if (closed_) return Admission::closed;
  if (used_ == limit_) return Admission::full;
  ++used_;
  return Admission::admitted;
}

bool Gate::leave(std::int64_t n) noexcept {
  Entry entry;
  GList ready;
  bool last;
  {
    LockGuard hold(lock_);
    used_ -= n;
    last = closed_ && used_ == 0;
    while (n-- > 0 && wake_one({head_, tail_}, Fired::granted, ready)) ++used_;
  }
  ready_all(ready);
  return last;
}

bool Gate::close() noexcept {
  Entry entry;
  GList ready;
  bool last;
  {
    LockGuard hold(lock_);
    closed_ = true;
    last = used_ == 0;
    wake_all({head_, tail_}, Fired::closed, ready);
  }
  ready_all(ready);
  return last;
}

std::int64_t Gate::used() const noexcept {
  Entry entry;
  LockGuard hold(lock_);
  return used_;
}

}  // namespace treadle::rt
