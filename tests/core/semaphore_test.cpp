#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include <treadle/go.h>
#include <treadle/semaphore.h>
#include <treadle/wait_group.h>

#include "support/goroutine.h"

namespace treadle {
namespace {

using test::Task;
using namespace std::chrono_literals;

TEST(SemaphoreTry, TakesWhatIsFree) {
  Semaphore s(2);
  EXPECT_TRUE(s.try_acquire());
  EXPECT_TRUE(s.try_acquire(1));
  EXPECT_FALSE(s.try_acquire());
  EXPECT_TRUE(s.try_acquire(0));
  s.release(2);
  EXPECT_FALSE(s.try_acquire(3));
  EXPECT_TRUE(s.try_acquire(2));
  EXPECT_EQ(s.available(), 0);
  s.release(2);
  EXPECT_EQ(s.available(), 2);
}

TEST(SemaphoreAcquire, NeverGivesMoreThanThereIs) {
  test::run([] {
    constexpr int kSize = 4;
    Semaphore s(kSize);
    std::atomic<int> used{0};
    const auto work = [&](int seed) {
      for (int i = 0; i < 200; ++i) {
        const int n = (seed + i) % kSize + 1;
        s.acquire(n);
        const Semaphore::Hold hold(s, n);
        EXPECT_LE(used += n, kSize);
        if (i % 3 == 0) gosched();
        used -= n;
      }
    };
    WaitGroup wg;
    for (int i = 0; i < 8; ++i) wg.go([&, i] { work(i); });
    std::thread plain([&] { work(3); });
    wg.wait();
    plain.join();
    EXPECT_EQ(s.available(), kSize);
  });
}

TEST(SemaphoreFair, LargeRequestIsNotOvertaken) {
  test::run([] {
    Semaphore s(3);
    s.acquire(2);
    Task large([&] { s.acquire(3); });
    large.wait_until_parked();
    EXPECT_FALSE(s.try_acquire(1));  // one is free, but somebody waits for it
    Task small([&] {
      s.acquire(1);
      EXPECT_TRUE(large.done());
    });
    small.wait_until_parked();
    s.release(2);
    large.join();
    EXPECT_FALSE(small.done());
    s.release(3);
    small.join();
    s.release(1);
  });
}

// Small requests that always overlap must not keep a large one waiting for ever.
TEST(SemaphoreFair, LargeRequestIsNotStarved) {
  test::run([] {
    constexpr int kSize = 4;
    Semaphore s(kSize);
    std::atomic<bool> stop{false};
    WaitGroup wg;
    for (int i = 0; i < 2 * kSize; ++i)
      wg.go([&] {
        while (!stop) {
          s.acquire();
          const Semaphore::Hold hold(s);
          gosched();
        }
      });
    for (int i = 0; i < 10; ++i) {
      s.acquire(kSize);
      s.release(kSize);
    }
    stop = true;
    wg.wait();
  });
}

TEST(SemaphoreRelease, ServesAllThatFit) {
  test::run([] {
    Semaphore s(3);
    s.acquire(3);
    std::vector<std::unique_ptr<Task>> tasks;
    for (const int n : {1, 1, 2}) {
      tasks.push_back(std::make_unique<Task>([&s, n] { s.acquire(n); }));
      tasks.back()->wait_until_parked();
    }
    s.release(3);
    tasks[0]->join();
    tasks[1]->join();
    EXPECT_FALSE(tasks[2]->done());
    EXPECT_EQ(s.available(), 1);
    s.release(1);
    tasks[2]->join();
    EXPECT_EQ(s.available(), 0);
  });
}

TEST(SemaphoreContext, CancelledFrontLetsTheNextOnesPass) {
  test::run([] {
    Semaphore s(2);
    s.acquire();
    auto [ctx, cancel] = with_cancel(background());
    Task large([&] { EXPECT_EQ(s.acquire(2, ctx).error(), Errc::canceled); });
    large.wait_until_parked();
    Task small([&] { s.acquire(1); });
    small.wait_until_parked();
    cancel();
    large.join();
    small.join();
    EXPECT_EQ(s.available(), 0);
  });
}

TEST(SemaphoreContext, DoneContextFailsOnlyWhenItWouldWait) {
  Semaphore s(1);
  const Context done = with_timeout(background(), 0s).context;
  EXPECT_TRUE(s.acquire(1, done));
  EXPECT_EQ(s.acquire(1, done).error(), Errc::timed_out);
  EXPECT_EQ(s.available(), 0);
  s.release();
  EXPECT_EQ(s.available(), 1);
}

TEST(SemaphoreContext, CancelRacesReleaseWithOneWinner) {
  test::run([] {
    for (int round = 0; round < 300; ++round) {
      Semaphore s(1);
      s.acquire();
      auto [ctx, cancel] = with_cancel(background());
      bool got = false;
      Task waiter([&] { got = s.acquire(1, ctx).has_value(); });
      if (round % 2) waiter.wait_until_parked();
      Task canceller([&] { cancel(); });
      for (int k = 0; k < round % 3; ++k) gosched();
      s.release();
      waiter.join();
      canceller.join();
      EXPECT_EQ(s.available(), got ? 0 : 1);
    }
  });
}

TEST(SemaphoreTooMuch, FailsAtOnceAndBlocksNobody) {
  Semaphore s(2);
  EXPECT_EQ(s.acquire(3, background()).error(), std::errc::value_too_large);
  EXPECT_TRUE(s.try_acquire(2));
  EXPECT_EQ(s.acquire(3, background()).error(), std::errc::value_too_large);
  EXPECT_THROW(s.acquire(3), Panic);
  s.release(2);
}

TEST(SemaphoreMisuse, NonsenseCountsPanic) {
  EXPECT_THROW(Semaphore(-1), Panic);
  Semaphore s(1);
  EXPECT_THROW(s.acquire(-1), Panic);
  EXPECT_THROW((void)s.acquire(-1, background()), Panic);
  EXPECT_THROW((void)s.try_acquire(-2), Panic);
  EXPECT_THROW(s.release(-1), Panic);
  EXPECT_THROW(s.release(1), Panic);
  s.acquire();
  try {
    s.release(2);
    FAIL();
  } catch (const Panic& p) {
    EXPECT_STREQ(p.what(), "treadle::Semaphore::release: 2 units of 1 taken");
  }
  s.release();
}

TEST(SemaphoreHold, GivesBackOnce) {
  Semaphore s(3);
  s.acquire(2);
  {
    Semaphore::Hold a(s, 2);
    Semaphore::Hold b(std::move(a));
    EXPECT_EQ(s.available(), 1);
  }
  EXPECT_EQ(s.available(), 3);
}

}  // namespace
}  // namespace treadle
