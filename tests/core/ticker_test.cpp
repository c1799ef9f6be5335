#include <treadle/ticker.h>

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include <treadle/go.h>
#include <treadle/result.h>
#include <treadle/runtime.h>

#include "support/goroutine.h"

namespace treadle {
namespace {

using test::Task;
using namespace std::chrono_literals;

template <class F>
std::string panic_text(F&& f) {
  try {
    f();
  } catch (const Panic& p) {
    return p.what();
  }
  return "no panic";
}

TEST(TickerTicks, ComeAtTheirTimesAndCount) {
  test::run([] {
    const auto begin = Clock::now();
    const Ticker ticker(1ms);
    for (int i = 1; i <= 10; ++i) EXPECT_GE(*ticker.channel().recv() - begin, i * 1ms);
    ticker.stop();
  });
}

TEST(TickerTicks, ThatNobodyReceivesAreDropped) {
  test::run([] {
    const Ticker ticker(100us);
    EXPECT_TRUE(after(20ms).recv());  // 200 periods
    EXPECT_TRUE(ticker.channel().recv());
    ticker.stop();
    EXPECT_FALSE(ticker.channel().try_recv());
  });
}

// Ticks keep to the grid that began at the start, however late one is received.
TEST(TickerTicks, DoNotDrift) {
  test::run([] {
    const Ticker ticker(2ms);
    const auto first = *ticker.channel().recv();
    (void)sleep(5ms);
    (void)ticker.channel().recv();  // one that waited
    const auto next = *ticker.channel().recv();
    EXPECT_GE(next - first, 4ms);
    ticker.stop();
  });
}

TEST(TickerStop, EndsTheTicksAndTakesOneBack) {
  test::run([] {
    for (int i = 0; i < 100; ++i) {
      const Ticker ticker(10us);
      if (i % 2) (void)ticker.channel().recv();
      for (int spin = 0; spin < i; ++spin) (void)Clock::now();
      ticker.stop();
      ASSERT_FALSE(ticker.channel().try_recv());
      (void)sleep(30us);
      ASSERT_FALSE(ticker.channel().try_recv());
      ticker.stop();
    }
  });
}

TEST(TickerReset, ChangesThePeriodAndLeavesNoOldTick) {
  test::run([] {
    const Ticker ticker(20us);
    for (int i = 0; i < 200; ++i) {
      const auto begin = Clock::now();
      const Duration period = i % 2 ? 100us : 20us;
      ticker.reset(period);
      ASSERT_GE(*ticker.channel().recv() - begin, period);
    }
    ticker.stop();
    ticker.reset(1ms);
    EXPECT_TRUE(ticker.channel().recv());
    ticker.reset(1h);
    EXPECT_FALSE(ticker.channel().try_recv());
  });
}

TEST(TickerReset, FromAVeryLongPeriodAndToOne) {
  test::run([] {
    const Ticker ticker(Duration::max());
    ticker.reset(1us);
    EXPECT_TRUE(ticker.channel().recv());
    ticker.reset(Duration::max());
    EXPECT_TRUE(after(1ms).recv());
    EXPECT_FALSE(ticker.channel().try_recv());
  });
}

TEST(TickerPeriod, NotPositivePanicsWithTheValue) {
  for (const Duration d : {0ns, -1ns, Duration::min()}) {
    const std::string value = std::to_string(d.count());
    EXPECT_EQ(panic_text([&] { Ticker ticker(d); }),
              "treadle::Ticker: start: the period is " + value + " ns, it must be positive");
    const Ticker ticker(1h);
    EXPECT_EQ(panic_text([&] { ticker.reset(d); }),
              "treadle::Ticker: reset: the period is " + value + " ns, it must be positive");
    EXPECT_FALSE(treadle::tick(d));
  }
}

TEST(TickerOfNothing, StopsQuietlyAndCannotBeReset) {
  const Ticker none;
  EXPECT_FALSE(none);
  EXPECT_FALSE(none.channel());
  none.stop();
  EXPECT_EQ(panic_text([&] { none.reset(1s); }),
            "treadle::Ticker: reset of a Ticker that was never started");
}

TEST(TickerHandles, LastOneEndsTheTicks) {
  test::run([] {
    Chan<TimePoint> channel;
    {
      const Ticker ticker(50us);
      const Ticker copy = ticker;
      EXPECT_EQ(copy, ticker);
      channel = copy.channel();
    }
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(channel.recv());  // the channel alone keeps it going
    channel = treadle::tick(50us);
    EXPECT_TRUE(channel.recv());
    channel = {};
    // Started and dropped by the thousand, while they tick.
    for (int i = 0; i < 3000; ++i) (void)treadle::tick(1us * (i % 20 + 1));
  });
}

TEST(TickerHandles, WorkOnPlainThreads) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i)
    threads.emplace_back([] {
      const Ticker ticker(200us);
      for (int k = 0; k < 5; ++k) EXPECT_TRUE(ticker.channel().recv());
      ticker.reset(100us);
      EXPECT_TRUE(ticker.channel().recv());
      ticker.stop();
    });
  for (auto& t : threads) t.join();
}

TEST(TickerHandles, StartedAndStoppedByManyLeaveNothing) {
  test::run([] {
    std::vector<std::unique_ptr<Task>> tasks;
    for (int i = 0; i < 4; ++i)
      tasks.push_back(std::make_unique<Task>([] {
        for (int k = 0; k < 100; ++k) {
          const Ticker ticker(1ns * (k % 1000 + 1));
          (void)ticker.channel().recv();
          if (k % 2) ticker.stop();
        }
      }));
  });
}

}  // namespace
}  // namespace treadle
