// RateLimiter: the bucket's arithmetic, then a lock and a clock around it.
//
// Tokens are doubles, times are nanoseconds. A debt of d tokens is paid after d / rate seconds;
// what the clock cannot hold counts as never (TimePoint::max()).
#include <treadle/rate_limiter.h>

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "runtime/sched.h"
#include "runtime/syscall.h"
#include "wait_list.h"

namespace treadle {

namespace {

Rate checked(Rate r) {
  if (!(r.events_per_second >= 0))  // NaN too
    throw Panic(fmt::format("treadle::RateLimiter: a rate of {} a second", r.events_per_second));
  return r;
}

std::int64_t checked_burst(std::int64_t burst) {
  if (burst < 0) throw Panic(fmt::format("treadle::RateLimiter: a burst of {}", burst));
  return burst;
}

void check_count(std::int64_t n) {
  if (n < 0) throw Panic(fmt::format("treadle::RateLimiter: {} events", n));
}

// How long `tokens` take to come; Duration::max() for ever.
Duration time_for(Rate rate, double tokens) noexcept {
  if (tokens <= 0 || rate.is_infinite()) return Duration::zero();
  const double ns = tokens / rate.events_per_second * 1e9;
  if (!(ns < 9.2e18)) return Duration::max();  // a rate of 0 too
  return Duration(static_cast<std::int64_t>(std::ceil(ns)));
}

// Both as seconds times rate, infinite when that does not fit; 0 * infinity is 0 here.
double tokens_in(Rate rate, TimePoint from, TimePoint to) noexcept {
  if (to <= from || rate.events_per_second == 0) return 0;
  // As doubles: the difference of two time points may not fit a Duration.
  const double ns = static_cast<double>(to.time_since_epoch().count()) -
                    static_cast<double>(from.time_since_epoch().count());
  return ns * 1e-9 * rate.events_per_second;
}

TimePoint later(TimePoint t, Duration d) noexcept {
  return d > TimePoint::max() - std::max(t, TimePoint()) ? TimePoint::max() : t + d;
}

}  // namespace

TokenBucket::TokenBucket(Rate rate, std::int64_t burst)
    : rate_(checked(rate)), burst_(checked_burst(burst)), tokens_(static_cast<double>(burst)) {}

double TokenBucket::tokens(TimePoint now) const noexcept {
  if (rate_.is_infinite()) return static_cast<double>(burst_);
  // At first it is full, whenever that is.
  const double gained = last_ == TimePoint::min() ? 0 : tokens_in(rate_, last_, now);
  return std::min(tokens_ + gained, static_cast<double>(burst_));
}

void TokenBucket::advance(TimePoint now) noexcept {
  tokens_ = tokens(now);
  last_ = std::max(last_, now);
}

bool TokenBucket::allow(TimePoint now, std::int64_t n) {
  return reserve(now, n, Duration::zero()).granted;
}

TokenBucket::Grant TokenBucket::reserve(TimePoint now, std::int64_t n, Duration most_wait) {
  check_count(n);
  if (rate_.is_infinite()) return {.granted = true, .at = now, .events = 0, .rate = rate_};
  if (n > burst_) return {};
  const double left = tokens(now) - static_cast<double>(n);
  const Duration wait = time_for(rate_, -left);
  if (wait == Duration::max() || wait > most_wait) return {};
  advance(now);
  tokens_ = left;
  last_event_ = later(now, wait);
  return {.granted = true, .at = last_event_, .events = n, .rate = rate_};
}

void TokenBucket::cancel(TimePoint now, const Grant& grant) {
  if (!grant.granted || grant.events == 0 || rate_.is_infinite() || grant.at < now) return;
  // Whoever came after was told a time that counts on these tokens: what has been promised between
  // our time and the last one's is not given back.
  const double restored =
      static_cast<double>(grant.events) - tokens_in(grant.rate, grant.at, last_event_);
  if (restored <= 0) return;
  advance(now);
  tokens_ = std::min(tokens_ + restored, static_cast<double>(burst_));
  if (grant.at != last_event_) return;
  // The last one: the one before it was granted its own tokens' time earlier.
  const Duration span = time_for(grant.rate, static_cast<double>(grant.events));
  if (span < grant.at - now) last_event_ = grant.at - span;
}

void TokenBucket::set_rate(TimePoint now, Rate rate) {
  checked(rate);
  advance(now);
  rate_ = rate;
}

void TokenBucket::set_burst(TimePoint now, std::int64_t burst) {
  checked_burst(burst);
  advance(now);
  burst_ = burst;
}

// Calls `f` on the bucket under its lock: a few instructions, no user code. Arguments are checked
// before, since a Panic does not leave from inside.
template <class F>
static auto locked(rt::Lock& lock, F&& f) {
  rt::Entry entry;
  rt::LockGuard hold(lock);
  return f();
}

bool RateLimiter::allow(std::int64_t n) {
  check_count(n);
  const TimePoint now = Clock::now();
  return locked(lock_, [&] { return bucket_.allow(now, n); });
}

RateLimiter::Reservation RateLimiter::reserve(std::int64_t n) {
  check_count(n);
  const TimePoint now = Clock::now();
  return {*this, locked(lock_, [&] { return bucket_.reserve(now, n); })};
}

Duration RateLimiter::Reservation::delay() const noexcept {
  if (!grant_.granted) return Duration::max();
  return std::max(grant_.at - Clock::now(), Duration::zero());
}

void RateLimiter::Reservation::cancel() {
  const TimePoint now = Clock::now();
  locked(limiter_->lock_, [&] { limiter_->bucket_.cancel(now, grant_); });
  grant_.events = 0;  // given back once
}

Result<void> RateLimiter::wait(std::int64_t n) { return wait(current_context(), n); }

// Under the lock. False: it would never come as things stand, and nothing says by when it must.
bool RateLimiter::take_turn(std::int64_t n, Deadline deadline, Turn& turn) {
  const TimePoint now = Clock::now();
  turn.too_many = n > bucket_.burst() && !bucket_.rate().is_infinite();
  if (turn.too_many) return true;
  turn.grant = bucket_.reserve(now, n, deadline.is_never() ? Duration::max() : deadline.at() - now);
  turn.now = turn.grant.granted && turn.grant.at <= now;
  return turn.grant.granted || !deadline.is_never();
}

Result<void> RateLimiter::wait(const Context& ctx, std::int64_t n) {
  check_count(n);
  if (ctx.done()) return fail(ctx.error());
  rt::ensure_started();
  Turn turn;
  rt::Fired fired = rt::Fired::timeout;
  {
    rt::ParkingEntry entry;
    lock_.lock();
    while (!take_turn(n, ctx.deadline(), turn)) {
      // The rate is 0 and the tokens are gone: until somebody changes it.
      fired = rt::wait_in(lock_, {head_, tail_}, {.context = ctx.state()},
                          rt::WaitReason::rate_limiter);
      if (fired == rt::Fired::context) return fail(ctx.error());
      lock_.lock();
    }
    lock_.unlock();
    if (turn.now) return {};
    if (turn.grant.granted)
      fired = rt::wait_alone(
          {.context = ctx.state(), .until = turn.grant.at.time_since_epoch().count()},
          rt::WaitReason::rate_limiter);
  }
  if (turn.too_many) return fail(std::make_error_code(std::errc::value_too_large));
  if (!turn.grant.granted) return fail(Errc::timed_out);
  if (fired != rt::Fired::context) return {};
  const TimePoint ended = Clock::now();
  locked(lock_, [&] { bucket_.cancel(ended, turn.grant); });
  return fail(ctx.error());
}

template <class F>
void RateLimiter::change(F&& f) {
  const TimePoint now = Clock::now();
  rt::Entry entry;
  rt::GList ready;
  {
    rt::LockGuard hold(lock_);
    f(now);
    rt::wake_all({head_, tail_}, rt::Fired::granted, ready);
  }
  rt::ready_all(ready);
}

void RateLimiter::set_rate(Rate rate) {
  checked(rate);
  change([&](TimePoint now) { bucket_.set_rate(now, rate); });
}

void RateLimiter::set_burst(std::int64_t burst) {
  checked_burst(burst);
  change([&](TimePoint now) { bucket_.set_burst(now, burst); });
}

Rate RateLimiter::rate() const {
  return locked(lock_, [&] { return bucket_.rate(); });
}

std::int64_t RateLimiter::burst() const {
  return locked(lock_, [&] { return bucket_.burst(); });
}

double RateLimiter::tokens() const {
  const TimePoint now = Clock::now();
  return locked(lock_, [&] { return bucket_.tokens(now); });
}

}  // namespace treadle
