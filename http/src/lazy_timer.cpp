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
  return time_of(state_->wanted.load(std::memory_order_relaxed));
}

void LazyTimer::set(Deadline d, Tag tag) {
  State& s = *state_;
  const Word w = word(d, tag);
  s.wanted.store(w);
  if (s.armed.load() <= w) return;
  const std::lock_guard guard(s.lock);
  if (s.armed.load() > w) arm(state_, w);
}

// Under the lock.
void LazyTimer::arm(const std::shared_ptr<State>& s, Word w) {
  if (s->stopped.load()) return;
  const Duration left = std::max<Duration>(time_of(w).remaining(), milliseconds(1));
  // Made before `armed` says so: where there is no memory for one, the next set() tries again.
  const bool made = !s->timer;
  if (made) s->timer = after_func(left, [s] { look(s); });
  s->armed.store(w);
  if (!made) s->timer.reset(left);
}

// Does what the deadline as it stands asks for. True: nothing more is to be done. Under the lock.
bool LazyTimer::settle(const std::shared_ptr<State>& s) {
  const Word w = s->wanted.load();
  if (w == kNone) {
    s->armed.store(kNone);
    return s->wanted.load() == kNone;
  }
  if (!time_of(w).passed()) {
    arm(s, w);
    return s->wanted.load() >= w;
  }
  s->armed.store(kNone);
  Word due = w;
  if (s->wanted.compare_exchange_strong(due, kNone) && !s->stopped.load())
    s->expired(static_cast<Tag>(w & ((Word{1} << kTagBits) - 1)));
  return false;
}

void LazyTimer::look(const std::shared_ptr<State>& s) {
  {
    const std::lock_guard guard(s->lock);
    while (!s->stopped.load() && !settle(s)) {
    }
  }
  drop_if_stopped(*s);
}

// Whoever holds the lock meanwhile comes here itself afterwards.
void LazyTimer::drop_if_stopped(State& s) noexcept {
  if (!s.stopped.load() || !s.lock.try_lock()) return;
  const Timer dropped = std::exchange(s.timer, Timer());
  s.lock.unlock();
  if (dropped) dropped.stop();
}

void LazyTimer::stop() noexcept {
  state_->stopped.store(true);
  state_->wanted.store(kNone);
  drop_if_stopped(*state_);
}

}  // namespace treadle::http::detail
