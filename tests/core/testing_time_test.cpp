// What keeps time, on the clock of a bubble: exact to the nanosecond, at no cost of time.
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <vector>

#include <treadle/chan.h>
#include <treadle/context.h>
#include <treadle/go.h>
#include <treadle/mutex.h>
#include <treadle/select.h>
#include <treadle/testing.h>
#include <treadle/ticker.h>
#include <treadle/timer.h>

#include "support/goroutine.h"

namespace treadle {
namespace {

using namespace std::chrono_literals;

// Runs `body` in a bubble, under the watchdog, with the bubble's first instant.
void virtually(std::function<void(TimePoint begin)> body) {
  test::run([&] { testing::run_virtual([&] { body(Clock::now()); }); });
}

TEST(TestingTime, TicksComeExactlyOnTheirGrid) {
  virtually([](TimePoint begin) {
    const Ticker ticker(1h);
    for (int i = 1; i <= 1000; ++i) {
      EXPECT_EQ(ticker.channel().recv(), begin + i * 1h);
      EXPECT_EQ(Clock::now(), begin + i * 1h);
    }
    ticker.stop();
  });
}

TEST(TestingTime, TicksThatNobodyReceivesAreDroppedAndTheGridStays) {
  virtually([](TimePoint begin) {
    const Ticker ticker(10s);
    (void)sleep(35s);
    EXPECT_EQ(ticker.channel().recv(), begin + 10s);  // the one that waited
    EXPECT_EQ(ticker.channel().recv(), begin + 40s);
    ticker.reset(1s);
    EXPECT_EQ(ticker.channel().recv(), begin + 41s);
    ticker.stop();
    (void)sleep(10s);
    EXPECT_FALSE(ticker.channel().try_recv());
  });
}

TEST(TestingTime, AfterSendsItsInstant) {
  virtually([](TimePoint begin) {
    auto late = after(2h), early = after(1h);
    EXPECT_EQ(early.recv(), begin + 1h);
    EXPECT_EQ(late.recv(), begin + 2h);
  });
}

TEST(TestingTime, AfterFuncRunsInTheBubbleAtItsInstant) {
  virtually([](TimePoint begin) {
    auto ran = make_chan<TimePoint>();
    (void)after_func(1h, [ran] {
      (void)sleep(1h);  // of the bubble's own clock too
      ran.send(Clock::now());
    });
    EXPECT_EQ(ran.recv(), begin + 2h);
  });
}

TEST(TestingTime, ContextFunctionsRunInTheBubble) {
  virtually([](TimePoint begin) {
    auto ran = make_chan<TimePoint>();
    const auto limit = with_timeout(background(), 1h);
    (void)after_func(limit.context, [ran] {
      (void)sleep(1h);
      ran.send(Clock::now());
    });
    EXPECT_EQ(ran.recv(), begin + 2h);
  });
}

TEST(TestingTime, StoppedAndResetTimersKeepTheirTimes) {
  virtually([](TimePoint begin) {
    const Timer timer(1h);
    EXPECT_TRUE(timer.reset(3h));
    (void)sleep(2h);
    EXPECT_TRUE(timer.stop());
    (void)sleep(2h);
    EXPECT_FALSE(timer.channel().try_recv());
    EXPECT_FALSE(timer.reset(1h));
    EXPECT_EQ(timer.channel().recv(), begin + 5h);
  });
}

TEST(TestingTime, TheEarliestDeadlineOfATreeCounts) {
  virtually([](TimePoint begin) {
    const auto outer = with_timeout(background(), 1h);
    const auto inner = with_timeout(outer.context, 2h);
    EXPECT_EQ(inner.context.deadline().at(), begin + 1h);
    inner.context.wait();
    EXPECT_EQ(Clock::now(), begin + 1h);
    EXPECT_EQ(inner.context.error(), Errc::timed_out);
  });
}

TEST(TestingTime, AWaitForALockTimesOutAtItsInstant) {
  virtually([](TimePoint begin) {
    Mutex mutex;
    mutex.lock();
    go([&] {
      EXPECT_EQ(mutex.lock(with_timeout(background(), 7s).context).error(), Errc::timed_out);
      EXPECT_EQ(Clock::now(), begin + 7s);
    });
    (void)sleep(1h);
    mutex.unlock();
  });
}

TEST(TestingTime, TwentyThousandSleepersMeetTheirInstants) {
  static constexpr int kSleepers = 20'000;
  virtually([](TimePoint begin) {
    std::atomic<int> late{0};
    for (int i = 0; i < kSleepers; ++i)
      go([&late, begin, i] {
        const Duration d = (i * 7919 % kSleepers) * 1s;
        (void)sleep(d);
        if (Clock::now() != begin + d) ++late;
      });
    (void)sleep(kSleepers * 1s);
    testing::wait();
    EXPECT_EQ(late, 0);
  });
}

}  // namespace
}  // namespace treadle
