// RateLimiter: how often something may happen, as a token bucket.
//
//   treadle::RateLimiter limit(treadle::Rate::per_second(100), 20);   // 100 a second, bursts of 20
//   if (!limit.allow()) return too_many_requests();
//   if (auto r = limit.wait(ctx); !r) return r.error();               // parks until it is our turn
#pragma once

#include <cstdint>

#include <treadle/context.h>
#include <treadle/detail/lock.h>
#include <treadle/timer.h>

namespace treadle {

namespace rt {
struct Waiter;
}

// Events a second. Rates below zero, and NaN, panic where they are used.
struct Rate {
  double events_per_second = 0;

  static constexpr Rate per_second(double events) noexcept { return {events}; }
  // One event every `d`; zero or less means infinite().
  static constexpr Rate every(Duration d) noexcept {
    return d.count() > 0 ? Rate{1e9 / static_cast<double>(d.count())} : infinite();
  }
  // No limit: everything is allowed at once, whatever the burst.
  static constexpr Rate infinite() noexcept { return {__builtin_huge_val()}; }
  constexpr bool is_infinite() const noexcept { return events_per_second == __builtin_huge_val(); }
  friend constexpr bool operator==(Rate, Rate) noexcept = default;
};

// The pure core of a RateLimiter: reads no clock and is not synchronised. It holds up to `burst`
// tokens, full at first, and gains `rate` of them a second; an event takes one. A reservation may
// take more than there are: the debt is the time to wait. For one's own tables of buckets, and for
// tests. Time that goes backwards counts as standing still.
class TokenBucket {
 public:
  // Panics when the burst is below 0, or the rate is below 0 or NaN.
  TokenBucket(Rate rate, std::int64_t burst);

  // What reserve() gave; `granted` false: nothing was taken.
  struct Grant {
    bool granted = false;
    TimePoint at{};  // when the event may happen; TimePoint::max(): never
    std::int64_t events = 0;
    Rate rate{};  // the rate it was reckoned by
  };

  // Takes `n` tokens now, or none. Panics when `n` is below 0.
  bool allow(TimePoint now, std::int64_t n = 1);
  // Takes `n` tokens, if they can be had within `most_wait`; never more than the burst at a time.
  Grant reserve(TimePoint now, std::int64_t n, Duration most_wait = Duration::max());
  // Gives back what a grant has taken, as far as grants after it do not rely on it. Nothing, when
  // its time has come already.
  void cancel(TimePoint now, const Grant& grant);

  // Take effect from `now`; grants given before keep their times.
  void set_rate(TimePoint now, Rate rate);
  void set_burst(TimePoint now, std::int64_t burst);

  // Tokens there at `now`; below 0 after reservations.
  double tokens(TimePoint now) const noexcept;
  Rate rate() const noexcept { return rate_; }
  std::int64_t burst() const noexcept { return burst_; }

 private:
  void advance(TimePoint now) noexcept;

  Rate rate_;
  std::int64_t burst_;
  double tokens_;  // as of last_
  TimePoint last_ = TimePoint::min();
  TimePoint last_event_ = TimePoint::min();  // the latest time that was granted
};

// A token bucket that goroutines and plain threads share. Waiters are served in the order in which
// they came. Functions with a count take that many tokens for one event; a count below 0 panics.
class RateLimiter {
 public:
  // As TokenBucket's: panics on a negative or NaN rate, or a negative burst. A burst of 0 allows
  // nothing, unless the rate is infinite.
  RateLimiter(Rate rate, std::int64_t burst) : bucket_(rate, burst) {}
  RateLimiter(const RateLimiter&) = delete;
  RateLimiter& operator=(const RateLimiter&) = delete;

  // True: it may happen now, and has been counted. Never parks; any thread.
  bool allow(std::int64_t n = 1);

  // A promise that it may happen after delay(). The limiter must outlive it.
  class Reservation {
   public:
    // False when there is none: `n` is more than the burst, or the rate is 0 and the tokens are
    // gone for good.
    bool ok() const noexcept { return grant_.granted; }
    // How long to wait from now; zero when the time has come; Duration::max() when !ok().
    Duration delay() const noexcept;
    // Will not be used: gives the tokens back, as far as later reservations allow. Idempotent.
    // Never parks; any thread.
    void cancel();

   private:
    friend class RateLimiter;
    Reservation(RateLimiter& limiter, TokenBucket::Grant grant) noexcept
        : limiter_(&limiter), grant_(grant) {}
    RateLimiter* limiter_;
    TokenBucket::Grant grant_;
  };
  // Never parks; any thread.
  Reservation reserve(std::int64_t n = 1);

  // Waits until it may happen. Errors: `canceled` or `timed_out` when `ctx` is done already or ends
  // first (the tokens are given back); `timed_out` at once, with nothing taken, when the turn would
  // come after ctx's deadline; std::errc::value_too_large when `n` is more than the burst.
  // Parks the calling G; on a plain thread it blocks that thread.
  Result<void> wait(const Context& ctx, std::int64_t n = 1);
  // The same with the current Context.
  Result<void> wait(std::int64_t n = 1);

  // Change the limiter while it is used. Those who wait keep the time they were given; those who
  // were given none, since the rate was 0, are reckoned again. Never park; any thread.
  void set_rate(Rate rate);
  void set_burst(std::int64_t burst);
  Rate rate() const;
  std::int64_t burst() const;
  // Tokens there now; below 0 while somebody waits.
  double tokens() const;

 private:
  struct Turn {
    TokenBucket::Grant grant;
    bool now = false;
    bool too_many = false;
  };
  bool take_turn(std::int64_t n, Deadline deadline, Turn& turn);
  template <class F>
  void change(F&& f);

  mutable rt::Lock lock_;  // protects what follows
  TokenBucket bucket_;
  rt::Waiter* head_ = nullptr;  // those whose turn never comes at this rate
  rt::Waiter* tail_ = nullptr;
};

}  // namespace treadle
