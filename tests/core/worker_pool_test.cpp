#include <treadle/worker_pool.h>

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <treadle/chan.h>
#include <treadle/go.h>
#include <treadle/one_shot.h>
#include <treadle/wait_group.h>

#include "support/goroutine.h"

namespace treadle {
namespace {

using test::Task;
using namespace std::chrono_literals;

// A job that holds its worker until the gate is closed.
struct Held {
  Chan<int> gate = make_chan<int>();
  auto job() const {
    return [g = gate] { (void)g.recv(); };
  }
};

TEST(WorkerPoolSubmit, EveryJobRunsOnce) {
  test::run([] {
    std::atomic<int> ran{0};
    {
      WorkerPool pool({.workers = 3, .queue = 5});
      for (int i = 0; i < 1000; ++i) EXPECT_TRUE(pool.submit([&] { ++ran; }));
    }
    EXPECT_EQ(ran, 1000) << "the destructor closes, which does all that was accepted";
  });
}

TEST(WorkerPoolSubmit, OneWorkerKeepsTheOrder) {
  test::run([] {
    std::vector<int> order;
    WorkerPool pool({.workers = 1, .queue = 4});
    for (int i = 0; i < 100; ++i) EXPECT_TRUE(pool.submit([&order, i] { order.push_back(i); }));
    pool.close();
    ASSERT_EQ(order.size(), 100u);
    for (int i = 0; i < 100; ++i) EXPECT_EQ(order[static_cast<std::size_t>(i)], i);
  });
}

TEST(WorkerPoolSubmit, NeverMoreAtATimeThanWorkers) {
  test::run([] {
    std::atomic<int> now{0};
    std::atomic<int> most{0};
    WorkerPool pool({.workers = 3, .queue = 100});
    for (int i = 0; i < 200; ++i)
      EXPECT_TRUE(pool.submit([&] {
        const int n = ++now;
        int m = most;
        while (n > m && !most.compare_exchange_weak(m, n)) {
        }
        gosched();
        --now;
      }));
    pool.close();
    EXPECT_LE(most, 3);
    if (!test::seeded_scheduler()) {  // which may let one worker do it all
      EXPECT_GT(most, 1);
    }
  });
}

TEST(WorkerPoolSubmit, ParksWhenFullAndGoesOnWithRoom) {
  test::run([] {
    const Held held;
    WorkerPool pool({.workers = 1, .queue = 1});
    EXPECT_TRUE(pool.submit(held.job()));
    EXPECT_TRUE(pool.submit(held.job()));
    EXPECT_EQ(pool.pending(), 2);
    EXPECT_FALSE(pool.try_submit([] {}));
    Task waits([&] { EXPECT_TRUE(pool.submit([] {})); });
    waits.wait_until_parked();
    EXPECT_FALSE(waits.done());
    held.gate.send(1);
    waits.join();
    held.gate.close();
    pool.close();
    EXPECT_EQ(pool.pending(), 0);
  });
}

TEST(WorkerPoolSubmit, QueueOfZeroTakesAJobOnlyForAFreeWorker) {
  test::run([] {
    const Held held;
    WorkerPool pool({.workers = 2, .queue = 0});
    EXPECT_TRUE(pool.try_submit(held.job()));
    EXPECT_TRUE(pool.try_submit(held.job()));
    EXPECT_FALSE(pool.try_submit([] {}));
    held.gate.close();
    EXPECT_TRUE(pool.submit([] {}));
  });
}

TEST(WorkerPoolSubmit, RefusedJobOfTrySubmitIsAsItWas) {
  test::run([] {
    const Held held;
    WorkerPool pool({.workers = 1, .queue = 0});
    EXPECT_TRUE(pool.try_submit(held.job()));
    auto job = [p = std::make_unique<int>(7)] { EXPECT_EQ(*p, 7); };
    EXPECT_FALSE(pool.try_submit(std::move(job)));
    held.gate.close();
    EXPECT_TRUE(pool.submit(std::move(job)));
  });
}

TEST(WorkerPoolContext, CancelEndsTheWaitForRoom) {
  test::run([] {
    const Held held;
    WorkerPool pool({.workers = 1, .queue = 0});
    EXPECT_TRUE(pool.submit(held.job()));
    auto [ctx, cancel] = with_cancel(background());
    Task waits(
        [&, &c = ctx] { EXPECT_EQ(pool.submit([] { FAIL(); }, c).error(), Errc::canceled); });
    waits.wait_until_parked();
    cancel();
    waits.join();
    EXPECT_EQ(pool.submit([] { FAIL(); }, with_timeout(background(), 1ms).context).error(),
              Errc::timed_out);
    held.gate.close();
    while (pool.pending() > 0) gosched();
    EXPECT_TRUE(pool.submit([] {}, ctx)) << "room that is there counts before the context";
  });
}

TEST(WorkerPoolClose, DrainsRefusesAndJoins) {
  test::run([] {
    const Held held;
    std::atomic<int> ran{0};
    WorkerPool pool({.workers = 1, .queue = 2});
    EXPECT_TRUE(pool.submit(held.job()));
    EXPECT_TRUE(pool.submit([&] { ++ran; }));
    EXPECT_TRUE(pool.submit([&] { ++ran; }));
    Task refused([&] { EXPECT_EQ(pool.submit([] { FAIL(); }).error(), Errc::closed); });
    refused.wait_until_parked();
    Task closes([&] { pool.close(); });
    refused.join();
    closes.wait_until_parked();
    EXPECT_FALSE(closes.done());
    EXPECT_EQ(pool.submit([] { FAIL(); }).error(), Errc::closed);
    EXPECT_FALSE(pool.try_submit([] { FAIL(); }));
    held.gate.close();
    closes.join();
    EXPECT_EQ(ran, 2);
    pool.close();
  });
}

TEST(WorkerPoolClose, WithAContextGivesUpWaitingOnly) {
  test::run([] {
    const Held held;
    std::atomic<bool> ran{false};
    WorkerPool pool({.workers = 1, .queue = 1});
    EXPECT_TRUE(pool.submit(held.job()));
    EXPECT_TRUE(pool.submit([&] { ran = true; }));
    EXPECT_EQ(pool.close(with_timeout(background(), 1ms).context).error(), Errc::timed_out);
    held.gate.close();
    EXPECT_TRUE(pool.close(background()));
    EXPECT_TRUE(ran);
  });
}

TEST(WorkerPoolClose, FromAJobPanics) {
  test::run([] {
    auto [sender, receiver] = make_one_shot<std::string>();
    WorkerPool pool({.workers = 1});
    EXPECT_TRUE(pool.submit([&, &tx = sender] {
      try {
        pool.close();
      } catch (const Panic& p) {
        tx.send(std::string(p.what()));
      }
    }));
    EXPECT_NE(receiver.wait()->find("WorkerPool::close"), std::string::npos);
  });
}

TEST(WorkerPoolException, HandlerGetsItAndTheWorkerGoesOn) {
  test::run([] {
    std::atomic<int> caught{0};
    WorkerPool pool({.workers = 2, .queue = 10, .on_exception = [&](std::exception_ptr e) {
                       EXPECT_THROW(std::rethrow_exception(e), std::out_of_range);
                       ++caught;
                     }});
    std::atomic<int> ran{0};
    for (int i = 0; i < 20; ++i) {
      EXPECT_TRUE(pool.submit([] { throw std::out_of_range("job"); }));
      EXPECT_TRUE(pool.submit([&] { ++ran; }));
    }
    pool.close();
    EXPECT_EQ(caught, 20);
    EXPECT_EQ(ran, 20);
  });
}

TEST(WorkerPoolExceptionDeathTest, WithoutAHandlerTheProcessEnds) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        WorkerPool pool({.workers = 1});
        (void)pool.submit([] { throw std::runtime_error("nobody catches this"); });
        pool.close();
      },
      "nobody catches this");
}

