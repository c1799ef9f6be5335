// Timers and tickers to the nanosecond, in virtual time.
#include <gtest/gtest.h>

#include <vector>

#include <treadle/chan.h>
#include <treadle/context.h>
#include <treadle/go.h>
#include <treadle/testing.h>
#include <treadle/ticker.h>

namespace treadle {
namespace {

using namespace std::chrono_literals;
using testing::run_virtual;

TEST(AfterVirtual, ArrivesInTheOrderOfTheTimes) {
  run_virtual([] {
    const auto begin = Clock::now();
    auto arrived = make_chan<int>();
    for (const int slot : {5, 3, 6, 1, 2, 7, 9, 4, 8, 0})
      go([=] {
        EXPECT_EQ(*after(slot * 1h).recv() - begin, slot * 1h);
        arrived.send(slot);
      });
    for (int i = 0; i < 10; ++i) EXPECT_EQ(arrived.recv(), i);
  });
}

TEST(AfterVirtual, FunctionRunsAtItsTimeUnlessStopped) {
  run_virtual([] {
    const auto begin = Clock::now();
    std::vector<Duration> calls;
    const auto note = [&] { calls.push_back(Clock::now() - begin); };
    const Timer timer = after_func(1h, note);
    const Timer stopped = after_func(2h, note);
    (void)sleep(90min);
    EXPECT_TRUE(stopped.stop());
    EXPECT_FALSE(timer.reset(30min));
    (void)sleep(3h);
    EXPECT_EQ(calls, (std::vector<Duration>{1h, 2h}));
  });
}

TEST(AfterVirtual, StopAndResetAtTheInstantOfTheExpiryLeaveNoStaleValue) {
  run_virtual([] {
    const Timer timer(1h);
    (void)sleep(1h);
    testing::wait();
    EXPECT_TRUE(timer.reset(1h));  // it was sent, and is taken back
    const auto begin = Clock::now();
    EXPECT_EQ(*timer.channel().recv() - begin, 1h);
    EXPECT_FALSE(timer.reset(1h));
    (void)sleep(2h);
    EXPECT_TRUE(timer.stop());
    EXPECT_FALSE(timer.channel().try_recv());
  });
}

TEST(AfterVirtual, SlowReceiverGetsOneTickAndThenTheGrid) {
  run_virtual([] {
    const auto begin = Clock::now();
    const Ticker ticker(10s);
    std::vector<Duration> got;
    const auto take = [&] { got.push_back(*ticker.channel().recv() - begin); };
    take();
    take();
    (void)sleep(35s);  // ticks at 30, 40 and 50 s: two are dropped
    take();
    take();
    ticker.reset(7s);
    take();
    take();
    ticker.stop();
    (void)sleep(1h);
    EXPECT_FALSE(ticker.channel().try_recv());
    EXPECT_EQ(got, (std::vector<Duration>{10s, 20s, 30s, 60s, 67s, 74s}));
  });
}

TEST(AfterVirtual, ContextsEndAtTheirDeadlines) {
  run_virtual([] {
    const auto begin = Clock::now();
    const auto outer = with_timeout(background(), 1h);
    const auto inner = with_timeout(outer.context, 2h);
    auto called = make_chan<Duration>();
    after_func(inner.context, [=] { called.send(Clock::now() - begin); });
    EXPECT_EQ(called.recv(), 1h);
    EXPECT_EQ(inner.context.error(), Errc::timed_out);
  });
}

}  // namespace
}  // namespace treadle
