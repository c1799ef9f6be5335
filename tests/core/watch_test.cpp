#include <treadle/watch.h>

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <treadle/go.h>
#include <treadle/wait_group.h>

#include "support/goroutine.h"

namespace treadle {
namespace {

using test::Task;
using namespace std::chrono_literals;

TEST(WatchValue, InitialOneIsThereAndCountsAsSeen) {
  const WatchSender<int> tx(1);
  auto rx = tx.subscribe();
  EXPECT_EQ(rx.get(), 1);
  EXPECT_EQ(tx.get(), 1);
  EXPECT_FALSE(rx.has_changed());
}

TEST(WatchValue, BorrowedOneStaysAsItIs) {
  const WatchSender<std::string> tx("old");
  auto rx = tx.subscribe();
  const auto held = rx.borrow();
  tx.set("new");
  EXPECT_EQ(*held, "old");
  EXPECT_EQ(rx.get(), "new");
}

TEST(WatchValue, OldOneGoesWhenNobodyHoldsIt) {
  auto first = std::make_shared<int>(1);
  const std::weak_ptr<int> seen = first;
  const WatchSender<std::shared_ptr<int>> tx(std::move(first));
  EXPECT_FALSE(seen.expired());
  tx.set(nullptr);
  EXPECT_TRUE(seen.expired());
}

TEST(WatchChanged, ParkedReceiversAreWokenAndSeeTheLatest) {
  test::run([] {
    const WatchSender<int> tx(0);
    std::vector<std::unique_ptr<Task>> tasks;
    for (int i = 0; i < 10; ++i)
      tasks.push_back(
          std::make_unique<Task>([rx = std::make_shared<WatchReceiver<int>>(tx.subscribe())] {
            EXPECT_TRUE(rx->changed());
            EXPECT_EQ(rx->get(), 5);
          }));
    for (auto& t : tasks) t->wait_until_parked();
    tx.set(5);
    for (auto& t : tasks) t->join();
  });
}

TEST(WatchChanged, SeveralChangesAreOne) {
  test::run([] {
    const WatchSender<int> tx(0);
    auto rx = tx.subscribe();
    for (int i = 1; i <= 3; ++i) tx.set(i);
    EXPECT_TRUE(rx.has_changed());
    EXPECT_TRUE(rx.changed());
    EXPECT_EQ(rx.get(), 3);
    EXPECT_FALSE(rx.has_changed());
  });
}

TEST(WatchChanged, BorrowAndUpdateCountsAsSeen) {
  const WatchSender<int> tx(0);
  auto rx = tx.subscribe();
  tx.set(1);
  EXPECT_EQ(*rx.borrow(), 1);
  EXPECT_TRUE(rx.has_changed());
  EXPECT_EQ(*rx.borrow_and_update(), 1);
  EXPECT_FALSE(rx.has_changed());
}

TEST(WatchChanged, CopiedReceiverWatchesOnItsOwn) {
  test::run([] {
    const WatchSender<int> tx(0);
    auto a = tx.subscribe();
    tx.set(1);
    auto b = a;
    EXPECT_TRUE(a.changed());
    EXPECT_TRUE(b.has_changed());
    EXPECT_EQ(tx.receivers(), 2u);
    b = a;
    EXPECT_FALSE(b.has_changed());
    EXPECT_EQ(tx.receivers(), 2u);
  });
}

TEST(WatchClosed, UnseenValueComesBeforeClosed) {
  test::run([] {
    auto tx = std::make_unique<WatchSender<int>>(0);
    auto rx = tx->subscribe();
    tx->set(1);
    tx.reset();
    EXPECT_TRUE(rx.changed());
    EXPECT_EQ(rx.changed().error(), Errc::closed);
    EXPECT_EQ(rx.get(), 1);
  });
}

TEST(WatchClosed, LastSenderGoneWakesTheReceiver) {
  test::run([] {
    auto tx = std::make_unique<WatchSender<int>>(0);
    auto copy = std::make_unique<WatchSender<int>>(*tx);
    auto rx = tx->subscribe();
    Task waits([&] { EXPECT_EQ(rx.changed().error(), Errc::closed); });
    waits.wait_until_parked();
    tx.reset();
    EXPECT_FALSE(waits.done());
    copy.reset();
    waits.join();
  });
}

TEST(WatchContext, CancelEndsTheWait) {
  test::run([] {
    const WatchSender<int> tx(0);
    auto rx = tx.subscribe();
    auto [ctx, cancel] = with_cancel(background());
    Task waits([&] { EXPECT_EQ(rx.changed(ctx).error(), Errc::canceled); });
    waits.wait_until_parked();
    cancel();
    waits.join();
    EXPECT_EQ(tx.unwatched(ctx).error(), Errc::canceled);
    tx.set(1);
    EXPECT_TRUE(rx.changed(ctx)) << "what is there counts before the context";
    EXPECT_EQ(rx.changed(with_timeout(background(), 1ms).context).error(), Errc::timed_out);
  });
}

TEST(WatchUnwatched, EndsWithTheLastReceiver) {
  test::run([] {
    const WatchSender<int> tx(0);
    tx.unwatched();
    auto rx = std::make_unique<WatchReceiver<int>>(tx.subscribe());
    Task waits([&] { tx.unwatched(); });
    waits.wait_until_parked();
    rx.reset();
    waits.join();
    EXPECT_EQ(tx.receivers(), 0u);
  });
}

TEST(WatchUpdate, NoneIsLostAndAThrowingOneChangesNothing) {
  test::run([] {
    const WatchSender<int> tx(0);
    WaitGroup wg;
    for (int i = 0; i < 8; ++i) {
      wg.add(1);
      go([&] {
        for (int n = 0; n < 200; ++n)
          tx.update([&](int& v) {
            ++v;
            if (n % 50 == 0) gosched();
          });
        wg.done();
      });
    }
    wg.wait();
    EXPECT_EQ(tx.get(), 1600);
    auto rx = tx.subscribe();
    EXPECT_THROW(tx.update([](int& v) {
      v = -1;
      throw std::runtime_error("no");
    }),
                 std::runtime_error);
    EXPECT_EQ(tx.get(), 1600);
    EXPECT_FALSE(rx.has_changed());
  });
}

TEST(WatchThread, PlainThreadsSetAndWait) {
  auto tx = std::make_unique<WatchSender<int>>(0);
  auto rx = tx->subscribe();
  std::thread sets([&] {
    for (int i = 1; i <= 1000; ++i) tx->set(i);
    tx.reset();
  });
  int last = 0;
  while (rx.changed()) {
    EXPECT_GE(rx.get(), last);
    last = rx.get();
  }
  EXPECT_EQ(last, 1000);
  sets.join();
}

TEST(WatchRace, LastValueIsAlwaysSeen) {
  test::run([] {
    for (int round = 0; round < 200; ++round) {
      auto tx = std::make_unique<WatchSender<int>>(0);
      WaitGroup wg;
      for (int r = 0; r < 3; ++r) {
        wg.add(1);
        go([&wg, rx = tx->subscribe()]() mutable {
          while (rx.changed()) {
          }
          EXPECT_EQ(rx.get(), 20);
          wg.done();
        });
      }
      for (int i = 1; i <= 20; ++i) tx->set(i);
      tx.reset();
      wg.wait();
    }
  });
}

}  // namespace
}  // namespace treadle
