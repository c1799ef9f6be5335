#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include <treadle/chan.h>
#include <treadle/go.h>
#include <treadle/runtime.h>
#include <treadle/timer.h>
#include <treadle/wait_group.h>

#include "support/goroutine.h"

namespace treadle {
namespace {

using test::Task;
using namespace std::chrono_literals;

TEST(TimerClock, IsMonotonic) {
  auto last = Clock::now();
  for (int i = 0; i < 10'000; ++i) {
    const auto now = Clock::now();
    ASSERT_LE(last, now);
    last = now;
  }
}

TEST(TimerDeadline, NeverIsAfterAll) {
  const Deadline never;
  EXPECT_TRUE(never.is_never());
  EXPECT_EQ(never, Deadline::never());
  EXPECT_FALSE(never.passed());
  EXPECT_EQ(never.remaining(), Duration::max());
  EXPECT_LT(Deadline::after(24h * 365 * 100), never);
}

TEST(TimerDeadline, ZeroAndNegativeHavePassed) {
  for (const Duration d : {0ns, -1ns, -1'000'000'000ns, Duration::min()}) {
    EXPECT_TRUE(Deadline::after(d).passed());
    EXPECT_EQ(Deadline::after(d).remaining(), 0ns);
    EXPECT_FALSE(Deadline::after(d).is_never());
  }
}

TEST(TimerDeadline, TooFarForTheClockIsNever) {
  EXPECT_TRUE(Deadline::after(Duration::max()).is_never());
  EXPECT_TRUE(Deadline::after(Duration::max() - 1ns).is_never());
}

TEST(TimerDeadline, RemainsWhatIsLeft) {
  const Deadline d = Deadline::after(1h);
  EXPECT_FALSE(d.passed());
  EXPECT_LE(d.remaining(), 1h);
  EXPECT_GT(d.remaining(), 59min);
  EXPECT_EQ(Deadline(d.at()), d);
}

TEST(TimerSleep, IsNotTooShort) {
  test::run([] {
    for (const Duration d : {1ns, 1000ns, 100'000ns, 1'000'000ns, 3'000'000ns}) {
      const auto begin = Clock::now();
      EXPECT_TRUE(sleep(d));
      EXPECT_GE(Clock::now() - begin, d);
    }
  });
}

TEST(TimerSleep, NothingOrLessReturnsAtOnce) {
  test::run([] {
    auto canceled = with_cancel(background());
    canceled.cancel();
    const ContextScope scope(canceled.context);
    const auto parks = runtime_stats().parks;
    EXPECT_TRUE(sleep(0ns));
    EXPECT_TRUE(sleep(-1s));
    EXPECT_TRUE(sleep(Duration::min()));
    EXPECT_TRUE(sleep_until(Deadline::after(-1h)));
    if (max_procs() == 1) {  // nobody else parks meanwhile
      EXPECT_EQ(runtime_stats().parks, parks);
    }
  });
}

TEST(TimerSleep, LongOnesDoNotHoldUpShortOnes) {
  test::run([] {
    auto [ctx, cancel] = with_cancel(background());
    std::vector<std::unique_ptr<Task>> sleepers;
    for (int i = 0; i < 10; ++i)
      sleepers.push_back(std::make_unique<Task>([&] {
        const ContextScope scope(ctx);
        EXPECT_EQ(sleep(1h).error(), Errc::canceled);
      }));
    for (auto& s : sleepers) s->wait_until_parked();
    EXPECT_TRUE(sleep(1ms));
    for (auto& s : sleepers) EXPECT_FALSE(s->done());
    // A new earliest one, while the poller waits for an hour to pass or for a far timer.
    EXPECT_TRUE(sleep(500us));
    cancel();
  });
}

TEST(TimerSleep, ManyAtOnceEndEach) {
  test::run([] {
    constexpr int kSleepers = 2000;
    WaitGroup wg;
    std::atomic<int> early{0};
    for (int i = 0; i < kSleepers; ++i) {
      wg.add(1);
      go([&, d = 10us * (i * 7919 % 1000)] {
        const auto begin = Clock::now();
        if (!sleep(d) || Clock::now() - begin < d) ++early;
        wg.done();
      });
    }
    wg.wait();
    EXPECT_EQ(early, 0);
  });
}

TEST(TimerSleep, ManyAtTheSameInstantEndEach) {
  test::run([] {
    const Deadline at = Deadline::after(3ms);
    WaitGroup wg;
    for (int i = 0; i < 1000; ++i) {
      wg.add(1);
      go([&] {
        EXPECT_TRUE(sleep_until(at));
        EXPECT_TRUE(at.passed());
        wg.done();
      });
    }
    wg.wait();
  });
}

// Two goroutines that wake each other without end inherit each other's slice; a timer must be seen
// all the same, long before sysmon's periods add up.
TEST(TimerSleep, IsNotStarvedByAPingPong) {
  test::run([] {
    auto ping = make_chan<int>(), pong = make_chan<int>();
    std::atomic<bool> stop{false};
    Task echo([&] {
      for (int v : ping) pong.send(v);
    });
    Task player([&] {
      while (!stop) {
        ping.send(1);
        (void)pong.recv();
      }
      ping.close();
    });
    for (int i = 0; i < 30; ++i) EXPECT_TRUE(sleep(1ms));
    stop = true;
  });
}

TEST(TimerSleep, IsNotStarvedByYielders) {
  test::run([] {
    std::atomic<bool> stop{false};
    std::vector<std::unique_ptr<Task>> yielders;
    for (int i = 0; i < 4; ++i)
      yielders.push_back(std::make_unique<Task>([&] {
        while (!stop) gosched();
      }));
    for (int i = 0; i < 30; ++i) EXPECT_TRUE(sleep(1ms));
    stop = true;
  });
}

TEST(TimerSleep, ForeverEndsByContextOnly) {
  test::run([] {
    auto [ctx, cancel] = with_cancel(background());
    Task forever([ctx] {
      const ContextScope scope(ctx);
      EXPECT_EQ(sleep(Duration::max()).error(), Errc::canceled);
      EXPECT_EQ(sleep_until(Deadline::never()).error(), Errc::canceled);
    });
    forever.wait_until_parked();
    EXPECT_FALSE(forever.done());
    cancel();
  });
}

TEST(TimerSleep, HonoursTheCurrentContext) {
  test::run([] {
    {
      const ContextScope scope(with_timeout(background(), 1ms).context);
      EXPECT_EQ(sleep(1h).error(), Errc::timed_out);
      EXPECT_EQ(sleep(1h).error(), Errc::timed_out);
    }
    auto [ctx, cancel] = with_cancel(background());
    cancel(std::make_error_code(std::errc::io_error));
    {
      const ContextScope scope(ctx);
      EXPECT_EQ(sleep(1h).error(), Errc::canceled);
    }
    EXPECT_TRUE(sleep(1us));
  });
}

TEST(TimerSleep, CancelRacesWithTheTimerWithoutHarm) {
  test::run([] {
    for (int i = 0; i < 300; ++i) {
      auto [ctx, cancel] = with_cancel(background());
      Task sleeper([&] {
        const ContextScope scope(ctx);
        const auto r = sleep(20us * (i % 10));
        EXPECT_TRUE(r || r.error() == Errc::canceled);
      });
      (void)sleep(10us * (i % 17));
      cancel();
    }
  });
}

TEST(TimerSleep, WorksOnPlainThreads) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([i] {
      for (int k = 0; k < 20; ++k) {
        const Duration d = 50us * (i + k);
        const auto begin = Clock::now();
        EXPECT_TRUE(sleep(d));
        EXPECT_GE(Clock::now() - begin, d);
      }
      const ContextScope scope(with_timeout(background(), 1ms).context);
      EXPECT_EQ(sleep(1h).error(), Errc::timed_out);
    });
  for (auto& t : threads) t.join();
}

}  // namespace
}  // namespace treadle
