// Races with one winner: whoever loses must neither take nor leave anything.
#include <gtest/gtest.h>

#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include <treadle/chan.h>
#include <treadle/context.h>
#include <treadle/go.h>
#include <treadle/mutex.h>
#include <treadle/timer.h>
#include <treadle/wait_group.h>

#include "support/goroutine.h"

namespace treadle {
namespace {

using test::Task;
using namespace std::chrono_literals;

class RaceChan : public ::testing::TestWithParam<std::size_t> {};
INSTANTIATE_TEST_SUITE_P(Race, RaceChan, ::testing::Values(0, 1, 3));

// What send() reports as delivered arrives, and what it reports as not delivered does not.
TEST_P(RaceChan, CancelledSendsAreDeliveredOrNot) {
  test::run([] {
    for (int round = 0; round < 100; ++round) {
      constexpr int kSenders = 6;
      auto ch = make_chan<int>(GetParam());
      auto [ctx, cancel] = with_cancel(background());
      std::atomic<int> delivered{0};
      int received = 0;
      {
        WaitGroup senders;
        for (int s = 0; s < kSenders; ++s) {
          senders.add(1);
          go([&, s] {
            for (int i = 0; i < 5; ++i)
              if (ch.send(s, ctx)) ++delivered;
            senders.done();
          });
        }
        Task receiver([&] {
          for ([[maybe_unused]] int v : ch) ++received;
        });
        for (int k = 0; k < round % 6; ++k) gosched();
        cancel();
        senders.wait();
        ch.close();
      }
      ASSERT_EQ(received, delivered);
    }
  });
}

TEST_P(RaceChan, CancelledReceivesTakeNothing) {
  test::run([] {
    for (int round = 0; round < 100; ++round) {
      constexpr int kReceivers = 6;
      auto ch = make_chan<int>(GetParam());
      auto [ctx, cancel] = with_cancel(background());
      std::atomic<int> received{0};
      int sent = 0;
      {
        WaitGroup receivers;
        for (int r = 0; r < kReceivers; ++r) {
          receivers.add(1);
          go([&] {
            while (auto v = ch.recv(ctx))
              if (*v) ++received;
            receivers.done();
          });
        }
        Task sender([&] {
          for (int i = 0; i < 20 && ch.send(i, ctx); ++i) ++sent;
        });
        for (int k = 0; k < round % 6; ++k) gosched();
        cancel();
        receivers.wait();
      }
      while (ch.try_recv()) ++received;
      ASSERT_EQ(received, sent);
    }
  });
}

TEST_P(RaceChan, CloseAgainstSendersAndReceivers) {
  test::run([] {
    for (int round = 0; round < 100; ++round) {
      auto ch = make_chan<std::unique_ptr<int>>(GetParam());
      std::atomic<int> delivered{0}, received{0};
      WaitGroup wg;
      for (int i = 0; i < 4; ++i) {
        wg.add(2);
        go([&] {
          try {
            for (;;) {
              ch.send(std::make_unique<int>(1));
              ++delivered;
            }
          } catch (const Panic&) {
          }
          wg.done();
        });
        go([&] {
          while (auto v = ch.recv()) received += **v;
          wg.done();
        });
      }
      for (int k = 0; k < round % 8; ++k) gosched();
      ch.close();
      wg.wait();
      ASSERT_EQ(received, delivered);
    }
  });
}

TEST_P(RaceChan, TriesAgainstWaits) {
  constexpr int kPairs = 3, kEach = 300;
  test::run([] {
    for (const bool try_to_send : {false, true}) {
      auto ch = make_chan<int>(GetParam());
      std::atomic<int> received{0};
      WaitGroup wg;
      for (int i = 0; i < kPairs; ++i) {
        wg.add(2);
        go([&] {
          for (int k = 0; k < kEach; ++k) {
            if (!try_to_send) ch.send(k);
            while (try_to_send && !ch.try_send(k)) gosched();
          }
          wg.done();
        });
        go([&] {
          for (int k = 0; k < kEach; ++k) {
            auto v = try_to_send ? ch.recv() : ch.try_recv();
            while (!v) gosched(), v = ch.try_recv();
            received += 1;
          }
          wg.done();
        });
      }
      wg.wait();
      EXPECT_EQ(received, kPairs * kEach);
      EXPECT_EQ(ch.size(), 0u);
    }
  });
}

// Receivers whose value comes while they are on their way to park, and go at once.
TEST_P(RaceChan, ValueIsWholeWhenTheReceiverGoesOn) {
  struct Payload {
    int first;
    char between[200];
    int last;
  };
  test::run([] {
    auto ch = make_chan<Payload>(GetParam());
    Task receiver([&] {
      int n = 0;
      for (const Payload& p : ch) {
        ASSERT_EQ(p.first, n);
        ASSERT_EQ(p.last, n);
        ++n;
      }
    });
    for (int i = 0; i < 5000; ++i) {
      ch.send({.first = i, .between = {}, .last = i});
      if (i % 3 == 0) gosched();
    }
    ch.close();
  });
}

// One is cancelled by its parent and by itself at the same time; its siblings must not be
// forgotten.
TEST(RaceContext, SiblingsOfOneCancelledTooAreAllCancelled) {
  for (int round = 0; round < 20; ++round) {
    auto parent = with_cancel(background());
    std::vector<CancelableContext> children;
    for (int i = 0; i < 1000; ++i) children.push_back(with_cancel(parent.context));
    auto below = with_cancel(children[7].context);
    std::atomic<bool> ready{false};
    std::thread other([&] {
      ready = true;
      while (!children[900].context.done()) {
      }
      for (std::size_t i : {10u, 500u, 9u}) children[i].cancel();
    });
    while (!ready) {
    }
    parent.cancel();
    other.join();
    for (auto& c : children) ASSERT_TRUE(c.context.done());
    ASSERT_TRUE(below.context.done());
  }
}

TEST(RaceContext, TimersAndCancelsOfOneFamily) {
  test::run([] {
    for (int round = 0; round < 30; ++round) {
      auto root = with_cancel(background());
      const Deadline at = Deadline::after(200us);
      std::vector<CancelableContext> family;
      for (int i = 0; i < 60; ++i)
        family.push_back(
            with_deadline(i < 20 ? root.context : family[static_cast<std::size_t>(i) - 20].context,
                          i % 2 ? at : Deadline::after(1h)));
      Task canceller([&] {
        (void)sleep_until(at);
        for (std::size_t i = 0; i < family.size(); i += 3) family[i].cancel();
      });
      (void)sleep_until(at);
      if (round % 2) root.cancel();
      for (std::size_t i = 1; i < family.size(); i += 2) family[i].context.wait();
      root.cancel();
      for (auto& c : family) {
        c.context.wait();
        ASSERT_TRUE(c.context.done());
      }
    }
  });
}

TEST(RaceContext, WaitersAreWokenOnceWhoeverComesFirst) {
  test::run([] {
    for (int round = 0; round < 200; ++round) {
      auto [ctx, cancel] = with_timeout(background(), 10us * (round % 10));
      WaitGroup wg;
      for (int i = 0; i < 4; ++i) {
        wg.add(1);
        go([&wg, wait_on = ctx] {
          wait_on.wait();
          wg.done();
        });
      }
      for (int k = 0; k < round % 5; ++k) gosched();
      cancel();
      wg.wait();
    }
  });
}

TEST(RaceContext, LastHandlesGoWhileOthersCancel) {
  test::run([] {
    for (int round = 0; round < 200; ++round) {
      auto parent = std::make_unique<CancelableContext>(with_cancel(background()));
      WaitGroup wg;
      for (int i = 0; i < 6; ++i) {
        wg.add(1);
        go([&wg, child = with_timeout(parent->context, 20us * (i % 3 + 1)), i]() mutable {
          if (i % 2) child.cancel();
          {
            const auto gone = std::move(child);
          }
          wg.done();
        });
      }
      if (round % 3 == 0) parent->cancel();
      parent.reset();
      wg.wait();
    }
  });
}

TEST(RaceMutex, CancelledLocksLeaveTheLockSound) {
  test::run([] {
    for (int round = 0; round < 60; ++round) {
      Mutex mu;
      int inside = 0;
      auto [ctx, cancel] = with_cancel(background());
      WaitGroup wg;
      for (int i = 0; i < 8; ++i) {
        wg.add(1);
        go([&, i] {
          for (int k = 0; k < 10; ++k) {
            if (i % 2) {
              mu.lock();
            } else if (!mu.lock(ctx)) {
              continue;
            }
            ASSERT_EQ(inside++, 0);
            if (k % 3 == 0) gosched();
            --inside;
            mu.unlock();
          }
          wg.done();
        });
      }
      for (int k = 0; k < round % 10; ++k) gosched();
      cancel();
      wg.wait();
      EXPECT_TRUE(mu.try_lock());
      mu.unlock();
    }
  });
}

TEST(RaceWaitGroup, CancelAgainstDone) {
  test::run([] {
    for (int round = 0; round < 500; ++round) {
      auto wg = std::make_unique<WaitGroup>();
      auto [ctx, cancel] = with_cancel(background());
      wg->add(1);
      go([cancel] { cancel(); });
      go([wg = wg.get()] { wg->done(); });
      (void)wg->wait(ctx);
      wg->wait();
    }
  });
}

}  // namespace
}  // namespace treadle
