// Very many timers at once, and what each costs.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include <treadle/go.h>
#include <treadle/runtime.h>
#include <treadle/ticker.h>
#include <treadle/wait_group.h>

#include "support/goroutine.h"
#include "support/instructions.h"

namespace treadle {
namespace {

using test::Task;
using namespace std::chrono_literals;

constexpr int kMany = 100'000;

// The cost of each of `times` turns; 0 where it cannot be counted.
template <class F>
std::uint64_t per_turn(int times, F&& f) {
  const auto n = test::count_instructions([&] {
    for (int i = 0; i < times; ++i) f(i);
  });
  return n ? *n / static_cast<std::uint64_t>(times) : 0;
}

// Measured: start 420, reset 190, stop 480, on a plain thread, whose entries are the slow ones.
TEST(AfterLoad, HundredThousandTimersAreCheap) {
  std::mt19937 random(1);
  const auto within_the_hour = [&] {
    return 1h + std::chrono::microseconds(random() % 3'600'000'000);
  };
  std::atomic<int> calls{0};
  std::vector<Timer> timers;
  timers.reserve(kMany);
  const auto start = per_turn(
      kMany, [&](int) { timers.push_back(after_func(within_the_hour(), [&] { ++calls; })); });
  const auto reset =
      per_turn(kMany, [&](int) { EXPECT_TRUE(timers[random() % kMany].reset(within_the_hour())); });
  const auto churn = per_turn(kMany, [&](int) { after_func(within_the_hour(), [] {}).stop(); });
  const auto stop = per_turn(kMany / 2, [&](int i) { EXPECT_TRUE(timers[2 * i].stop()); });
  EXPECT_LT(start, 1200u);
  EXPECT_LT(reset, 1500u);
  EXPECT_LT(churn, 2000u);
  EXPECT_LT(stop, 1200u);
  RecordProperty("start", std::to_string(start));
  RecordProperty("reset", std::to_string(reset));
  RecordProperty("churn", std::to_string(churn));
  RecordProperty("stop", std::to_string(stop));

  // All that are left expire, and nothing else.
  for (int i = 1; i < kMany; i += 2) EXPECT_TRUE(timers[i].reset(1us * (i % 1000)));
  test::run([&] {
    while (calls != kMany / 2) (void)sleep(100us);
  });
  for (const Timer& t : timers) EXPECT_FALSE(t.stop());
}

TEST(AfterLoad, HundredThousandChannelTimersEachSendOnce) {
  test::run([] {
    std::vector<Timer> timers;
    for (int i = 0; i < kMany; ++i) timers.emplace_back(1us * (i * 7919LL % 20'000));
    for (const Timer& t : timers) ASSERT_TRUE(t.channel().recv());
    for (const Timer& t : timers) {
      ASSERT_FALSE(t.channel().try_recv());
      ASSERT_FALSE(t.stop());
    }
  });
}

// Timers made and dropped by the hundred thousand stay nowhere: their memory would show, and so
// would a heap that grows, by its cost.
TEST(AfterLoad, DroppedTimersLeaveTheHeap) {
  const auto churn = [](int) { (void)after(1h); };
  const auto first = per_turn(10'000, churn);
  for (int i = 0; i < kMany; ++i) churn(i);
  const auto last = per_turn(10'000, churn);
  EXPECT_LE(last, first + 200);
}

TEST(AfterLoad, CostDoesNotDependOnTheOrder) {
  // All for one instant, then each earlier, then each later than the one before.
  for (const int step : {0, -1, 1}) {
    std::vector<Timer> timers;
    const Deadline base = Deadline::after(2h);
    const auto cost = per_turn(kMany, [&](int i) {
      timers.push_back(after_func(base.remaining() + step * i * 1us, [] {}));
    });
    EXPECT_LT(cost, 2000u) << "step " << step;
    EXPECT_LT(per_turn(kMany, [&](int i) { timers[i].stop(); }), 1500u) << "step " << step;
  }
}

// While others compute and start goroutines, none is lost.
TEST(AfterLoad, AllComeThroughUnderStress) {
  test::run([] {
    std::atomic<bool> stop{false};
    Task churn([&] {
      while (!stop) {
        auto v = std::make_unique<std::vector<int>>(1000, 7);
        go([v = std::move(v)] { (void)v; });
        gosched();
      }
    });
    for (int i = 0; i < 300; ++i) ASSERT_TRUE(after(1ns).recv());
    stop = true;
  });
}

TEST(AfterLoad, StopUnderStress) {
  test::run([] {
    WaitGroup all;
    for (int g = 0; g < 50; ++g) {
      all.add(1);
      go([&all, g] {
        const Timer timer = after_func(std::chrono::seconds(100), [] { FAIL(); });
        for (int i = 0; i < 200; ++i) {
          EXPECT_TRUE(timer.reset(std::chrono::seconds(100 + (i * g) % 7)));
          if (i % 16 == 0) gosched();
        }
        EXPECT_TRUE(timer.stop());
        all.done();
      });
    }
    all.wait();
  });
}

// One that expires at once and is reused without pause.
TEST(AfterLoad, ExpiresAndIsResetAgainAndAgain) {
  test::run([] {
    for (int i = 0; i < 5000; ++i) ASSERT_TRUE(Timer(0ns).channel().recv());
    const Timer timer(0ns);
    for (int i = 0; i < 5000; ++i) {
      ASSERT_TRUE(timer.channel().recv());
      ASSERT_FALSE(timer.reset(0ns));
    }
    timer.stop();
  });
}

// A chain of sleeps of nothing beside a timer: neither holds up the other.
TEST(AfterLoad, SleepsOfNothingDoNotHoldUpTimers) {
  test::run([] {
    auto done = make_chan<int>();
    after_func(3ms, [done] { done.send(1); });
    std::atomic<bool> stop{false};
    Task sleeper([&] {
      while (!stop) {
        for (int i = 0; i < 100; ++i) (void)sleep(0ns);
        gosched();
      }
    });
    done.recv();
    stop = true;
  });
}

// Many sleepers; some are put off, some brought forward, by resets all over the heap.
TEST(AfterLoad, AdjustedAllOverTheHeapEachExpiresInItsTime) {
  test::run([] {
    struct Adjusted {
      Timer timer;
      TimePoint earliest;
    };
    std::mt19937 random(3);
    std::vector<Adjusted> all(2000);
    const auto any = [&] { return std::chrono::microseconds(random() % 30'000); };
    for (auto& a : all) a = {Timer(any()), {}};
    for (int i = 0; i < 6000; ++i) {
      auto& a = all[random() % all.size()];
      const Duration d = any();
      a.earliest = Clock::now() + d;
      a.timer.reset(d);
    }
    for (auto& a : all) ASSERT_GE(*a.timer.channel().recv(), a.earliest);
  });
}

}  // namespace
}  // namespace treadle