TEST(WorkerPoolOptions, NonsensePanicsWithTheValue) {
  for (const std::int64_t n : {-4L, 1'000'001L}) {
    try {
      WorkerPool pool({.workers = n});
      ADD_FAILURE() << n;
    } catch (const Panic& p) {
      EXPECT_NE(std::string(p.what()).find(std::to_string(n)), std::string::npos) << p.what();
    }
  }
  try {
    WorkerPool pool({.workers = 1, .queue = -9});
    ADD_FAILURE();
  } catch (const Panic& p) {
    EXPECT_NE(std::string(p.what()).find("-9"), std::string::npos) << p.what();
  }
}

TEST(WorkerPoolJob, WhatItCapturedGoesBeforeItsPlaceIsFree) {
  test::run([] {
    WorkerPool pool({.workers = 1, .queue = 0});
    for (int i = 0; i < 100; ++i) {
      auto held = std::make_shared<int>(i);
      const std::weak_ptr<int> seen = held;
      EXPECT_TRUE(pool.submit([h = std::move(held)] { EXPECT_TRUE(h); }));
      EXPECT_TRUE(pool.submit([seen] { EXPECT_TRUE(seen.expired()); }));
    }
  });
}

TEST(WorkerPoolThread, PlainThreadsSubmitAndClose) {
  std::atomic<int> ran{0};
  WorkerPool pool({.workers = 2, .queue = 1});
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 200; ++i) EXPECT_TRUE(pool.submit([&] { ++ran; }));
    });
  for (auto& t : threads) t.join();
  pool.close();
  EXPECT_EQ(ran, 800);
}

// close() against submit(): what was accepted runs, what was refused does not.
TEST(WorkerPoolRace, AcceptedJobsRunAndRefusedOnesDoNot) {
  test::run([] {
    for (int round = 0; round < 300; ++round) {
      std::atomic<int> accepted{0};
      std::atomic<int> ran{0};
      WorkerPool pool({.workers = 2, .queue = round % 3});
      WaitGroup wg;
      for (int s = 0; s < 4; ++s) {
        wg.add(1);
        go([&] {
          for (int i = 0; i < 10; ++i) {
            if (i % 2 ? pool.try_submit([&] { ++ran; }) : pool.submit([&] { ++ran; }).has_value())
              ++accepted;
          }
          wg.done();
        });
      }
      if (round % 2) gosched();
      pool.close();
      wg.wait();
      EXPECT_EQ(accepted, ran);
    }
  });
}

}  // namespace
}  // namespace treadle
