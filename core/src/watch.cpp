// Watch: a shared value and its version.
//
// Invariants, under the lock
//  - `version` grows by one with each set(); a receiver has a change while its seen_ is below it.
//  - Receivers wait only while they have none and a sender is left; senders wait in unwatched()
//    only while there is a receiver.
// A value's destructor is user code: the old pointer is dropped after the lock.
#include <treadle/watch.h>

#include <utility>

#include "runtime/sched.h"
#include "runtime/syscall.h"
#include "wait_list.h"

namespace treadle::detail {

struct WatchCell {
  Mutex updating;  // one update() at a time; before `lock`

  rt::Lock lock;  // protects what follows
  std::shared_ptr<const void> value;
  std::uint64_t version = 0;
  std::size_t senders = 1;
  std::size_t receivers = 0;
  rt::Waiter* changed_head = nullptr;
  rt::Waiter* changed_tail = nullptr;
  rt::Waiter* unwatched_head = nullptr;
  rt::Waiter* unwatched_tail = nullptr;

  rt::WaiterQueue for_change() noexcept { return {changed_head, changed_tail}; }
  rt::WaiterQueue for_unwatched() noexcept { return {unwatched_head, unwatched_tail}; }
};

namespace {

template <class F>
auto locked(WatchCell& c, F&& f) noexcept {
  rt::Entry entry;
  rt::LockGuard hold(c.lock);
  return f(c);
}

// Runs `f` under the lock; it collects whom to wake.
template <class F>
void locked_waking(WatchCell& c, F&& f) noexcept {
  rt::Entry entry;
  rt::GList ready;
  {
    rt::LockGuard hold(c.lock);
    f(ready);
  }
  rt::ready_all(ready);
}

void add_receiver(WatchCell& c, std::uint64_t* seen) noexcept {
  locked(c, [&](WatchCell&) {
    ++c.receivers;
    if (seen) *seen = c.version;
  });
}

}  // namespace

WatchTx::WatchTx(std::shared_ptr<const void> initial) : cell_(std::make_shared<WatchCell>()) {
  cell_->value = std::move(initial);
}

WatchTx::WatchTx(const WatchTx& o) noexcept : cell_(o.cell_) {
  if (cell_) locked(*cell_, [](WatchCell& c) { ++c.senders; });
}

WatchTx& WatchTx::operator=(WatchTx o) noexcept {
  std::swap(cell_, o.cell_);
  return *this;
}

WatchTx::~WatchTx() {
  if (!cell_) return;
  locked_waking(*cell_, [&](rt::GList& ready) {
    if (--cell_->senders == 0) rt::wake_all(cell_->for_change(), rt::Fired::closed, ready);
  });
}

void WatchTx::set(std::shared_ptr<const void> value) const {
  if (!cell_) throw Panic("treadle::WatchSender: used after it was moved from");
  locked_waking(*cell_, [&](rt::GList& ready) {
    std::swap(cell_->value, value);
    ++cell_->version;
    rt::wake_all(cell_->for_change(), rt::Fired::granted, ready);
  });
}

std::shared_ptr<const void> WatchTx::value() const noexcept {
  return locked(*cell_, [](WatchCell& c) { return c.value; });
}

Mutex& WatchTx::updating() const noexcept { return cell_->updating; }

std::size_t WatchTx::receivers() const noexcept {
  return locked(*cell_, [](WatchCell& c) { return c.receivers; });
}

Result<void> WatchTx::unwatched(const Context* ctx) const {
  rt::ensure_started();
  rt::ParkingEntry entry;
  for (;;) {
    cell_->lock.lock();
    if (cell_->receivers == 0) {
      cell_->lock.unlock();
      return {};
    }
    if (rt::wait_in(cell_->lock, cell_->for_unwatched(), {.context = rt::state_of(ctx)},
                    rt::WaitReason::watch) == rt::Fired::context)
      return fail(ctx->error());
  }
}

WatchRx::WatchRx(const std::shared_ptr<WatchCell>& cell) noexcept : cell_(cell) {
  add_receiver(*cell_, &seen_);
}

WatchRx::WatchRx(const WatchRx& o) noexcept : cell_(o.cell_), seen_(o.seen_) {
  if (cell_) add_receiver(*cell_, nullptr);
}

WatchRx& WatchRx::operator=(WatchRx o) noexcept {
  std::swap(cell_, o.cell_);
  std::swap(seen_, o.seen_);
  return *this;
}

WatchRx::~WatchRx() {
  if (!cell_) return;
  locked_waking(*cell_, [&](rt::GList& ready) {
    if (--cell_->receivers == 0) rt::wake_all(cell_->for_unwatched(), rt::Fired::granted, ready);
  });
}

Result<void> WatchRx::changed(const Context* ctx) {
  if (!cell_) throw Panic("treadle::WatchReceiver: used after it was moved from");
  rt::ensure_started();
  rt::ParkingEntry entry;
  for (;;) {
    cell_->lock.lock();
    if (seen_ != cell_->version) {
      seen_ = cell_->version;
      cell_->lock.unlock();
      return {};
    }
    if (cell_->senders == 0) {
      cell_->lock.unlock();
      return fail(Errc::closed);
    }
    if (rt::wait_in(cell_->lock, cell_->for_change(), {.context = rt::state_of(ctx)},
                    rt::WaitReason::watch) == rt::Fired::context)
      return fail(ctx->error());
  }
}

bool WatchRx::has_changed() const noexcept {
  return locked(*cell_, [&](WatchCell& c) { return c.version != seen_; });
}

std::shared_ptr<const void> WatchRx::value() const noexcept {
  return locked(*cell_, [](WatchCell& c) { return c.value; });
}

std::shared_ptr<const void> WatchRx::value_seen() noexcept {
  return locked(*cell_, [&](WatchCell& c) {
    seen_ = c.version;
    return c.value;
  });
}

}  // namespace treadle::detail
