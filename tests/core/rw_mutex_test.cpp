#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <thread>
#include <vector>

#include <treadle/chan.h>
#include <treadle/go.h>
#include <treadle/rw_mutex.h>
#include <treadle/wait_group.h>

#include "support/goroutine.h"

namespace treadle {
namespace {

using test::Task;
using namespace std::chrono_literals;

TEST(RwMutexTry, FollowsWhoHoldsIt) {
  RwMutex mu;
  ASSERT_TRUE(mu.try_lock());
  EXPECT_FALSE(mu.try_lock());
  EXPECT_FALSE(mu.try_lock_shared());
  mu.unlock();
  ASSERT_TRUE(mu.try_lock_shared());
  ASSERT_TRUE(mu.try_lock_shared());
  EXPECT_FALSE(mu.try_lock());
  mu.unlock_shared();
  EXPECT_FALSE(mu.try_lock());
  mu.unlock_shared();
  EXPECT_TRUE(mu.try_lock());
  mu.unlock();
}

TEST(RwMutexLock, WorksWithTheStandardGuards) {
  RwMutex mu;
  {
    std::shared_lock a(mu), b(mu, std::try_to_lock);
    EXPECT_TRUE(b.owns_lock());
    EXPECT_FALSE(std::unique_lock(mu, std::try_to_lock).owns_lock());
  }
  const std::unique_lock hold(mu);
  EXPECT_FALSE(std::shared_lock(mu, std::try_to_lock).owns_lock());
}

TEST(RwMutexShared, ReadersHoldItTogether) {
  for (const int readers : {1, 3, 20}) {
    test::run([readers] {
      RwMutex mu;
      auto in = make_chan<int>(), out = make_chan<int>();
      WaitGroup wg;
      for (int i = 0; i < readers; ++i)
        wg.go([&] {
          const std::shared_lock hold(mu);
          in.send(1);
          out.recv();
        });
      for (int i = 0; i < readers; ++i) in.recv();  // all of them are inside now
      EXPECT_FALSE(mu.try_lock());
      for (int i = 0; i < readers; ++i) out.send(1);
      wg.wait();
      EXPECT_TRUE(mu.try_lock());
      mu.unlock();
    });
  }
}

TEST(RwMutexShared, WaitsForTheWriter) {
  test::run([] {
    RwMutex mu;
    mu.lock();
    Task reader([&] { const std::shared_lock hold(mu); });
    reader.wait_until_parked();
    EXPECT_FALSE(reader.done());
    mu.unlock();
    reader.join();
  });
}

TEST(RwMutexLock, WaitsForTheLastReader) {
  test::run([] {
    RwMutex mu;
    mu.lock_shared();
    mu.lock_shared();
    Task writer([&] { const std::lock_guard hold(mu); });
    writer.wait_until_parked();
    mu.unlock_shared();
    for (int i = 0; i < 5; ++i) gosched();
    EXPECT_FALSE(writer.done());
    mu.unlock_shared();
    writer.join();
  });
}

TEST(RwMutexFair, WaitingWriterKeepsNewReadersOut) {
  test::run([] {
    RwMutex mu;
    mu.lock_shared();
    std::atomic<bool> written{false};
    Task writer([&] {
      const std::lock_guard hold(mu);
      written = true;
    });
    writer.wait_until_parked();
    EXPECT_FALSE(mu.try_lock_shared());
    Task reader([&] {
      const std::shared_lock hold(mu);
      EXPECT_TRUE(written);
    });
    reader.wait_until_parked();
    mu.unlock_shared();
    reader.join();
  });
}

TEST(RwMutexFair, WaitingReadersComeBeforeTheNextWriter) {
  test::run([] {
    RwMutex mu;
    std::atomic<int> readers{0};
    mu.lock();
    Task writer([&] {
      const std::lock_guard hold(mu);
      EXPECT_EQ(readers, 3);
    });
    writer.wait_until_parked();
    std::vector<std::unique_ptr<Task>> tasks;
    for (int i = 0; i < 3; ++i) {
      tasks.push_back(std::make_unique<Task>([&] {
        const std::shared_lock hold(mu);
        ++readers;
        gosched();
      }));
      tasks.back()->wait_until_parked();
    }
    mu.unlock();
    writer.join();
  });
}

TEST(RwMutexFair, WritersAreServedInOrder) {
  test::run([] {
    RwMutex mu;
    std::vector<int> order;
    mu.lock_shared();
    std::vector<std::unique_ptr<Task>> tasks;
    for (int i = 0; i < 5; ++i) {
      tasks.push_back(std::make_unique<Task>([&, i] {
        const std::lock_guard hold(mu);
        order.push_back(i);
      }));
      tasks.back()->wait_until_parked();
    }
    mu.unlock_shared();
    for (auto& t : tasks) t->join();
    EXPECT_EQ(order, (std::vector{0, 1, 2, 3, 4}));
  });
}

// Readers that overlap all the time must not keep a writer out, nor writers a reader.
TEST(RwMutexFair, NeitherSideStarves) {
  test::run([] {
    RwMutex mu;
    std::atomic<bool> stop{false};
    WaitGroup wg;
    for (int i = 0; i < 4; ++i) {
      wg.go([&] {
        while (!stop) {
          const std::shared_lock hold(mu);
          gosched();
        }
      });
      wg.go([&] {
        while (!stop) {
          const std::lock_guard hold(mu);
          gosched();
        }
      });
    }
    for (int i = 0; i < 50; ++i) {
      {
        const std::lock_guard hold(mu);
      }
      {
        const std::shared_lock hold(mu);
      }
    }
    stop = true;
    wg.wait();
  });
}

class RwMutexHammer : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(RwMutex, RwMutexHammer, ::testing::Values(1, 3, 10));

TEST_P(RwMutexHammer, WritersAreAloneAndReadersOnlyWithReaders) {
  test::run([] {
    RwMutex mu;
    std::atomic<int> activity{0};  // readers inside, and 10,000 for a writer
    WaitGroup wg;
    const auto reader = [&](int rounds) {
      for (int i = 0; i < rounds; ++i) {
        const std::shared_lock hold(mu);
        const int n = ++activity;
        if (n < 1 || n >= 10000) ADD_FAILURE() << n;
        if (i % 5 == 0) gosched();
        --activity;
      }
    };
    const auto writer = [&](int rounds) {
      for (int i = 0; i < rounds; ++i) {
        const std::lock_guard hold(mu);
        const int n = activity += 10000;
        if (n != 10000) ADD_FAILURE() << n;
        if (i % 3 == 0) gosched();
        activity -= 10000;
      }
    };
    for (int i = 0; i < 2; ++i) wg.go([&] { writer(500); });
    for (int i = 0; i < GetParam(); ++i) wg.go([&] { reader(500); });
    std::thread plain([&] { reader(100), writer(100); });
    wg.wait();
    plain.join();
    EXPECT_TRUE(mu.try_lock());
    mu.unlock();
  });
}

TEST(RwMutexMisuse, UnlockOfWhatIsNotLockedPanics) {
  RwMutex mu;
  EXPECT_THROW(mu.unlock(), Panic);
  EXPECT_THROW(mu.unlock_shared(), Panic);
  mu.lock_shared();
  EXPECT_THROW(mu.unlock(), Panic);
  mu.unlock_shared();
  EXPECT_THROW(mu.unlock_shared(), Panic);
  mu.lock();
  EXPECT_THROW(mu.unlock_shared(), Panic);
  mu.unlock();
  EXPECT_THROW(mu.unlock(), Panic);
  EXPECT_TRUE(mu.try_lock());  // and is still of use
  mu.unlock();
}

TEST(RwMutexContext, CancelledWriterLetsTheReadersBehindItIn) {
  test::run([] {
    RwMutex mu;
    auto [ctx, cancel] = with_cancel(background());
    mu.lock_shared();
    Task writer([&] { EXPECT_EQ(mu.lock(ctx).error(), Errc::canceled); });
    writer.wait_until_parked();
    Task reader([&] { const std::shared_lock hold(mu); });
    reader.wait_until_parked();
    cancel();
    writer.join();
    reader.join();  // though the first reader still holds the lock
    EXPECT_TRUE(mu.try_lock_shared());
    mu.unlock_shared();
    mu.unlock_shared();
  });
}

TEST(RwMutexContext, CancelledReaderLeavesTheLockAlone) {
  test::run([] {
    RwMutex mu;
    auto [ctx, cancel] = with_cancel(background());
    mu.lock();
    Task reader([&] { EXPECT_EQ(mu.lock_shared(ctx).error(), Errc::canceled); });
    reader.wait_until_parked();
    cancel();
    reader.join();
    mu.unlock();
    EXPECT_TRUE(mu.try_lock());
    mu.unlock();
  });
}

TEST(RwMutexContext, DoneContextFailsOnlyWhenItWouldWait) {
  RwMutex mu;
  const Context ctx = with_timeout(background(), 0s).context;
  EXPECT_TRUE(mu.lock(ctx));
  EXPECT_EQ(mu.lock(ctx).error(), Errc::timed_out);
  EXPECT_EQ(mu.lock_shared(ctx).error(), Errc::timed_out);
  mu.unlock();
  EXPECT_TRUE(mu.lock_shared(ctx));
  EXPECT_TRUE(mu.lock_shared(ctx));
  EXPECT_EQ(mu.lock(ctx).error(), Errc::timed_out);
  mu.unlock_shared();
  mu.unlock_shared();
}

// The last one out destroys it, while the unlock before may still be returning.
TEST(RwMutexLifetime, LastHolderMayDestroyIt) {
  struct Shared {
    RwMutex mu;
    std::atomic<int> users{4};
  };
  test::run([] {
    for (int round = 0; round < 300; ++round) {
      auto* shared = new Shared;
      WaitGroup wg;
      for (int i = 0; i < 3; ++i)
        wg.go([shared] {
          const std::shared_lock hold(shared->mu);
          --shared->users;
          if (shared->users % 2) gosched();
        });
      wg.go([shared] {
        for (;;) {
          shared->mu.lock();
          const bool last = shared->users == 1;
          shared->mu.unlock();
          if (last) break;
          gosched();
        }
        delete shared;
      });
      wg.wait();
    }
  });
}

}  // namespace
}  // namespace treadle
