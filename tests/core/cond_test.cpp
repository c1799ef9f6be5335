#include <gtest/gtest.h>

#include <atomic>
#include <deque>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <thread>
#include <vector>

#include <treadle/cond.h>
#include <treadle/go.h>
#include <treadle/mutex.h>
#include <treadle/rw_mutex.h>
#include <treadle/wait_group.h>

#include "support/goroutine.h"

namespace treadle {
namespace {

using test::Task;
using namespace std::chrono_literals;

// Tasks that each wait once; `order` tells in which order they went on.
struct Waiters {
  Mutex mu;
  Cond cond;
  std::vector<int> order;
  std::vector<std::unique_ptr<Task>> tasks;

  void add(int n) {
    for (int i = 0; i < n; ++i) {
      const int id = static_cast<int>(tasks.size());
      tasks.push_back(std::make_unique<Task>([this, id] {
        std::unique_lock hold(mu);
        cond.wait(hold);
        order.push_back(id);
      }));
      tasks.back()->wait_until_parked();
    }
  }
  int awake() const {
    int n = 0;
    for (const auto& t : tasks) n += t->done();
    return n;
  }
};

TEST(CondNotifyOne, WakesOneEachTimeInOrderOfArrival) {
  test::run([] {
    Waiters w;
    w.add(5);
    for (int i = 0; i < 5; ++i) {
      w.cond.notify_one();
      w.tasks[static_cast<std::size_t>(i)]->join();
      EXPECT_EQ(w.awake(), i + 1);
    }
    w.cond.notify_one();  // nobody waits: nothing is kept for later
    EXPECT_EQ(w.order, (std::vector{0, 1, 2, 3, 4}));
    w.add(1);
    EXPECT_FALSE(w.tasks.back()->done());
    w.cond.notify_one();
  });
}

TEST(CondNotifyOne, GoesToTheGenerationThatWaitedFirst) {
  test::run([] {
    constexpr int kCount = 100;
    Waiters w;
    w.add(kCount);
    for (int i = 0; i < kCount / 2; ++i) w.cond.notify_one();
    w.add(kCount / 2);
    for (int i = kCount / 2; i < kCount; ++i) w.cond.notify_one();
    for (int i = 0; i < kCount; ++i) w.tasks[static_cast<std::size_t>(i)]->join();
    EXPECT_EQ(w.awake(), kCount);
    w.cond.notify_all();
  });
}

// One that begins to wait after the notification must not take it from the one it was for.
TEST(CondNotifyOne, CannotBeStolen) {
  test::run([] {
    for (int i = 0; i < 300; ++i) {
      Mutex mu;
      Cond cond;
      Task first([&] {
        std::unique_lock hold(mu);
        cond.wait(hold);
      });
      first.wait_until_parked();
      mu.lock();
      cond.notify_one();  // it still has to get the lock
      std::atomic<bool> stop{false};
      Task second([&] {
        std::unique_lock hold(mu);
        while (!stop) cond.wait(hold);
      });
      mu.unlock();
      first.join();
      {
        const std::lock_guard hold(mu);
        stop = true;
      }
      cond.notify_all();
    }
  });
}

TEST(CondNotifyAll, WakesEveryone) {
  test::run([] {
    Waiters w;
    w.add(50);
    EXPECT_EQ(w.awake(), 0);
    w.cond.notify_all();
    for (auto& t : w.tasks) t->join();
    EXPECT_EQ(w.order.size(), 50u);
    w.cond.notify_all();
  });
}

TEST(CondNotifyAll, RoundsDoNotMix) {
  test::run([] {
    constexpr int kTasks = 20, kRounds = 50;
    Mutex mu;
    Cond cond, arrived;
    int round = 0, in = 0;
    WaitGroup wg;
    for (int i = 0; i < kTasks; ++i)
      wg.go([&] {
        std::unique_lock hold(mu);
        for (int r = 0; r < kRounds; ++r) {
          if (++in == kTasks) arrived.notify_one();
          cond.wait(hold, [&] { return round > r; });
        }
      });
    for (int r = 0; r < kRounds; ++r) {
      std::unique_lock hold(mu);
      arrived.wait(hold, [&] { return in == kTasks; });
      in = 0;
      ++round;
      cond.notify_all();
    }
    wg.wait();
  });
}

TEST(CondWait, HoldsTheLockAgainWhenItReturns) {
  test::run([] {
    Mutex mu;
    Cond cond;
    int x = 0;
    Task ticker([&] {
      std::unique_lock hold(mu);
      x = 1;
      cond.wait(hold, [&] { return x == 2; });
      EXPECT_FALSE(mu.try_lock());
      x = 3;
      cond.notify_one();
    });
    ticker.wait_until_parked();
    std::unique_lock hold(mu);
    ASSERT_EQ(x, 1);
    x = 2;
    cond.notify_one();
    cond.wait(hold, [&] { return x == 3; });
    EXPECT_TRUE(hold.owns_lock());
  });
}

TEST(CondWait, TakesAnyLock) {
  test::run([] {
    RwMutex rw;
    Cond cond;
    bool ready = false;
    Task reader([&] {
      std::shared_lock hold(rw);
      cond.wait(hold, [&] { return ready; });
    });
    Task writer([&] {
      rw.lock();
      cond.wait(rw, [&] { return ready; });
      rw.unlock();
    });
    reader.wait_until_parked();
    writer.wait_until_parked();
    {
      const std::lock_guard hold(rw);
      ready = true;
    }
    cond.notify_all();
  });
}

TEST(CondWait, UnlockedLockPanicsAndNobodyStaysBehind) {
  test::run([] {
    Mutex mu;
    Cond cond;
    EXPECT_THROW(cond.wait(mu), Panic);
    Task waiter([&] {
      std::unique_lock hold(mu);
      cond.wait(hold);
    });
    waiter.wait_until_parked();
    cond.notify_one();  // would be lost in a left-over waiter
    waiter.join();
  });
}

TEST(CondContext, CancelEndsTheWaitWithTheLockHeld) {
  test::run([] {
    Mutex mu;
    Cond cond;
    auto [ctx, cancel] = with_cancel(background());
    Task waiter([&] {
      std::unique_lock hold(mu);
      EXPECT_EQ(cond.wait(hold, ctx).error(), Errc::canceled);
      EXPECT_FALSE(mu.try_lock());
      EXPECT_EQ(cond.wait(hold, ctx).error(), Errc::canceled);
    });
    waiter.wait_until_parked();
    cancel();
    waiter.join();
    std::unique_lock hold(mu);
    EXPECT_EQ(cond.wait(hold, with_timeout(background(), 1ms).context).error(), Errc::timed_out);
  });
}

TEST(CondContext, PredicateCountsMoreThanTheContext) {
  test::run([] {
    Mutex mu;
    Cond cond;
    auto [ctx, cancel] = with_cancel(background());
    cancel();
    std::unique_lock hold(mu);
    EXPECT_TRUE(cond.wait(hold, ctx, [] { return true; }));
    EXPECT_EQ(cond.wait(hold, ctx, [] { return false; }).error(), Errc::canceled);
    int asked = 0;
    EXPECT_TRUE(cond.wait(hold, ctx, [&] { return ++asked == 2; }));
  });
}

// Each notification reaches a waiter whose wait it ends, whatever contexts end at the same time.
TEST(CondContext, CancelledWaitersTakeNoNotification) {
  test::run([] {
    for (int round = 0; round < 200; ++round) {
      constexpr int kWaiters = 6, kNotified = 3;
      Mutex mu;
      Cond cond;
      auto [ctx, cancel] = with_cancel(background());
      std::atomic<int> notified{0};
      int waiting = 0;
      WaitGroup wg;
      for (int i = 0; i < kWaiters; ++i)
        wg.go([&, i] {
          std::unique_lock hold(mu);
          ++waiting;
          if (i % 2) {
            cond.wait(hold);  // three of them: enough for every notification
            ++notified;
          } else if (cond.wait(hold, ctx)) {
            ++notified;
          }
        });
      for (;;) {
        const std::lock_guard hold(mu);
        if (waiting == kWaiters) break;
        gosched();
      }
      wg.go([&] {
        for (int k = 0; k < round % 4; ++k) gosched();
        cancel();
      });
      for (int i = 0; i < kNotified; ++i) cond.notify_one();
      while (notified < kNotified) gosched();
      EXPECT_EQ(notified, kNotified);
      cond.notify_all();
      wg.wait();
    }
  });
}

// A queue between goroutines and plain threads, one element a notification.
TEST(CondMixed, QueueLosesNothing) {
  test::run([] {
    constexpr int kEach = 500;
    Mutex mu;
    Cond cond;
    std::deque<int> queue;
    std::atomic<int> got{0};
    const auto consume = [&] {
      for (int i = 0; i < kEach; ++i) {
        std::unique_lock hold(mu);
        cond.wait(hold, [&] { return !queue.empty(); });
        got += queue.front();
        queue.pop_front();
      }
    };
    const auto produce = [&] {
      for (int i = 0; i < kEach; ++i) {
        {
          const std::lock_guard hold(mu);
          queue.push_back(1);
        }
        cond.notify_one();
      }
    };
    WaitGroup wg;
    for (int i = 0; i < 3; ++i) wg.go(consume), wg.go(produce);
    std::thread a(consume), b(produce);
    wg.wait();
    a.join();
    b.join();
    EXPECT_EQ(got, 4 * kEach);
  });
}

// By the notifier, as soon as everyone has been notified; by the waiter, as soon as it is awake.
TEST(CondLifetime, EndsOnceEveryoneIsNotified) {
  test::run([] {
    for (int round = 0; round < 1000; ++round) {
      Mutex mu;
      auto cond = std::make_unique<Cond>();
      bool waiting = false;
      const bool by_waiter = round % 2;
      Task waiter([&] {
        std::unique_lock hold(mu);
        waiting = true;
        cond->wait(hold);
        if (by_waiter) cond.reset();
      });
      for (;;) {
        std::unique_lock hold(mu);
        if (waiting) break;
        hold.unlock();
        gosched();
      }
      cond->notify_one();
      if (!by_waiter) cond.reset();
    }
  });
}

}  // namespace
}  // namespace treadle
