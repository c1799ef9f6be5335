// Plain threads, which the runtime did not make, wait in the same queues as goroutines.
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include <treadle/chan.h>
#include <treadle/context.h>
#include <treadle/go.h>
#include <treadle/mutex.h>
#include <treadle/runtime.h>
#include <treadle/timer.h>
#include <treadle/wait_group.h>

#include "support/goroutine.h"

namespace treadle {
namespace {

using namespace std::chrono_literals;

void on_threads(int n, const std::function<void(int)>& body) {
  std::vector<std::thread> threads;
  for (int i = 0; i < n; ++i) threads.emplace_back(body, i);
  for (auto& t : threads) t.join();
}

// Starts goroutines from here and waits for them.
void on_goroutines(int n, const std::function<void(int)>& body, WaitGroup& wg) {
  for (int i = 0; i < n; ++i) {
    wg.add(1);
    go([&body, &wg, i] {
      body(i);
      wg.done();
    });
  }
}

TEST(ForeignChan, ThreadsAndGoroutinesShareOne) {
  constexpr int kEach = 4, kValues = 500;
  for (const std::size_t capacity : {0u, 1u, 7u}) {
    auto ch = make_chan<int>(capacity);
    std::vector<std::atomic<int>> seen(2 * kEach * kValues);
    const auto send = [&](int who) {
      for (int i = 0; i < kValues; ++i) ch.send(who * kValues + i);
    };
    const auto receive = [&](int) {
      while (auto v = ch.recv()) ++seen[static_cast<std::size_t>(*v)];
    };
    const std::function<void(int)> send_more = [&](int who) { send(who + kEach); };
    const std::function<void(int)> receive_more = receive;
    WaitGroup senders, receivers;
    on_goroutines(kEach, send_more, senders);
    on_goroutines(kEach, receive_more, receivers);
    std::thread all([&] { on_threads(kEach, receive); });
    on_threads(kEach, send);
    senders.wait();
    ch.close();
    all.join();
    receivers.wait();
    for (auto& n : seen) ASSERT_EQ(n, 1);
  }
}

TEST(ForeignChan, TwoThreadsAloneMayUseOne) {
  auto there = make_chan<int>(), back = make_chan<int>();
  std::thread echo([&] {
    for (int v : there) back.send(v + 1);
  });
  for (int i = 0; i < 500; ++i) {
    there.send(i);
    ASSERT_EQ(back.recv(), i + 1);
  }
  there.close();
  echo.join();
}

TEST(ForeignChan, CloseAndCancelReachAThread) {
  for (int round = 0; round < 50; ++round) {
    auto ch = make_chan<int>();
    auto [ctx, cancel] = with_cancel(background());
    std::thread closed([&] { EXPECT_FALSE(ch.recv()); });
    std::thread canceled([&] {
      const auto r = make_chan<int>().recv(ctx);
      EXPECT_EQ(r.error(), Errc::canceled);
    });
    go([ch, cancel] {
      cancel();
      ch.close();
    });
    closed.join();
    canceled.join();
    EXPECT_THROW(ch.send(1), Panic);
  }
}

TEST(ForeignMutex, ThreadsAndGoroutinesShareOne) {
  Mutex mu;
  int plain = 0;
  WaitGroup wg;
  const std::function<void(int)> count = [&](int) {
    for (int i = 0; i < 500; ++i) {
      const std::lock_guard hold(mu);
      const int seen = plain;
      if (i % 50 == 0) gosched();
      plain = seen + 1;
    }
  };
  on_goroutines(4, count, wg);
  on_threads(3, count);
  wg.wait();
  EXPECT_EQ(plain, 7 * 500);
}

TEST(ForeignWaitGroup, ThreadsWaitForGoroutinesAndBack) {
  for (int round = 0; round < 50; ++round) {
    WaitGroup goroutines, threads;
    std::atomic<int> n{0};
    threads.add(2);
    on_threads(1, [&](int) {
      const std::function<void(int)> one = [&](int) { ++n; };
      on_goroutines(10, one, goroutines);
      goroutines.wait();
      EXPECT_EQ(n, 10);
      go([&] {
        threads.wait();
        ++n;
      });
      on_threads(2, [&](int) { threads.done(); });
      while (n != 11) std::this_thread::yield();
    });
  }
}

TEST(ForeignContext, ThreadsCancelAndAreWoken) {
  auto [ctx, cancel] = with_cancel(background());
  WaitGroup wg;
  const std::function<void(int)> wait = [ctx](int) { ctx.wait(); };
  on_goroutines(5, wait, wg);
  std::thread canceller([cancel] { cancel(); });
  on_threads(5, wait);
  canceller.join();
  wg.wait();
  auto timed = with_timeout(background(), 1ms);
  on_threads(3, [&](int) { timed.context.wait(); });
  EXPECT_EQ(timed.context.error(), Errc::timed_out);
}

TEST(ForeignSleep, ManyThreadsAndGoroutinesAtOnce) {
  WaitGroup wg;
  const std::function<void(int)> nap = [](int i) {
    for (int k = 0; k < 10; ++k) EXPECT_TRUE(sleep(50us * (i + k)));
  };
  on_goroutines(10, nap, wg);
  on_threads(4, nap);
  wg.wait();
}

// Each thread leaves its place to a later one, whatever it did.
TEST(ForeignThread, ManyComeAndGo) {
  auto ch = make_chan<int>(4);
  std::atomic<int> sum{0};
  WaitGroup wg;
  const std::function<void(int)> drain = [&](int) {
    for (int v : ch) sum += v;
  };
  on_goroutines(2, drain, wg);
  for (int round = 0; round < 60; ++round)
    on_threads(4, [&](int i) {
      const ContextScope scope(with_cancel(background()).context);
      ch.send(i);
      go([] {});
      gosched();
    });
  ch.close();
  wg.wait();
  EXPECT_EQ(sum, 60 * (0 + 1 + 2 + 3));
}

TEST(ForeignThread, ContextOfADeadOneIsNotInherited) {
  for (int i = 0; i < 20; ++i)
    std::thread([] {
      EXPECT_EQ(current_context(), background());
      // Left in force on purpose: the thread ends inside the scope's life.
      static thread_local std::unique_ptr<ContextScope> scope;
      scope = std::make_unique<ContextScope>(with_cancel(background()).context);
      EXPECT_NE(current_context(), background());
    }).join();
}

// A thread_local whose destructor calls treadle, after the thread has given its place back.
TEST(ForeignThread, DestructorsOfThreadLocalsMayCall) {
  struct AtExit {
    Chan<int> ch;
    ~AtExit() {
      if (ch) ch.send(7);
    }
  };
  auto ch = make_chan<int>(100);
  for (int i = 0; i < 10; ++i)
    std::thread([&] {
      thread_local AtExit at_exit;
      at_exit.ch = ch;
      gosched();
    }).join();
  EXPECT_EQ(ch.size(), 10u);
}

TEST(ForeignThread, IsNoGoroutine) {
  on_threads(2, [](int) {
    EXPECT_FALSE(in_goroutine());
    make_chan<int>(1).send(1);
    EXPECT_FALSE(in_goroutine());
    EXPECT_EQ(goroutine_id(), 0u);
    EXPECT_GE(max_procs(), 1);
  });
}

}  // namespace
}  // namespace treadle
