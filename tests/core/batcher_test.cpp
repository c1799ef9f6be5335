#include <treadle/batcher.h>

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <numeric>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <treadle/chan.h>
#include <treadle/go.h>
#include <treadle/one_shot.h>
#include <treadle/testing.h>
#include <treadle/timer.h>
#include <treadle/wait_group.h>

#include "support/goroutine.h"

namespace treadle {
namespace {

using test::Task;
using namespace std::chrono_literals;

using Batch = std::vector<int>;

TEST(BatcherSize, FullBatchIsDeliveredAtOnce) {
  test::run([] {
    const auto batches = make_chan<Batch>(10);
    Batcher<int> b({.max_size = 3, .max_delay = Duration::max()},
                   [batches](Batch v) { batches.send(std::move(v)); });
    for (int i = 0; i < 7; ++i) EXPECT_TRUE(b.add(i));
    EXPECT_EQ(batches.recv(), (Batch{0, 1, 2}));
    EXPECT_EQ(batches.recv(), (Batch{3, 4, 5}));
    EXPECT_EQ(b.pending(), 1);
    EXPECT_FALSE(batches.try_recv());
    b.close();
    EXPECT_EQ(batches.try_recv(), Batch{6});
  });
}

TEST(BatcherTime, FewValuesAreDeliveredAfterTheDelay) {
  test::run([] {
    const auto batches = make_chan<Batch>(10);
    Batcher<int> b({.max_size = 100, .max_delay = 5ms},
                   [batches](Batch v) { batches.send(std::move(v)); });
    const TimePoint start = Clock::now();
    EXPECT_TRUE(b.add(1));
    EXPECT_TRUE(b.add(2));
    Batch all = *batches.recv();
    if (all.size() < 2) all.push_back(batches.recv()->at(0));  // a very late second add()
    EXPECT_GE(Clock::now() - start, 5ms);
    EXPECT_EQ(all, (Batch{1, 2}));
    EXPECT_TRUE(b.add(3));
    EXPECT_EQ(batches.recv(), Batch{3}) << "the time begins anew";
  });
}

TEST(BatcherTime, DelayCountsFromTheFirstValueOfEachBatch) {
  testing::run_virtual([] {
    std::vector<std::pair<Duration, Batch>> got;
    const TimePoint start = Clock::now();
    Batcher<int> b({.max_size = 3, .max_delay = 10ms}, [&](Batch v) {
      got.emplace_back(Clock::now() - start, std::move(v));
      (void)sleep(4ms);
    });
    for (int i = 0; i < 5; ++i) {
      EXPECT_TRUE(b.add(i));
      (void)sleep(2ms);
    }
    b.close();
    ASSERT_EQ(got.size(), 2u);
    EXPECT_EQ(got[0], std::pair(Duration(4ms), Batch({0, 1, 2})));
    EXPECT_EQ(got[1], std::pair(Duration(10ms), Batch({3, 4}))) << "by close()";
    Batcher<int> c({.max_size = 2, .max_delay = 10ms, .max_pending = 10}, [&](Batch v) {
      got.emplace_back(Clock::now() - start, std::move(v));
      (void)sleep(4ms);
    });
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(c.add(i));
    (void)sleep(1s);
    ASSERT_EQ(got.size(), 4u);
    EXPECT_EQ(got[3].first - got[2].first, 10ms) << "waited while the first was delivered";
  });
}

TEST(BatcherTime, ZeroDelayCollectsWhileTheFunctionIsBusy) {
  test::run([] {
    const auto gate = make_chan<int>();
    const auto batches = make_chan<Batch>(10);
    Batcher<int> b({.max_size = 100, .max_delay = 0s}, [=](Batch v) {
      batches.send(std::move(v));
      (void)gate.recv();
    });
    EXPECT_TRUE(b.add(1));
    EXPECT_EQ(batches.recv(), Batch{1});
    for (int i = 2; i < 5; ++i) EXPECT_TRUE(b.add(i));
    gate.send(0);
    EXPECT_EQ(batches.recv(), (Batch{2, 3, 4}));
    gate.close();
  });
}

TEST(BatcherFlush, DeliversWhatWasAddedBeforeAndWaitsForIt) {
  test::run([] {
    const auto gate = make_chan<int>();
    std::atomic<int> sum{0};
    Batcher<int> b({.max_size = 2, .max_delay = Duration::max(), .max_pending = 10}, [&](Batch v) {
      (void)gate.recv();
      sum += std::accumulate(v.begin(), v.end(), 0);
    });
    b.flush();
    for (int i = 1; i <= 5; ++i) EXPECT_TRUE(b.add(i));
    Task flushes([&] { b.flush(); });
    flushes.wait_until_parked();
    EXPECT_EQ(b.flush(with_timeout(background(), 1ms).context).error(), Errc::timed_out);
    EXPECT_FALSE(flushes.done());
    for (int i = 0; i < 3; ++i) gate.send(0);
    flushes.join();
    EXPECT_EQ(sum, 15);
    EXPECT_EQ(b.pending(), 0);
    gate.close();
  });
}

TEST(BatcherPressure, AddWaitsUntilABatchIsDelivered) {
  test::run([] {
    const auto gate = make_chan<int>();
    Batcher<int> b({.max_size = 2, .max_delay = 0s, .max_pending = 2},
                   [&](Batch) { (void)gate.recv(); });
    EXPECT_TRUE(b.add(1));
    EXPECT_TRUE(b.add(2));
    EXPECT_FALSE(b.try_add(3)) << "those being delivered count";
    auto [ctx, cancel] = with_cancel(background());
    Task canceled([&, &c = ctx] { EXPECT_EQ(b.add(3, c).error(), Errc::canceled); });
    canceled.wait_until_parked();
    cancel();
    canceled.join();
    Task waits([&] { EXPECT_TRUE(b.add(3)); });
    waits.wait_until_parked();
    EXPECT_FALSE(waits.done());
    gate.close();
    waits.join();
  });
}

TEST(BatcherClose, RefusesWhoWaitsAndDeliversTheRest) {
  test::run([] {
    const auto gate = make_chan<int>();
    std::vector<int> got;
    Batcher<int> b({.max_size = 2, .max_delay = 1h, .max_pending = 3}, [&](Batch v) {
      (void)gate.recv();
      got.insert(got.end(), v.begin(), v.end());
    });
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(b.add(i));
    Task refused([&] { EXPECT_EQ(b.add(9).error(), Errc::closed); });
    refused.wait_until_parked();
    EXPECT_EQ(b.close(with_timeout(background(), 1ms).context).error(), Errc::timed_out);
    refused.join();
    EXPECT_FALSE(b.try_add(9));
    gate.close();
    b.close();
    b.close();
    b.flush();
    EXPECT_EQ(got, (std::vector<int>{0, 1, 2}));
  });
}

TEST(BatcherClose, WhatTheFunctionCapturedIsGoneAfterwards) {
  test::run([] {
    auto held = std::make_shared<int>(1);
    const std::weak_ptr<int> seen = held;
    Batcher<int> b({}, [h = std::move(held)](Batch) {});
    EXPECT_TRUE(b.add(1));
    b.close();
    EXPECT_TRUE(seen.expired());
  });
}

TEST(BatcherDeliver, MayAddButNotFlushOrClose) {
  test::run([] {
    auto [sender, receiver] = make_one_shot<int>();
    std::unique_ptr<Batcher<int>> b;
    b = std::make_unique<Batcher<int>>(BatcherOptions{.max_size = 1},
                                       [&, tx = sender](const Batch& v) {
                                         if (v[0] == 0) {
                                           EXPECT_THROW(b->flush(), Panic);
                                           EXPECT_THROW(b->close(), Panic);
                                           EXPECT_TRUE(b->try_add(5));
                                         } else {
                                           tx.send(v[0]);
                                         }
                                       });
    EXPECT_TRUE(b->add(0));
    EXPECT_EQ(receiver.wait(), 5);
  });
}

TEST(BatcherValue, MoveOnlyValues) {
  test::run([] {
    std::atomic<int> sum{0};
    Batcher<std::unique_ptr<int>> b({.max_size = 4}, [&](std::vector<std::unique_ptr<int>> v) {
      for (auto& p : v) sum += *p;
    });
    for (int i = 0; i < 10; ++i) EXPECT_TRUE(b.add(std::make_unique<int>(i)));
    b.close();
    EXPECT_EQ(sum, 45);
  });
}

TEST(BatcherOptions, NonsensePanicsWithTheValue) {
  const auto text = [](const BatcherOptions& o) -> std::string {
    try {
      Batcher<int> b(o, [](Batch) {});
    } catch (const Panic& p) {
      return p.what();
    }
    return "no panic";
  };
  EXPECT_NE(text({.max_size = 0}).find("of 0"), std::string::npos);
  EXPECT_NE(text({.max_size = -5}).find("-5"), std::string::npos);
  EXPECT_NE(text({.max_delay = -1ns}).find("-1 ns"), std::string::npos);
  EXPECT_NE(text({.max_size = 10, .max_pending = 9}).find("of 9"), std::string::npos);
  EXPECT_NE(text({.max_pending = -2}).find("-2"), std::string::npos);
  EXPECT_THROW(Batcher<int>({}, nullptr), Panic);
}

TEST(BatcherThread, PlainThreadsAddAndClose) {
  std::atomic<int> sum{0};
  Batcher<int> b({.max_size = 7, .max_delay = 1ms},
                 [&](const Batch& v) { sum += static_cast<int>(v.size()); });
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 100; ++i) EXPECT_TRUE(b.add(i));
    });
  for (auto& t : threads) t.join();
  b.close();
  EXPECT_EQ(sum, 400);
}

