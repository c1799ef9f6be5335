// Broadcast: a ring of shared values.
//
// Invariants, under the lock
//  - Values are numbered from 0; `tail` is the next one's number. Value n, while it is there, lies
//    in slot n % capacity; values below tail - capacity are gone.
//  - A slot's `unread` counts the receivers whose next_ is at or below its number; at 0 the slot is
//    empty. A receiver that lags does not count in what was overwritten.
//  - Receivers wait only while next_ == tail and it is not closed.
// A value's destructor is user code: pointers are moved out under the lock and dropped after it.
#include <treadle/broadcast.h>

#include <fmt/core.h>

#include <array>
#include <limits>
#include <vector>

#include "runtime/sched.h"
#include "runtime/syscall.h"
#include "wait_list.h"

namespace treadle::detail {

struct BroadcastRing {
  struct Slot {
    std::shared_ptr<const void> value;
    std::size_t unread = 0;
  };

  explicit BroadcastRing(std::size_t capacity) : slots(capacity) {}

  rt::Lock lock;  // protects what follows; slots' size is fixed
  std::vector<Slot> slots;
  std::uint64_t tail = 0;
  std::size_t senders = 1;
  std::size_t receivers = 0;
  bool closed = false;
  rt::Waiter* head_waiter = nullptr;
  rt::Waiter* tail_waiter = nullptr;

  rt::WaiterQueue waiters() noexcept { return {head_waiter, tail_waiter}; }
  Slot& slot(std::uint64_t n) noexcept { return slots[n % slots.size()]; }
  std::uint64_t oldest() const noexcept { return tail > slots.size() ? tail - slots.size() : 0; }

  // One receiver has read value n. The pointer is the value's last one when nobody else wants it.
  std::shared_ptr<const void> read(std::uint64_t n) noexcept {
    Slot& s = slot(n);
    return --s.unread == 0 ? std::move(s.value) : s.value;
  }
  void close_locked(rt::GList& ready) noexcept {
    closed = true;
    rt::wake_all(waiters(), rt::Fired::closed, ready);
  }
};

namespace {

std::size_t checked_capacity(std::int64_t n) {
  constexpr auto kMost = std::numeric_limits<std::ptrdiff_t>::max() /
                         static_cast<std::int64_t>(sizeof(BroadcastRing::Slot));
  if (n < 1 || n > kMost)
    throw Panic(
        fmt::format("treadle::BroadcastSender: a capacity of {}; it must be 1 or more, and "
                    "fit the address space",
                    n));
  return static_cast<std::size_t>(n);
}

}  // namespace

BroadcastTx::BroadcastTx(std::int64_t capacity)
    : ring_(std::make_shared<BroadcastRing>(checked_capacity(capacity))) {}

BroadcastTx::BroadcastTx(const BroadcastTx& o) noexcept : ring_(o.ring_) {
  if (!ring_) return;
  rt::Entry entry;
  rt::LockGuard hold(ring_->lock);
  ++ring_->senders;
}

BroadcastTx& BroadcastTx::operator=(BroadcastTx o) noexcept {
  std::swap(ring_, o.ring_);
  return *this;
}

BroadcastTx::~BroadcastTx() {
  if (!ring_) return;
  rt::Entry entry;
  rt::GList ready;
  {
    rt::LockGuard hold(ring_->lock);
    if (--ring_->senders == 0) ring_->close_locked(ready);
  }
  rt::ready_all(ready);
}

Result<std::size_t> BroadcastTx::send(std::shared_ptr<const void> value) const {
  if (!ring_) throw Panic("treadle::BroadcastSender: used after it was moved from");
  std::size_t reached = 0;
  bool closed = false;
  {
    rt::Entry entry;
    rt::GList ready;
    {
      rt::LockGuard hold(ring_->lock);
      closed = ring_->closed;
      if (!closed && ring_->receivers > 0) {
        BroadcastRing::Slot& s = ring_->slot(ring_->tail++);
        std::swap(s.value, value);  // the overwritten one, if any, goes with `value`
        s.unread = reached = ring_->receivers;
        rt::wake_all(ring_->waiters(), rt::Fired::granted, ready);
      }
    }
    rt::ready_all(ready);
  }
  if (closed) return fail(Errc::closed);
  return reached;
}

void BroadcastTx::close() const noexcept {
  rt::Entry entry;
  rt::GList ready;
  {
    rt::LockGuard hold(ring_->lock);
    ring_->close_locked(ready);
  }
  rt::ready_all(ready);
}

std::size_t BroadcastTx::receivers() const noexcept {
  rt::Entry entry;
  rt::LockGuard hold(ring_->lock);
  return ring_->receivers;
}

void BroadcastRx::check() const {
  if (!ring_) throw Panic("treadle::BroadcastReceiver: used after it was moved from");
}

BroadcastRx::BroadcastRx(const std::shared_ptr<BroadcastRing>& ring) noexcept : ring_(ring) {
  rt::Entry entry;
  rt::LockGuard hold(ring_->lock);
  ++ring_->receivers;
  next_ = ring_->tail;
}

BroadcastRx::BroadcastRx(BroadcastRx&& o) noexcept
    : ring_(std::move(o.ring_)), next_(o.next_), missed_(o.missed_) {}

BroadcastRx& BroadcastRx::operator=(BroadcastRx&& o) noexcept {
  BroadcastRx old(std::move(o));  // what stood here goes now
  std::swap(ring_, old.ring_);
  std::swap(next_, old.next_);
  std::swap(missed_, old.missed_);
  return *this;
}

// Counts as having read all there is, a few at a time: their values are dropped outside the lock.
BroadcastRx::~BroadcastRx() {
  if (!ring_) return;
  for (bool all = false; !all;) {
    std::array<std::shared_ptr<const void>, 16> dropped;
    rt::Entry entry;
    rt::LockGuard hold(ring_->lock);
    if (next_ < ring_->oldest()) next_ = ring_->oldest();
    for (auto& to : dropped) {
      if (next_ == ring_->tail) break;
      to = ring_->read(next_++);
    }
    all = next_ == ring_->tail;
    if (all) --ring_->receivers;
  }
}

// Under the lock. A null pointer: nothing there yet.
Result<std::shared_ptr<const void>> BroadcastRx::read_locked() noexcept {
  BroadcastRing& r = *ring_;
  if (const std::uint64_t oldest = r.oldest(); next_ < oldest) {
    missed_ = oldest - next_;
    next_ = oldest;
    return fail(Errc::lagged);
  }
  if (next_ != r.tail) return r.read(next_++);
  if (r.closed) return fail(Errc::closed);
  return std::shared_ptr<const void>();
}

Result<std::shared_ptr<const void>> BroadcastRx::try_recv() {
  check();
  rt::Entry entry;  // moves nobody to another thread
  rt::LockGuard hold(ring_->lock);
  return read_locked();
}

Result<std::shared_ptr<const void>> BroadcastRx::recv(const Context* ctx) {
  check();
  rt::ensure_started();
  rt::ParkingEntry entry;
  for (;;) {
    ring_->lock.lock();
    if (auto r = read_locked(); !r || *r) {
      ring_->lock.unlock();
      return r;
    }
    if (rt::wait_in(ring_->lock, ring_->waiters(), {.context = rt::state_of(ctx)},
                    rt::WaitReason::broadcast) == rt::Fired::context)
      return fail(ctx->error());
  }
}

std::uint64_t BroadcastRx::pending() const noexcept {
  rt::Entry entry;
  rt::LockGuard hold(ring_->lock);
  return ring_->tail - next_;
}

}  // namespace treadle::detail
