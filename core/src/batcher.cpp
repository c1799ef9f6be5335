// Batcher: when to deliver, and who waits for it.
//
// Values are counted in the order in which they were stored: `stored` of them in all, the first
// `taken` handed to the delivery function, the first `delivered` done with. What waits is
// stored - taken. Batches are cut from the front: a full one, or all there is.
//
// Invariants, under the lock
//  - delivered <= taken <= stored; a value is in the gate from its admission until it is delivered.
//  - `starts` holds the time at which the first value of each batch to be was stored: an entry for
//    every max_size values that wait, and one for what remains.
//  - The deliverer waits only while nothing is due, and with the first start's time as its limit.
// The end comes when the gate is closed and empty.
#include <treadle/batcher.h>

#include <fmt/core.h>

#include <algorithm>
#include <atomic>
#include <limits>

#include <treadle/wait_group.h>

#include "gate.h"
#include "runtime/bubble.h"
#include "runtime/sched.h"
#include "runtime/syscall.h"
#include "wait_list.h"

namespace treadle::detail {

namespace {

constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max() / 4;

std::int64_t checked_pending(const BatcherOptions& o) {
  if (o.max_size < 1 || o.max_size > kMost)
    throw Panic(fmt::format("treadle::Batcher: a max_size of {}; 1 to {}", o.max_size, kMost));
  if (o.max_delay < Duration::zero())
    throw Panic(fmt::format("treadle::Batcher: a max_delay of {} ns", o.max_delay.count()));
  const std::int64_t pending = o.max_pending == 0 ? 4 * o.max_size : o.max_pending;
  if (pending < o.max_size)
    throw Panic(fmt::format("treadle::Batcher: a max_pending of {}, below max_size {}", pending,
                            o.max_size));
  return pending;
}

}  // namespace

struct BatcherCore::Impl {
  explicit Impl(const BatcherOptions& o)
      : gate(checked_pending(o), rt::WaitReason::batcher),
        max_size(static_cast<std::uint64_t>(o.max_size)),
        max_delay(o.max_delay.count()) {
    running.add(1);
  }

  rt::Gate gate;
  const std::uint64_t max_size;
  const std::int64_t max_delay;             // ns
  WaitGroup running;                        // the deliverer
  std::atomic<std::uint64_t> deliverer{0};  // its goroutine's id

  rt::Lock lock;  // protects what follows
  std::uint64_t stored = 0;
  std::uint64_t taken = 0;
  std::uint64_t delivered = 0;
  std::uint64_t flush_to = 0;  // values before it are due
  bool closing = false;        // all are due
  bool finished = false;       // none comes any more
  std::deque<std::int64_t> starts;
  rt::Waiter* deliverer_head = nullptr;
  rt::Waiter* deliverer_tail = nullptr;
  rt::Waiter* flush_head = nullptr;
  rt::Waiter* flush_tail = nullptr;

  // Runs `f` under the lock; it says whether the deliverer has to look again.
  template <class F>
  void change(F&& f) noexcept {
    rt::Entry entry;
    rt::GList ready;
    {
      rt::LockGuard hold(lock);
      if (f()) rt::wake_all({deliverer_head, deliverer_tail}, rt::Fired::granted, ready);
    }
    rt::ready_all(ready);
  }
  void finish() noexcept {
    change([&] { return finished = true; });
  }
  // Under the lock: when what waits is due; kNever when nothing waits, or not by time.
  std::int64_t due_at() const noexcept {
    if (starts.empty()) return rt::kNever;
    return max_delay < rt::kNever - starts.front() ? starts.front() + max_delay : rt::kNever;
  }
  void refuse_deliverer(const char* what) const {
    if (const std::uint64_t self = goroutine_id(); self != 0 && self == deliverer)
      throw Panic(fmt::format("treadle::Batcher::{}: called from its delivery function", what));
  }
};

BatcherCore::BatcherCore(const BatcherOptions& options) : impl_(std::make_unique<Impl>(options)) {}
BatcherCore::~BatcherCore() = default;

Result<void> BatcherCore::admit(const Context* ctx) {
  switch (impl_->gate.enter(ctx)) {
    case rt::Admission::admitted: return {};
    case rt::Admission::context_done: return fail(ctx->error());
    default: return fail(Errc::closed);
  }
}

bool BatcherCore::try_admit() noexcept {
  return impl_->gate.try_enter() == rt::Admission::admitted;
}

void BatcherCore::stored() noexcept {
  impl_->change([this] {
    Impl& b = *impl_;
    const std::uint64_t waiting = b.stored++ - b.taken;
    if (waiting % b.max_size == 0) b.starts.push_back(rt::clock_nanos());
    // The first one sets the time, the last one of a batch ends the wait.
    return waiting == 0 || waiting + 1 == b.max_size || b.closing;
  });
}

void BatcherCore::dropped() noexcept {
  if (impl_->gate.leave()) impl_->finish();
}

std::size_t BatcherCore::next() {
  Impl& b = *impl_;
  b.deliverer = goroutine_id();
  rt::ParkingEntry entry;
  for (;;) {
    b.lock.lock();
    const std::uint64_t waiting = b.stored - b.taken;
    const std::int64_t due = b.due_at();
    const bool now =
        waiting >= b.max_size ||
        (waiting > 0 && (b.closing || b.taken < b.flush_to || due <= rt::clock_nanos()));
    if (now || (waiting == 0 && b.finished)) {
      const std::uint64_t n = std::min(waiting, b.max_size);
      b.taken += n;
      if (n > 0) b.starts.pop_front();
      b.lock.unlock();
      return n;
    }
    rt::wait_in(b.lock, {b.deliverer_head, b.deliverer_tail}, {.until = due},
                rt::WaitReason::batcher);
  }
}

void BatcherCore::delivered(std::size_t n) noexcept {
  // Before anybody is told: who returns from flush() does not find these values pending.
  const bool last = impl_->gate.leave(static_cast<std::int64_t>(n));
  {
    rt::Entry entry;
    rt::GList ready;
    {
      rt::LockGuard hold(impl_->lock);
      impl_->delivered += n;
      rt::wake_all({impl_->flush_head, impl_->flush_tail}, rt::Fired::granted, ready);
    }
    rt::ready_all(ready);
  }
  if (last) impl_->finish();
}

void BatcherCore::ended() { impl_->running.done(); }

Result<void> BatcherCore::flush(const Context* ctx) {
  Impl& b = *impl_;
  b.refuse_deliverer("flush");
  std::uint64_t target = 0;
  b.change([&] {
    target = b.stored;
    b.flush_to = std::max(b.flush_to, target);
    return true;
  });
  rt::ensure_started();
  rt::ParkingEntry entry;
  for (;;) {
    b.lock.lock();
    if (b.delivered >= target) {
      b.lock.unlock();
      return {};
    }
    if (rt::wait_in(b.lock, {b.flush_head, b.flush_tail}, {.context = rt::state_of(ctx)},
                    rt::WaitReason::batcher) == rt::Fired::context)
      return fail(ctx->error());
  }
}

Result<void> BatcherCore::close(const Context* ctx) {
  impl_->refuse_deliverer("close");
  const bool empty = impl_->gate.close();
  impl_->change([&] { return impl_->closing = true; });
  if (empty) impl_->finish();
  return impl_->running.wait(ctx ? *ctx : background());
}

std::int64_t BatcherCore::pending() const noexcept { return impl_->gate.used(); }

}  // namespace treadle::detail
