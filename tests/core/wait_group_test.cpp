#include <gtest/gtest.h>

#include <atomic>
#include <limits>
#include <memory>
#include <vector>

#include <treadle/go.h>
#include <treadle/wait_group.h>

#include "support/goroutine.h"

namespace treadle {
namespace {

using test::Task;
using namespace std::chrono_literals;

TEST(WaitGroupWait, ReturnsAtOnceWhenNothingIsCounted) {
  WaitGroup wg;
  wg.wait();
  EXPECT_TRUE(wg.wait(background()));
  wg.add(2);
  wg.add(-2);
  wg.wait();
}

TEST(WaitGroupWait, ReturnsOnlyWhenAllAreDone) {
  test::run([] {
    WaitGroup wg;
    wg.add(3);
    Task waiter([&] { wg.wait(); });
    waiter.wait_until_parked();
    wg.done();
    wg.done();
    EXPECT_FALSE(waiter.done());
    wg.done();
  });
}

TEST(WaitGroupWait, SeesWhatTheOthersWrote) {
  test::run([] {
    for (int round = 0; round < 50; ++round) {
      WaitGroup wg;
      std::vector<int> results(100);
      for (std::size_t i = 0; i < results.size(); ++i) {
        wg.add(1);
        go([&, i] {
          results[i] = static_cast<int>(i) + 1;
          wg.done();
        });
      }
      wg.wait();
      for (std::size_t i = 0; i < results.size(); ++i)
        ASSERT_EQ(results[i], static_cast<int>(i) + 1);
    }
  });
}

TEST(WaitGroupWait, WakesEveryWaiter) {
  test::run([] {
    WaitGroup wg;
    wg.add(1);
    std::vector<std::unique_ptr<Task>> waiters;
    for (int i = 0; i < 20; ++i) waiters.push_back(std::make_unique<Task>([&] { wg.wait(); }));
    for (auto& w : waiters) w->wait_until_parked();
    wg.done();
  });
}

TEST(WaitGroupReuse, WorksOnceTheWaitersHaveReturned) {
  test::run([] {
    WaitGroup wg;
    std::atomic<int> n{0};
    for (int round = 1; round <= 200; ++round) {
      wg.add(2);
      go([&] { ++n, wg.done(); });
      go([&] { ++n, wg.done(); });
      wg.wait();
      ASSERT_EQ(n, 2 * round);
    }
  });
}

TEST(WaitGroupMisuse, NegativeCounterPanics) {
  WaitGroup wg;
  EXPECT_THROW(wg.done(), Panic);
  WaitGroup other;
  other.add(1);
  EXPECT_THROW(other.add(-2), Panic);
}

TEST(WaitGroupMisuse, LeavesTheCounterAsItWas) {
  test::run([] {
    WaitGroup wg;
    EXPECT_THROW(wg.add(std::numeric_limits<std::int64_t>::min()), Panic);
    wg.wait();  // still zero
    wg.add(std::numeric_limits<std::int64_t>::max());
    EXPECT_THROW(wg.add(1), Panic);
    wg.add(-std::numeric_limits<std::int64_t>::max());
    wg.wait();
  });
}

TEST(WaitGroupGo, CountsFromTheCallUntilTheClosureIsGone) {
  test::run([] {
    for (int round = 0; round < 300; ++round) {
      auto held = std::make_shared<int>(0);
      std::atomic<int> n{0};
      WaitGroup wg;
      for (int i = 0; i < 3; ++i)
        wg.go([&n, held = std::as_const(held)] {
          gosched();
          ++n;
        });
      wg.wait();
      ASSERT_EQ(n, 3);
      ASSERT_EQ(held.use_count(), 1);
    }
  });
}

// Destroyed as soon as wait() has returned, while the last done() may still be returning.
TEST(WaitGroupLifetime, EndsWithTheWait) {
  test::run([] {
    for (int round = 0; round < 2000; ++round) {
      auto wg = std::make_unique<WaitGroup>();
      wg->add(1);
      go([wg = wg.get()] { wg->done(); });
      if (round % 2) gosched();
      wg->wait();
    }
  });
}

TEST(WaitGroupContext, CancelEndsOneWaitOnly) {
  test::run([] {
    WaitGroup wg;
    wg.add(1);
    auto [ctx, cancel] = with_cancel(background());
    Task canceled([&] { EXPECT_EQ(wg.wait(ctx).error(), Errc::canceled); });
    Task patient([&] { wg.wait(); });
    canceled.wait_until_parked();
    patient.wait_until_parked();
    cancel();
    canceled.join();
    EXPECT_FALSE(patient.done());
    wg.done();
    patient.join();
    EXPECT_TRUE(wg.wait(ctx));  // zero already: the context is not asked
  });
}

TEST(WaitGroupContext, DeadlineEndsTheWait) {
  test::run([] {
    WaitGroup wg;
    wg.add(1);
    EXPECT_EQ(wg.wait(with_timeout(background(), 1ms).context).error(), Errc::timed_out);
    wg.done();
    wg.wait();
  });
}

}  // namespace
}  // namespace treadle
