#include "lazy_timer.h"

#include <algorithm>
#include <chrono>

namespace treadle::http::detail {

using std::chrono::milliseconds;

LazyTimer::Word LazyTimer::word(Deadline d, Tag tag) noexcept {
  if (d.is_never()) return kNone;
  const auto ms = std::chrono::ceil<milliseconds>(d.at().time_since_epoch()).count();
  // 2^40 milliseconds are 34 years.
  constexpr std::int64_t kMost = (std::int64_t{1} << (64 - kTagBits)) - 2;
  return static_cast<Word>(std::clamp<std::int64_t>(ms, 0, kMost)) << kTagBits | tag;
}

Deadline LazyTimer::time_of(Word w) noexcept {
  if (w == kNone) return Deadline::never();
  return Deadline(TimePoint(milliseconds(w >> kTagBits)));
}

Deadline LazyTimer::deadline() const noexcept {
  return time_of(wanted_.load(std::memory_order_relaxed));
}

void LazyTimer::set(Deadline d, Tag tag) {
  const Word w = word(d, tag);
  wanted_.store(w);
  if (armed_.load() <= w) return;
  {
    const std::lock_guard guard(lock_);
    if (armed_.load() > w) arm(w);
  }
  drop_if_stopped();
}

// Under the lock.
void LazyTimer::arm(Word w) {
  if (stopped_.load()) return;
  const Duration left = std::max<Duration>(time_of(w).remaining(), milliseconds(1));
  // Made before `armed_` says so: where there is no memory for one, the next set() tries again.
  const bool made = !timer_;
  if (made) timer_ = after_func(left, [this, kept = owner_.hold()] { look(); });
  armed_.store(w);
  if (!made) timer_.reset(left);
}

// Does what the deadline as it stands asks for. True: nothing more is to be done. Under the lock.
bool LazyTimer::settle() {
  const Word w = wanted_.load();
  if (w == kNone) {
    armed_.store(kNone);
    return wanted_.load() == kNone;
  }
  if (!time_of(w).passed()) {
    arm(w);
    return wanted_.load() >= w;
  }
  armed_.store(kNone);
  Word due = w;
  if (wanted_.compare_exchange_strong(due, kNone) && !stopped_.load())
    owner_.deadline_passed(static_cast<Tag>(w & ((Word{1} << kTagBits) - 1)));
  return false;
}

void LazyTimer::look() {
  {
    const std::lock_guard guard(lock_);
    while (!stopped_.load() && !settle()) {
    }
  }
  drop_if_stopped();
}

// Whoever holds the lock meanwhile comes here itself afterwards, be it only to wait for a call.
void LazyTimer::drop_if_stopped() noexcept {
  if (!stopped_.load() || !lock_.try_lock()) return;
  const Timer dropped = std::exchange(timer_, Timer());
  lock_.unlock();
  if (dropped) dropped.stop();
}

void LazyTimer::wait_for_call() {
  {
    const std::lock_guard guard(lock_);
  }
  drop_if_stopped();
}

void LazyTimer::stop() noexcept {
  stopped_.store(true);
  wanted_.store(kNone);
  drop_if_stopped();
}

}  // namespace treadle::http::detail