// Adders, flushers and close() at once: each accepted value is delivered once, in its adder's
// order, in batches that are not too large.
TEST(BatcherRace, AcceptedValuesAreDeliveredOnceInOrder) {
  test::run([] {
    for (int round = 0; round < 100; ++round) {
      constexpr int kAdders = 4;
      std::vector<int> last(kAdders, -1);
      int delivered = 0;
      std::atomic<int> accepted{0};
      Batcher<int> b({.max_size = 1 + round % 5,
                      .max_delay = std::chrono::microseconds(round % 3 * 20),
                      .max_pending = 8},
                     [&](const Batch& v) {
                       EXPECT_LE(v.size(), static_cast<std::size_t>(1 + round % 5));
                       EXPECT_FALSE(v.empty());
                       for (const int i : v) {
                         auto& l = last[static_cast<std::size_t>(i / 1000)];
                         EXPECT_LT(l, i);
                         l = i;
                         ++delivered;
                       }
                       gosched();
                     });
      WaitGroup wg;
      for (int a = 0; a < kAdders; ++a) {
        wg.add(1);
        go([&, a] {
          for (int i = 0; i < 30; ++i) {
            if (b.add(a * 1000 + i)) ++accepted;
            if (i == 15 && a == 0) b.flush();
          }
          wg.done();
        });
      }
      if (round % 2) wg.wait();
      b.close();
      wg.wait();
      EXPECT_EQ(delivered, accepted);
    }
  });
}

}  // namespace
}  // namespace treadle
