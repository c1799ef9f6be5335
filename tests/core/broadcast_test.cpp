#include <treadle/broadcast.h>

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <optional>
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

TEST(BroadcastSend, EveryReceiverSeesEveryValueInOrder) {
  test::run([] {
    BroadcastSender<int> tx(8);
    auto a = tx.subscribe();
    auto b = tx.subscribe();
    for (int i = 0; i < 5; ++i) EXPECT_EQ(tx.send(i), 2u);
    for (int i = 0; i < 5; ++i) {
      EXPECT_EQ(a.recv(), i);
      EXPECT_EQ(b.recv(), i);
    }
    EXPECT_EQ(a.pending(), 0u);
  });
}

TEST(BroadcastSend, WithoutReceiversTheValueIsDropped) {
  const BroadcastSender<int> tx(1);
  EXPECT_EQ(tx.send(1), 0u);
  auto rx = tx.subscribe();
  EXPECT_EQ(*rx.try_recv(), nullptr) << "sees only what is sent from now on";
}

TEST(BroadcastSend, ParkedReceiversAreAllWoken) {
  test::run([] {
    BroadcastSender<std::string> tx(4);
    std::vector<std::unique_ptr<Task>> tasks;
    for (int i = 0; i < 20; ++i)
      tasks.push_back(std::make_unique<Task>(
          [rx = std::make_shared<BroadcastReceiver<std::string>>(tx.subscribe())] {
            EXPECT_EQ(rx->recv(), "all");
          }));
    for (auto& t : tasks) t->wait_until_parked();
    EXPECT_EQ(tx.receivers(), 20u);
    EXPECT_EQ(tx.send("all"), 20u);
    for (auto& t : tasks) t->join();
  });
}

TEST(BroadcastCapacity, NonsensePanicsWithTheValue) {
  for (const std::int64_t n : {std::int64_t{0}, std::int64_t{-3}, std::int64_t{1} << 62}) {
    try {
      BroadcastSender<int> tx(n);
      FAIL() << n;
    } catch (const Panic& p) {
      EXPECT_NE(std::string(p.what()).find(std::to_string(n)), std::string::npos) << p.what();
    }
  }
}

TEST(BroadcastLag, OverwrittenValuesAreCounted) {
  test::run([] {
    BroadcastSender<int> tx(4);
    auto slow = tx.subscribe();
    auto quick = tx.subscribe();
    for (int i = 0; i < 10; ++i) {
      tx.send(i);
      EXPECT_EQ(quick.recv(), i);
    }
    EXPECT_EQ(slow.pending(), 10u);
    EXPECT_EQ(slow.recv().error(), Errc::lagged);
    EXPECT_EQ(slow.missed(), 6u);
    for (int i = 6; i < 10; ++i) EXPECT_EQ(slow.recv(), i);
    EXPECT_EQ(*slow.try_recv(), nullptr);
  });
}

TEST(BroadcastLag, RingOfOneKeepsTheLast) {
  test::run([] {
    BroadcastSender<int> tx(1);
    auto rx = tx.subscribe();
    tx.send(1);
    EXPECT_EQ(rx.recv(), 1);
    tx.send(2);
    tx.send(3);
    EXPECT_EQ(rx.recv().error(), Errc::lagged);
    EXPECT_EQ(rx.missed(), 1u);
    EXPECT_EQ(rx.recv(), 3);
  });
}

TEST(BroadcastClose, WhatIsThereIsReadFirst) {
  test::run([] {
    const BroadcastSender<int> tx(4);
    auto rx = tx.subscribe();
    tx.send(1);
    tx.close();
    tx.close();
    EXPECT_EQ(tx.send(2).error(), Errc::closed);
    EXPECT_EQ(rx.recv(), 1);
    EXPECT_EQ(rx.recv().error(), Errc::closed);
    EXPECT_EQ(rx.try_recv().error(), Errc::closed);
    EXPECT_EQ(tx.subscribe().recv().error(), Errc::closed);
  });
}

TEST(BroadcastClose, LastSenderGoneWakesTheReceivers) {
  test::run([] {
    auto tx = std::make_unique<BroadcastSender<int>>(4);
    auto copy = std::make_unique<BroadcastSender<int>>(*tx);
    auto rx = tx->subscribe();
    Task waits([&] { EXPECT_EQ(rx.recv().error(), Errc::closed); });
    waits.wait_until_parked();
    tx.reset();
    EXPECT_FALSE(waits.done());
    copy.reset();
    waits.join();
  });
}

TEST(BroadcastContext, CancelLosesNothing) {
  test::run([] {
    BroadcastSender<int> tx(4);
    auto rx = tx.subscribe();
    auto [ctx, cancel] = with_cancel(background());
    Task waits([&] { EXPECT_EQ(rx.recv(ctx).error(), Errc::canceled); });
    waits.wait_until_parked();
    cancel();
    waits.join();
    tx.send(1);
    EXPECT_EQ(rx.recv(ctx), 1) << "what is there counts before the context";
    EXPECT_EQ(rx.recv(with_timeout(background(), 1ms).context).error(), Errc::timed_out);
  });
}

