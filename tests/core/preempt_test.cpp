// A goroutine that never waits loses its P to the others, and nothing else.
#include <gtest/gtest.h>
#include <pthread.h>

#include <atomic>
#include <cerrno>
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

#include "core/pipe.h"
#include "core/this_thread.h"
#include "support/goroutine.h"

namespace treadle {
namespace {

using test::per_thread_address;
using test::Pipe;
using test::read_errno;
using test::Task;
using test::this_thread;
using test::write_errno;
using namespace std::chrono_literals;

std::uint64_t taken() {
  const RuntimeStats s = runtime_stats();
  return s.preemptions + s.handoffs;
}

void burn() {
  for (int i = 0; i < 2000; ++i) asm volatile("");
}

// Computes until told to stop, calling nothing.
void hog_until(const std::atomic<bool>& stop) {
  while (!stop.load(std::memory_order_acquire)) burn();
}

TEST(PreemptHog, LeavesTheOthersRunning) {
  for (const int hogs : {1, 3}) {
    test::run([&] {
      std::atomic<bool> stop{false};
      std::vector<std::unique_ptr<Task>> tasks;
      for (int i = 0; i < hogs; ++i)
        tasks.push_back(std::make_unique<Task>([&] { hog_until(stop); }));
      for (int i = 0; i < 5; ++i) EXPECT_TRUE(sleep(1ms));
      auto ch = make_chan<int>();
      Task echo([&] {
        for (int v : ch) EXPECT_GE(v, 0);
      });
      for (int i = 0; i < 100; ++i) ch.send(i);
      ch.close();
      stop = true;
    });
  }
}

TEST(PreemptHog, LeavesANewGoroutineItsTurn) {
  test::run([] {
    // The hog is the one that starts it and waits for it, without ever giving way.
    for (int i = 0; i < 5; ++i) {
      std::atomic<bool> ran{false};
      go([&] { ran = true; });
      hog_until(ran);
    }
  });
}

TEST(PreemptHog, MayEndWithoutAP) {
  test::run([] {
    for (int round = 0; round < 5; ++round) {
      std::atomic<bool> stop{false};
      std::atomic<int> left{8};
      for (int i = 0; i < 8; ++i)
        go([&] {
          hog_until(stop);
          --left;
        });
      const auto before = taken();
      while (taken() == before) (void)sleep(200us);
      stop = true;
      while (left != 0) gosched();
    }
  });
}

TEST(PreemptHog, UnhintedSystemCallCountsAsOne) {
  test::run([] {
    constexpr int kBlocked = 6;
    std::vector<Pipe> pipes(kBlocked);
    std::vector<std::unique_ptr<Task>> tasks;
    std::atomic<int> started{0};
    for (auto& pipe : pipes)
      tasks.push_back(std::make_unique<Task>([&] {
        ++started;
        EXPECT_EQ(pipe.read_byte(), 'x');
      }));
    while (started != kBlocked) gosched();
    EXPECT_TRUE(sleep(1ms));
    for (auto& pipe : pipes) pipe.write_byte('x');
  });
}

// Calls that do not park, in a loop, while the P is taken away again and again: the goroutine stays
// on its thread, with all that is the thread's.
TEST(PreemptNonParking, StaysOnItsThread) {
  if (test::seeded_scheduler()) GTEST_SKIP() << "slices end at random before they are over";
  test::run([] {
    std::atomic<bool> stop{false};
    // Others that always want the P.
    std::vector<std::unique_ptr<Task>> others;
    for (int i = 0; i < max_procs() + 1; ++i)
      others.push_back(std::make_unique<Task>([&] {
        while (!stop) {
          burn();
          gosched();
        }
      }));
    Task hog([&] {
      const auto enough = taken() + 5;
      const pthread_t thread = this_thread();
      int* const local = per_thread_address();
      auto ch = make_chan<int>(1);
      Mutex mu;
      WaitGroup wg;
      std::atomic<int> spawned{0};
      int started = 0;
      for (*local = 0; taken() < enough; ++*local) {
        burn();
        write_errno(77);  // and errno is left alone
        if (!ch.try_send(*local) || ch.try_recv() != *local) FAIL();
        if (!mu.try_lock()) FAIL();
        mu.unlock();
        wg.add(1);
        wg.done();
        auto made = with_timeout(background(), 1h);
        made.cancel();
        if (*local % 64 == 0) {
          go([&] { ++spawned; });
          ++started;
        }
        if (!::pthread_equal(thread, this_thread()) || per_thread_address() != local)
          FAIL() << "moved to another thread by a call that does not park";
        ASSERT_EQ(read_errno(), 77);
      }
      stop = true;
      while (spawned != started) gosched();
    });
  });
}

// Goroutines that wait in the global queue (those of plain threads begin there) get their turn
// beside one that never parks and others that keep the local queue full.
TEST(PreemptNonParking, LeavesTheGlobalQueueToOthersToo) {
  std::atomic<bool> stop{false}, ran{false};
  std::atomic<int> up{0};
  WaitGroup wg;
  const auto start = [&](auto body) {
    wg.add(1);
    go([&, body] {
      ++up;
      while (!stop) body();
      wg.done();
    });
  };
  for (int i = 0; i < max_procs() + 3; ++i)
    start([mu = std::make_shared<Mutex>()] {
      if (mu->try_lock()) mu->unlock();
      (void)runtime_stats();
    });
  for (int i = 0; i < 2 * max_procs(); ++i) start([] { gosched(); });
  while (up != 3 * max_procs() + 3) std::this_thread::yield();
  const Deadline patience = Deadline::after(test::patience());
  for (int i = 0; i < 3; ++i) {
    ran = false;
    go([&] { ran = true; });
    while (!ran && !patience.passed()) std::this_thread::yield();
    EXPECT_TRUE(ran);
  }
  stop = true;
  wg.wait();
  while (!ran) std::this_thread::yield();
}

// One that often enters parking calls, which never have to wait, is asked to give way there, or
// loses its P in between; either way the others run.
TEST(PreemptParking, LoopOfReadyCallsGivesWay) {
  test::run([] {
    for (int round = 0; round < 3; ++round) {
      auto ch = make_chan<int>(1);
      std::atomic<bool> stop{false};
      Task busy([&] {
        while (!stop) {
          ch.send(1);
          (void)ch.recv();
        }
      });
      for (int i = 0; i < 3; ++i) EXPECT_TRUE(sleep(1ms));
      Task([] {}).join();
      stop = true;
    }
  });
}

TEST(PreemptParking, YieldsOnRequestAreSeen) {
  if (test::seeded_scheduler()) GTEST_SKIP() << "slices end at random before they are over";
  test::run([] {
    std::atomic<bool> stop{false};
    auto spin = [&] {
      auto ch = make_chan<int>(1);
      while (!stop) {
        ch.send(1);
        (void)ch.recv();
      }
    };
    std::vector<std::unique_ptr<Task>> busy;
    for (int i = 0; i < max_procs() + 2; ++i) busy.push_back(std::make_unique<Task>(spin));
    const auto before = runtime_stats().yields_on_request;
    while (runtime_stats().yields_on_request == before) (void)sleep(1ms);
    stop = true;
  });
}

TEST(PreemptParking, HogsFindTheirWayBackThroughAPark) {
  test::run([] {
    std::atomic<bool> stop{false};
    auto ch = make_chan<int>();
    std::vector<std::unique_ptr<Task>> hogs;
    for (int i = 0; i < max_procs() + 1; ++i)  // one more than there are Ps: work waits
      hogs.push_back(std::make_unique<Task>([&] {
        hog_until(stop);
        EXPECT_EQ(ch.recv(), 1);  // detached by now, and the first thing it does is to park
      }));
    const auto before = taken();
    while (taken() == before) (void)sleep(200us);
    stop = true;
    for (std::size_t i = 0; i < hogs.size(); ++i) ch.send(1);
  });
}

// Everyone computes and everyone waits, all at once.
TEST(PreemptMixed, NothingIsLost) {
  test::run([] {
    auto ch = make_chan<int>(2);
    WaitGroup wg;
    std::atomic<int> received{0};
    for (int i = 0; i < 6; ++i) {
      wg.add(2);
      go([&] {
        for (int k = 0; k < 20; ++k) {
          for (int b = 0; b < 200; ++b) burn();
          ch.send(k);
        }
        wg.done();
      });
      go([&] {
        for (int k = 0; k < 20; ++k) {
          for (int b = 0; b < 100; ++b) burn();
          received += ch.recv().has_value();
        }
        wg.done();
      });
    }
    wg.wait();
    EXPECT_EQ(received, 6 * 20);
  });
}

}  // namespace
}  // namespace treadle
