#include <treadle/rate_limiter.h>

#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <treadle/go.h>
#include <treadle/testing.h>
#include <treadle/wait_group.h>

#include "support/goroutine.h"

namespace treadle {
namespace {

using test::Task;
using namespace std::chrono_literals;

// The pure core: time is what the test says. Ticks of 100 ms at 10 a second: one token each.
TimePoint tick(std::int64_t n) { return TimePoint(1'000'000s) + n * 100ms; }

TEST(RateLimiterBucket, StartsFullAndGainsOneATick) {
  TokenBucket b(Rate::per_second(10), 1);
  EXPECT_TRUE(b.allow(tick(0)));
  EXPECT_FALSE(b.allow(tick(0)));
  EXPECT_TRUE(b.allow(tick(1)));
  EXPECT_FALSE(b.allow(tick(1)));
  EXPECT_FALSE(b.allow(tick(1), 2));
  EXPECT_TRUE(b.allow(tick(2)));
}

TEST(RateLimiterBucket, BurstIsTheMostAtATime) {
  TokenBucket b(Rate::per_second(10), 3);
  EXPECT_TRUE(b.allow(tick(0), 2));
  EXPECT_FALSE(b.allow(tick(0), 2));
  EXPECT_TRUE(b.allow(tick(0)));
  EXPECT_FALSE(b.allow(tick(0)));
  EXPECT_FALSE(b.allow(tick(1), 4));
  EXPECT_TRUE(b.allow(tick(1)));
  EXPECT_TRUE(b.allow(tick(9), 3)) << "no more than the burst has gathered";
  EXPECT_FALSE(b.allow(tick(9)));
}

TEST(RateLimiterBucket, TimeThatGoesBackStandsStill) {
  TokenBucket b(Rate::per_second(10), 2);
  EXPECT_TRUE(b.allow(tick(1)));
  EXPECT_TRUE(b.allow(tick(0)));
  EXPECT_FALSE(b.allow(tick(0)));
  EXPECT_FALSE(b.allow(tick(1)));
  EXPECT_TRUE(b.allow(tick(2)));
}

TEST(RateLimiterBucket, InfiniteRateAllowsAnyCount) {
  TokenBucket b(Rate::infinite(), 0);
  EXPECT_TRUE(b.allow(tick(0), 1'000'000));
  EXPECT_EQ(b.reserve(tick(0), 50).at, tick(0));
  EXPECT_TRUE(Rate::every(0s).is_infinite());
  EXPECT_TRUE(Rate::every(-1s).is_infinite());
  EXPECT_EQ(Rate::every(100ms), Rate::per_second(10));
}

TEST(RateLimiterBucket, RateZeroGivesTheBurstOnce) {
  TokenBucket b(Rate::per_second(0), 2);
  EXPECT_TRUE(b.allow(tick(0)));
  EXPECT_TRUE(b.allow(tick(0)));
  EXPECT_FALSE(b.allow(tick(100'000)));
  EXPECT_FALSE(b.reserve(tick(100'000), 1, Duration::max()).granted);
}

TEST(RateLimiterBucket, BurstZeroAllowsNothing) {
  TokenBucket b(Rate::per_second(10), 0);
  EXPECT_FALSE(b.allow(tick(0)));
  EXPECT_TRUE(b.allow(tick(0), 0));
  EXPECT_FALSE(b.reserve(tick(0), 1).granted);
}

TEST(RateLimiterBucket, ReservationsQueueUp) {
  TokenBucket b(Rate::per_second(10), 2);
  EXPECT_EQ(b.reserve(tick(0), 2).at, tick(0));
  EXPECT_EQ(b.reserve(tick(0), 2).at, tick(2));
  EXPECT_EQ(b.reserve(tick(0), 2).at, tick(4));
  EXPECT_DOUBLE_EQ(b.tokens(tick(0)), -4);
  EXPECT_FALSE(b.reserve(tick(0), 3).granted) << "more than the burst";
  EXPECT_FALSE(b.reserve(tick(0), 1, 400ms).granted) << "would come at 500 ms";
  EXPECT_DOUBLE_EQ(b.tokens(tick(0)), -4) << "a refusal takes nothing";
  EXPECT_TRUE(b.reserve(tick(0), 1, 500ms).granted);
}

TEST(RateLimiterBucket, CancelGivesBack) {
  TokenBucket b(Rate::per_second(10), 2);
  b.reserve(tick(0), 2);
  const auto grant = b.reserve(tick(0), 2);
  b.cancel(tick(1), grant);
  EXPECT_EQ(b.reserve(tick(1), 2).at, tick(2));
}

TEST(RateLimiterBucket, CancelLeavesWhatLaterOnesRelyOn) {
  TokenBucket b(Rate::per_second(10), 2);
  b.reserve(tick(0), 2);
  const auto early = b.reserve(tick(0), 1);
  EXPECT_EQ(early.at, tick(1));
  EXPECT_EQ(b.reserve(tick(0), 2).at, tick(3));
  b.cancel(tick(0), early);  // two ticks were promised after it: nothing left to give back
  EXPECT_EQ(b.reserve(tick(0), 2).at, tick(5));
}

TEST(RateLimiterBucket, CancelOfTheFirstOfEqualsGivesPartBack) {
  TokenBucket b(Rate::per_second(10), 4);
  b.reserve(tick(0), 4);
  const auto big = b.reserve(tick(0), 3);
  EXPECT_EQ(big.at, tick(3));
  EXPECT_EQ(b.reserve(tick(0), 1).at, tick(4));
  b.cancel(tick(0), big);  // 3 less the 1 promised after it
  EXPECT_EQ(b.reserve(tick(0), 1).at, tick(3));
}

TEST(RateLimiterBucket, CancelTooLateGivesNothing) {
  TokenBucket b(Rate::per_second(10), 2);
  b.reserve(tick(0), 2);
  const auto grant = b.reserve(tick(0), 2);
  b.cancel(tick(3), grant);
  EXPECT_DOUBLE_EQ(b.tokens(tick(3)), 1);
}

TEST(RateLimiterBucket, NewRateAndBurstTakeEffectFromThen) {
  TokenBucket b(Rate::per_second(10), 2);
  b.reserve(tick(0), 2);
  EXPECT_EQ(b.reserve(tick(0), 2).at, tick(2));
  b.set_rate(tick(1), Rate::per_second(5));
  EXPECT_EQ(b.reserve(tick(1), 1).at, tick(5)) << "owes 1 at 10 a second, then 2 at 5";
  b.set_burst(tick(1), 1);
  EXPECT_FALSE(b.reserve(tick(1), 2).granted);
  EXPECT_DOUBLE_EQ(b.tokens(tick(100)), 1);
}

TEST(RateLimiterBucket, HugeTimesDoNotOverflow) {
  TokenBucket b(Rate::per_second(1e-12), std::numeric_limits<std::int64_t>::max());
  EXPECT_TRUE(b.allow(TimePoint(), std::numeric_limits<std::int64_t>::max()));
  EXPECT_FALSE(b.reserve(TimePoint(), 1'000'000, Duration::max()).granted);
  TokenBucket fast(Rate::per_second(1e300), 5);
  EXPECT_TRUE(fast.allow(TimePoint::max(), 5));
  EXPECT_TRUE(fast.reserve(TimePoint::max(), 5).granted);
}

TEST(RateLimiterBucket, NonsensePanicsWithTheValue) {
  const auto text = [](auto f) -> std::string {
    try {
      f();
    } catch (const Panic& p) {
      return p.what();
    }
    return "no panic";
  };
  EXPECT_NE(text([] { TokenBucket(Rate::per_second(-2), 1); }).find("-2"), std::string::npos);
  EXPECT_NE(text([] { TokenBucket(Rate::per_second(std::nan("")), 1); }).find("nan"),
            std::string::npos);
  EXPECT_NE(text([] { TokenBucket(Rate::per_second(1), -7); }).find("-7"), std::string::npos);
  RateLimiter limiter(Rate::per_second(1), 1);
  EXPECT_NE(text([&] { limiter.allow(-3); }).find("-3"), std::string::npos);
  EXPECT_NE(text([&] { limiter.reserve(-3); }).find("-3"), std::string::npos);
  EXPECT_NE(text([&] { (void)limiter.wait(-3); }).find("-3"), std::string::npos);
  EXPECT_NE(text([&] { limiter.set_rate(Rate::per_second(-1)); }).find("-1"), std::string::npos);
  EXPECT_NE(text([&] { limiter.set_burst(-1); }).find("-1"), std::string::npos);
  EXPECT_TRUE(limiter.allow());
}

// The limiter: rates so low or so high that the clock plays no part.
TEST(RateLimiterAllow, ManyAtOnceTakeEachTokenOnce) {
  test::run([] {
    RateLimiter limiter(Rate::per_second(0), 1000);
    std::atomic<int> allowed{0};
    WaitGroup wg;
    for (int i = 0; i < 20; ++i) {
      wg.add(1);
      go([&] {
        for (int n = 0; n < 100; ++n) allowed += limiter.allow();
        wg.done();
      });
    }
    wg.wait();
    EXPECT_EQ(allowed, 1000);
  });
}

TEST(RateLimiterReserve, DelayAndCancel) {
  RateLimiter limiter(Rate::every(1h), 1);
  auto now = limiter.reserve();
  EXPECT_TRUE(now.ok());
  EXPECT_EQ(now.delay(), 0s);
  auto later = limiter.reserve();
  EXPECT_GT(later.delay(), 50min);
  EXPECT_LE(later.delay(), 1h);
  later.cancel();
  later.cancel();
  EXPECT_GT(limiter.tokens(), -0.5);
  EXPECT_LT(limiter.tokens(), 0.5);
  auto none = limiter.reserve(2);
  EXPECT_FALSE(none.ok());
  EXPECT_EQ(none.delay(), Duration::max());
  none.cancel();
}

TEST(RateLimiterWait, FailsAtOnceWhenTheDeadlineComesFirst) {
  test::run([] {
    RateLimiter limiter(Rate::every(1h), 1);
    const Context ctx = with_timeout(background(), 30min).context;
    EXPECT_TRUE(limiter.wait(ctx));
    EXPECT_EQ(limiter.wait(ctx).error(), Errc::timed_out);
    EXPECT_FALSE(ctx.done());
    EXPECT_GT(limiter.tokens(), -0.5) << "a refusal takes nothing";
    EXPECT_EQ(limiter.wait(ctx, 2).error(), std::errc::value_too_large);
  });
}

TEST(RateLimiterWait, CancelGivesTheTokensBack) {
  test::run([] {
    RateLimiter limiter(Rate::every(1h), 1);
    auto [ctx, cancel] = with_cancel(background());
    EXPECT_TRUE(limiter.wait(ctx));
    Task waits([&, &c = ctx] { EXPECT_EQ(limiter.wait(c).error(), Errc::canceled); });
    waits.wait_until_parked();
    EXPECT_LT(limiter.tokens(), -0.5);
    cancel();
    waits.join();
    EXPECT_GT(limiter.tokens(), -0.5);
    EXPECT_EQ(limiter.wait(ctx).error(), Errc::canceled) << "done already";
  });
}

TEST(RateLimiterWait, HonoursTheCurrentContext) {
  test::run([] {
    RateLimiter limiter(Rate::every(1h), 0);
    const ContextScope scope(with_timeout(background(), 1ms).context);
    EXPECT_EQ(limiter.wait(0), Result<void>());
    EXPECT_EQ(limiter.wait().error(), std::errc::value_too_large);
  });
}

TEST(RateLimiterWait, WithoutARateItWaitsUntilThereIsOne) {
  test::run([] {
    RateLimiter limiter(Rate::per_second(0), 1);
    EXPECT_TRUE(limiter.wait());
    EXPECT_EQ(limiter.wait(with_timeout(background(), 1ms).context).error(), Errc::timed_out);
    auto [ctx, cancel] = with_cancel(background());
    Task canceled([&, &c = ctx] { EXPECT_EQ(limiter.wait(c).error(), Errc::canceled); });
    Task waits([&] { EXPECT_TRUE(limiter.wait()); });
    canceled.wait_until_parked();
    waits.wait_until_parked();
    cancel();
    canceled.join();
    limiter.set_rate(Rate::per_second(1e6));
    waits.join();
  });
}

TEST(RateLimiterWait, RaisedBurstLetsMoreThrough) {
  test::run([] {
    RateLimiter limiter(Rate::per_second(1e6), 1);
    EXPECT_EQ(limiter.wait(5).error(), std::errc::value_too_large);
    limiter.set_burst(5);
    EXPECT_EQ(limiter.burst(), 5);
    EXPECT_TRUE(limiter.wait(5));
  });
}

TEST(RateLimiterWait, RateIsKept) {
  test::run([] {
    RateLimiter limiter(Rate::per_second(2000), 1);
    const TimePoint start = Clock::now();
    WaitGroup wg;
    for (int i = 0; i < 10; ++i) {
      wg.add(1);
      go([&] {
        for (int n = 0; n < 4; ++n) EXPECT_TRUE(limiter.wait());
        wg.done();
      });
    }
    wg.wait();
    EXPECT_GE(Clock::now() - start, 19ms) << "40 events, 39 of them 0.5 ms apart";
  });
}

TEST(RateLimiterWait, VirtualTimeToTheNanosecond) {
  testing::run_virtual([] {
    RateLimiter limiter(Rate::every(1h), 2);
    const TimePoint start = Clock::now();
    for (int i = 0; i < 5; ++i) EXPECT_TRUE(limiter.wait());
    EXPECT_EQ(Clock::now() - start, 3h);
    const auto ctx = with_timeout(background(), 61min).context;
    EXPECT_TRUE(limiter.wait(ctx));
    EXPECT_EQ(limiter.wait(ctx).error(), Errc::timed_out);
    EXPECT_EQ(Clock::now() - start, 4h) << "refused at once";
  });
}

TEST(RateLimiterWait, PlainThreadsWaitToo) {
  RateLimiter limiter(Rate::per_second(1000), 1);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back([&] { EXPECT_TRUE(limiter.wait()); });
  for (auto& t : threads) t.join();
}

}  // namespace
}  // namespace treadle