TEST(BroadcastValue, IsSharedAndGoesWithItsLastReader) {
  test::run([] {
    BroadcastSender<std::shared_ptr<int>> tx(4);
    auto a = tx.subscribe();
    auto b = tx.subscribe();
    std::weak_ptr<int> seen;
    {
      auto v = std::make_shared<int>(1);
      seen = v;
      tx.send(std::move(v));
    }
    auto first = *a.recv_shared();
    auto second = *b.recv_shared();
    EXPECT_EQ(first, second);
    first.reset();
    EXPECT_FALSE(seen.expired());
    second.reset();
    EXPECT_TRUE(seen.expired()) << "not kept in the ring";
  });
}

TEST(BroadcastValue, GoesWithAReceiverThatNeverReadIt) {
  BroadcastSender<std::shared_ptr<int>> tx(64);
  std::vector<std::weak_ptr<int>> sent;
  {
    auto rx = tx.subscribe();
    for (int i = 0; i < 100; ++i) {
      auto v = std::make_shared<int>(i);
      sent.push_back(v);
      tx.send(std::move(v));
    }
    EXPECT_TRUE(sent[35].expired());
    EXPECT_FALSE(sent[36].expired());
    EXPECT_FALSE(sent[99].expired());
  }
  for (auto& s : sent) EXPECT_TRUE(s.expired());
  EXPECT_EQ(tx.receivers(), 0u);
}

TEST(BroadcastReceiver, MovesWithItsPlace) {
  test::run([] {
    BroadcastSender<int> tx(4);
    auto rx = tx.subscribe();
    tx.send(1);
    auto moved = std::move(rx);
    EXPECT_EQ(tx.receivers(), 1u);
    EXPECT_EQ(moved.recv(), 1);
    EXPECT_THROW((void)rx.recv(), Panic);
    moved = tx.subscribe();
    EXPECT_EQ(tx.receivers(), 1u);
  });
}

TEST(BroadcastThread, PlainThreadsSendAndReceive) {
  BroadcastSender<int> tx(1000);
  auto rx = tx.subscribe();
  std::thread sends([&] {
    for (int i = 0; i < 1000; ++i) tx.send(i);
  });
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(rx.recv(), i);
  sends.join();
}

// Senders faster than the ring: each receiver's values rise, and what it read and what it missed
// add up to all that was sent.
TEST(BroadcastRace, ReadAndMissedAddUp) {
  test::run([] {
    constexpr int kSenders = 3;
    constexpr int kEach = 2000;
    auto tx = std::make_unique<BroadcastSender<int>>(8);
    WaitGroup wg;
    for (int r = 0; r < 4; ++r) {
      wg.add(1);
      go([&wg, rx = tx->subscribe()]() mutable {
        std::uint64_t seen = 0;
        std::vector<int> last(kSenders, -1);
        for (;;) {
          auto v = rx.recv();
          if (!v && v.error() == Errc::closed) break;
          if (!v) {
            EXPECT_EQ(v.error(), Errc::lagged);
            seen += rx.missed();
            continue;
          }
          ++seen;
          const auto who = static_cast<std::size_t>(*v / kEach);
          EXPECT_LT(last[who], *v);
          last[who] = *v;
        }
        EXPECT_EQ(seen, kSenders * kEach);
        wg.done();
      });
    }
    for (int s = 0; s < kSenders; ++s) {
      wg.add(1);
      go([&wg, s, mine = *tx] {
        for (int i = 0; i < kEach; ++i) {
          mine.send(s * kEach + i);
          if (i % 16 == 0) gosched();
        }
        wg.done();
      });
    }
    tx.reset();
    wg.wait();
  });
}

// Receivers that come and go while values are sent: the count of readers stays right.
TEST(BroadcastRace, ComingAndGoingReceivers) {
  test::run([] {
    BroadcastSender<std::shared_ptr<int>> tx(4);
    WaitGroup wg;
    std::atomic<bool> stop{false};
    for (int r = 0; r < 4; ++r) {
      wg.add(1);
      go([&, r] {
        for (int i = 0; i < 300; ++i) {
          auto rx = tx.subscribe();
          for (int n = 0; n < r && !stop; ++n) {
            auto v = rx.recv();
            EXPECT_TRUE(v || v.error() == Errc::lagged);
          }
        }
        wg.done();
      });
    }
    Task sends([&] {
      for (int i = 0; !stop; ++i) {
        tx.send(std::make_shared<int>(i));
        gosched();
      }
    });
    wg.wait();
    stop = true;
    sends.join();
    EXPECT_EQ(tx.receivers(), 0u);
    EXPECT_EQ(tx.send(nullptr), 0u);
  });
}

}  // namespace
}  // namespace treadle
