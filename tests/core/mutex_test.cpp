#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include <treadle/go.h>
#include <treadle/mutex.h>
#include <treadle/timer.h>
#include <treadle/wait_group.h>

#include "support/goroutine.h"

namespace treadle {
namespace {

using test::Task;
using namespace std::chrono_literals;

TEST(MutexLock, ExcludesOthersEvenAcrossParks) {
  constexpr int kGoroutines = 10, kRounds = 300;
  test::run([] {
    Mutex mu;
    int plain = 0;
    WaitGroup wg;
    for (int g = 0; g < kGoroutines; ++g) {
      wg.add(1);
      go([&, g] {
        for (int i = 0; i < kRounds; ++i) {
          const std::lock_guard hold(mu);
          const int seen = plain;
          if ((i + g) % 7 == 0) gosched();
          plain = seen + 1;
        }
        wg.done();
      });
    }
    wg.wait();
    EXPECT_EQ(plain, kGoroutines * kRounds);
  });
}

TEST(MutexLock, WaitsUntilUnlocked) {
  test::run([] {
    Mutex mu;
    mu.lock();
    Task waiter([&] {
      const std::unique_lock hold(mu);
      EXPECT_FALSE(mu.try_lock());
    });
    waiter.wait_until_parked();
    EXPECT_FALSE(waiter.done());
    mu.unlock();
    waiter.join();
    EXPECT_TRUE(mu.try_lock());
    mu.unlock();
  });
}

TEST(MutexLock, MayBeUnlockedByAnotherGoroutine) {
  test::run([] {
    Mutex mu;
    mu.lock();
    Task([&] { mu.unlock(); }).join();
    EXPECT_TRUE(mu.try_lock());
    mu.unlock();
  });
}

TEST(MutexTryLock, FailsWhileLocked) {
  Mutex mu;
  EXPECT_TRUE(mu.try_lock());
  EXPECT_FALSE(mu.try_lock());
  mu.unlock();
  const std::unique_lock hold(mu, std::try_to_lock);
  EXPECT_TRUE(hold.owns_lock());
}

TEST(MutexUnlock, OfUnlockedPanics) {
  Mutex mu;
  EXPECT_THROW(mu.unlock(), Panic);
  mu.lock();
  mu.unlock();
  EXPECT_THROW(mu.unlock(), Panic);
  mu.lock();  // and is still of use
  mu.unlock();
}

TEST(MutexUnlock, WakesEachWaiterInTurn) {
  test::run([] {
    Mutex mu;
    int order = 0;
    mu.lock();
    std::vector<std::unique_ptr<Task>> waiters;
    for (int i = 0; i < 20; ++i) {
      waiters.push_back(std::make_unique<Task>([&] {
        const std::lock_guard hold(mu);
        ++order;
      }));
      waiters.back()->wait_until_parked();
    }
    mu.unlock();
    for (auto& w : waiters) w->join();
    EXPECT_EQ(order, 20);
  });
}

// One that takes the lock again and again, without ever parking, must not keep another one out.
TEST(MutexStarvation, WaiterGetsItsTurnBesideAGreedyHolder) {
  test::run([] {
    for (int round = 0; round < 5; ++round) {
      Mutex mu;
      std::atomic<bool> stop{false};
      Task greedy([&] {
        while (!stop) {
          const std::lock_guard hold(mu);
          for (int i = 0; i < 1000; ++i) asm volatile("");
        }
      });
      for (int i = 0; i < 20; ++i) {
        const std::lock_guard hold(mu);
        gosched();
      }
      stop = true;
    }
  });
}

TEST(MutexStarvation, LateComersDoNotStarveTheFirst) {
  test::run([] {
    Mutex mu;
    std::atomic<bool> stop{false};
    WaitGroup wg;
    for (int i = 0; i < 8; ++i) {
      wg.add(1);
      go([&] {
        while (!stop) {
          const std::lock_guard hold(mu);
          gosched();
        }
        wg.done();
      });
    }
    for (int i = 0; i < 50; ++i) {
      const std::lock_guard hold(mu);
    }
    stop = true;
    wg.wait();
  });
}

// Unlocks and locks again at once, until the waiter gets the lock although its holder never let it
// be free for long. Returns how many times the waiter was overtaken.
int overtake(Mutex& mu, Task& waiter) {
  for (int overtaken = 0;; ++overtaken) {
    mu.unlock();
    if (!mu.try_lock()) return overtaken;
    gosched();
    waiter.wait_until_parked();  // it was woken, found the lock taken, and waits again
    if (waiter.done()) {         // or was so quick that it had the lock in between
      mu.unlock();
      return overtaken;
    }
  }
}

TEST(MutexStarvation, LockIsHandedToOneThatWasOvertakenOften) {
  test::run([] {
    for (int round = 0; round < 50; ++round) {
      Mutex mu;
      mu.lock();
      Task waiter([&] { const std::lock_guard hold(mu); });
      waiter.wait_until_parked();
      EXPECT_LE(overtake(mu, waiter), 4);
      waiter.join();
      EXPECT_TRUE(mu.try_lock());  // and it ends in the usual way
      mu.unlock();
    }
  });
}

TEST(MutexStarvation, LockIsHandedToOneThatHasWaitedLong) {
  test::run([] {
    Mutex mu;
    mu.lock();
    Task waiter([&] { const std::lock_guard hold(mu); });
    waiter.wait_until_parked();
    ASSERT_TRUE(sleep(10ms));  // the coarse clock has moved
    EXPECT_LE(overtake(mu, waiter), 1);
  });
}

// One holds it nearly all the time, the other one wants it now and then.
TEST(MutexStarvation, IsFairBesideALongHolder) {
  test::run([] {
    Mutex mu;
    std::atomic<bool> stop{false};
    Task holder([&] {
      while (!stop) {
        const std::lock_guard hold(mu);
        (void)sleep(100us);
      }
    });
    for (int i = 0; i < 10; ++i) {
      (void)sleep(100us);
      const std::lock_guard hold(mu);
    }
    stop = true;
  });
}

TEST(MutexLock, HammeredByLocksAndTries) {
  test::run([] {
    Mutex mu;
    int plain = 0, got = 0;
    WaitGroup wg;
    for (int g = 0; g < 10; ++g)
      wg.go([&] {
        for (int i = 0; i < 1000; ++i) {
          if (i % 3 == 0) {
            if (!mu.try_lock()) continue;
          } else {
            mu.lock();
          }
          ++plain;
          ++got;
          mu.unlock();
        }
      });
    wg.wait();
    EXPECT_EQ(plain, got);
    EXPECT_GE(plain, 6660);
  });
}

TEST(MutexContext, CancelEndsTheWaitAndTheLockGoesOn) {
  test::run([] {
    Mutex mu;
    auto [ctx, cancel] = with_cancel(background());
    mu.lock();
    Task first([&] { EXPECT_EQ(mu.lock(ctx).error(), Errc::canceled); });
    first.wait_until_parked();
    Task second([&] { const std::lock_guard hold(mu); });
    second.wait_until_parked();
    Task third([&] { EXPECT_EQ(mu.lock(ctx).error(), Errc::canceled); });
    third.wait_until_parked();
    cancel();
    first.join();
    third.join();
    EXPECT_FALSE(second.done());
    mu.unlock();
    second.join();
    EXPECT_TRUE(mu.try_lock());
    mu.unlock();
  });
}

TEST(MutexContext, DoneContextFailsOnlyWhenItWouldWait) {
  test::run([] {
    Mutex mu;
    auto [ctx, cancel] = with_timeout(background(), 1ms);
    mu.lock();
    EXPECT_EQ(mu.lock(ctx).error(), Errc::timed_out);
    EXPECT_EQ(mu.lock(ctx).error(), Errc::timed_out);
    mu.unlock();
    EXPECT_TRUE(mu.lock(ctx));
    mu.unlock();
  });
}

// The last holder destroys it at once, while the unlock() before may still be returning.
TEST(MutexLifetime, LastHolderMayDestroyIt) {
  struct Shared {
    Mutex mu;
    int users = 4;
  };
  test::run([] {
    for (int round = 0; round < 300; ++round) {
      auto* shared = new Shared;
      WaitGroup wg;
      for (int i = 0; i < 4; ++i) {
        wg.add(1);
        go([&wg, shared] {
          shared->mu.lock();
          const bool last = --shared->users == 0;
          shared->mu.unlock();
          if (last) delete shared;
          wg.done();
        });
      }
      wg.wait();
    }
  });
}

}  // namespace
}  // namespace treadle
