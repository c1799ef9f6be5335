// GOMAXPROCS while everything runs, and the stops of the world that it takes.
#include <gtest/gtest.h>

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <treadle/blocking.h>
#include <treadle/chan.h>
#include <treadle/context.h>
#include <treadle/go.h>
#include <treadle/mutex.h>
#include <treadle/result.h>
#include <treadle/runtime.h>
#include <treadle/timer.h>
#include <treadle/wait_group.h>

#include "core/pipe.h"
#include "runtime/sanitizer.h"
#include "runtime/sched.h"
#include "support/goroutine.h"

namespace treadle {
namespace {

using test::Pipe;
using test::Task;
using namespace std::chrono_literals;

// Puts back what a test changes.
class ProcsSet : public ::testing::Test {
 protected:
  ProcsSet() : before_(max_procs()) {}
  ~ProcsSet() override { set_max_procs(before_); }
  const int before_;
};
using ProcsStop = ProcsSet;

void keep_p_until(const std::atomic<bool>& stop) {
  while (!stop.load(std::memory_order_acquire))
    for (int i = 0; i < 1000; ++i) asm volatile("");
}

TEST_F(ProcsSet, ReturnsWhatItWas) {
  for (const int n : {3, 1, 7, 7, 2}) {
    const int was = max_procs();
    EXPECT_EQ(set_max_procs(n), was);
    EXPECT_EQ(max_procs(), n);
  }
  test::run([] {
    const int was = max_procs();
    EXPECT_EQ(set_max_procs(5), was);
    EXPECT_EQ(set_max_procs(1), 5);  // perhaps on a P that dies by it
    EXPECT_EQ(set_max_procs(6), 1);
  });
}

TEST_F(ProcsSet, NonsenseIsNamed) {
  const int was = max_procs();
  for (const int n : {-1, 1025}) try {
      set_max_procs(n);
      FAIL() << n;
    } catch (const Panic& e) {
      EXPECT_NE(std::string(e.what()).find("set_max_procs(" + std::to_string(n) + ")"),
                std::string::npos)
          << e.what();
    }
  EXPECT_EQ(max_procs(), was);
}

TEST_F(ProcsSet, MoreGoroutinesRunAtOnceWhenItGrows) {
  set_max_procs(1);
  set_max_procs(3);
  test::run([] {
    // Three that wait for each other without giving way: each needs a P (or loses it).
    std::atomic<int> here{0};
    std::vector<std::unique_ptr<Task>> tasks;
    for (int i = 0; i < 3; ++i)
      tasks.push_back(std::make_unique<Task>([&] {
        ++here;
        while (here != 3) asm volatile("");
      }));
  });
}

TEST_F(ProcsSet, TimersOfADeadPFire) {
  set_max_procs(8);
  test::run([] {
    constexpr int kSleepers = 400;
    WaitGroup wg;
    wg.add(kSleepers);
    std::atomic<int> armed{0};
    for (int i = 0; i < kSleepers; ++i)
      go([&, i] {
        ++armed;
        EXPECT_TRUE(sleep(20ms + i * 20us));
        wg.done();
      });
    while (armed != kSleepers) gosched();
    set_max_procs(1);
    wg.wait();
  });
}

// Whatever heap its P's death moved it to, a timer can be stopped, armed again, and found.
TEST_F(ProcsSet, TimersOfADeadPCanBeStopped) {
  test::run([] {
    for (int round = 0; round < 20; ++round) {
      set_max_procs(6);
      std::vector<Context> contexts;
      std::vector<CancelFunc> cancels;
      Mutex mu;
      WaitGroup wg;
      for (int i = 0; i < 32; ++i) {
        wg.add(1);
        go([&, i] {
          auto [ctx, cancel] = with_timeout(background(), i % 2 ? 1h : 300us);
          const std::lock_guard hold(mu);
          contexts.push_back(ctx);
          cancels.push_back(cancel);
          wg.done();
        });
      }
      wg.wait();
      set_max_procs(1 + round % 3);
      for (int i = 0; i < 32; ++i) {
        const auto at = static_cast<std::size_t>(i);
        if (i % 4 == 0) cancels[at]();
      }
      for (auto& cancel : cancels) cancel();
      for (auto& ctx : contexts) EXPECT_TRUE(ctx.done());
    }
  });
}

// Everything at once while it changes all the time: nothing is lost, nothing runs twice.
TEST_F(ProcsSet, NothingIsLostWhileItChanges) {
  test::run([] {
    std::atomic<bool> stop{false};
    std::atomic<int> changes{0};
    Task changer([&] {
      const int sizes[] = {1, 4, 2, 8, 3, 1, 6};
      for (int i = 0; !stop; ++i) {
        set_max_procs(sizes[i % 7]);
        ++changes;
        (void)sleep(100us);
      }
    });
    std::thread from_outside([&] {
      while (!stop) {
        set_max_procs(5);
        ++changes;
        std::this_thread::sleep_for(300us);
      }
    });
    auto ch = make_chan<int>(2);
    std::atomic<int> sum{0};
    WaitGroup senders, receivers;
    for (int i = 0; i < 4; ++i) {
      senders.add(1);
      go([&] {
        for (int k = 0; k < 500; ++k) {
          ch.send(1);
          if (k % 50 == 0) (void)sleep(50us);
          if (k % 70 == 0)
            for (int b = 0; b < 100'000; ++b) asm volatile("");
          if (k % 90 == 0) blocking([] { std::this_thread::sleep_for(100us); });
        }
        senders.done();
      });
      receivers.add(1);
      go([&] {
        for (int v : ch) sum += v;
        receivers.done();
      });
    }
    senders.wait();
    ch.close();
    receivers.wait();
    while (changes < 20) (void)sleep(100us);
    stop = true;
    blocking_long([&] { from_outside.join(); });
    EXPECT_EQ(sum, 2000);
  });
}

// Those that compute or block keep no P from the stop, and find their way back.
TEST_F(ProcsSet, HogsAndBlockedOnesDoNotDelayIt) {
  test::run([] {
    std::atomic<bool> stop{false};
    Pipe pipe;
    Task blocked([&] { EXPECT_EQ(pipe.read_byte(), 'x'); });
    std::vector<std::unique_ptr<Task>> hogs;
    for (int i = 0; i < 4; ++i)
      hogs.push_back(std::make_unique<Task>([&] {
        keep_p_until(stop);
        gosched();
      }));
    for (int i = 0; i < 20; ++i) set_max_procs(1 + i % 4);
    stop = true;
    pipe.write_byte('x');
  });
}

TEST_F(ProcsSet, StatsSurvive) {
  set_max_procs(4);
  const std::uint64_t before = runtime_stats().spawned;
  test::run([] {
    WaitGroup wg;
    for (int i = 0; i < 100; ++i) {
      wg.add(1);
      go([&] { wg.done(); });
    }
    wg.wait();
  });
  set_max_procs(1);
  EXPECT_GE(runtime_stats().spawned, before + 100);
}

// Chosen by nobody, it follows what the machine allows; chosen, it stays.
class ProcsReviewDeathTest : public ::testing::Test {
 protected:
  ProcsReviewDeathTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

std::atomic<int> procs_allowed{0};
int allowed_now() { return procs_allowed; }

void busy_until(const std::function<bool()>& done) {
  while (!done())
    for (int i = 0; i < 100; ++i) (void)sleep(200us);
}

TEST_F(ProcsReviewDeathTest, FollowsTheMachineWhileBusy) {
  EXPECT_EXIT(
      {
        ::unsetenv("TREADLE_MAXPROCS");
        ::alarm(40);
        run([] {
          rt::sched.procs_allowed = &allowed_now;
          for (const int n : {5, 2}) {
            procs_allowed = n;
            busy_until([n] { return max_procs() == n; });
          }
          // A number that somebody chose stays,
          set_max_procs(3);
          procs_allowed = 7;
          const auto end = Deadline::after(1500ms);
          busy_until([&] { return end.passed(); });
          if (max_procs() != 3) std::_Exit(1);
          // until it is given back.
          set_max_procs(0);
          if (max_procs() != 7) std::_Exit(2);
          procs_allowed = 4;
          busy_until([] { return max_procs() == 4; });
        });
        std::_Exit(0);
      },
      ::testing::ExitedWithCode(0), "");
}

TEST_F(ProcsReviewDeathTest, FollowsTheAffinityOfTheProcess) {
  cpu_set_t all;
  CPU_ZERO(&all);
  if (::sched_getaffinity(0, sizeof all, &all) != 0 || CPU_COUNT(&all) < 2 ||
      rt::default_procs() < 2)
    GTEST_SKIP() << "needs two CPUs";
  EXPECT_EXIT(
      {
        ::unsetenv("TREADLE_MAXPROCS");
        ::alarm(40);
        run([&all] {
          const int before = max_procs();
          cpu_set_t one;
          CPU_ZERO(&one);
          for (std::size_t cpu = 0; CPU_COUNT(&one) == 0; ++cpu)
            if (CPU_ISSET(cpu, &all)) CPU_SET(cpu, &one);
          // As taskset -ap does: every thread.
          for (const auto& [set, n] : {std::pair(one, 1), std::pair(all, before)}) {
            for (const auto& task : std::filesystem::directory_iterator("/proc/self/task"))
              ::sched_setaffinity(std::stoi(task.path().filename().string()), sizeof set, &set);
            busy_until([want = n] { return max_procs() == want; });
          }
        });
        std::_Exit(0);
      },
      ::testing::ExitedWithCode(0), "");
}

// What stands still while the world does.
TEST_F(ProcsStop, NoGoroutineRunsOnAP) {
  test::run([] {
    std::atomic<bool> stop{false};
    std::atomic<std::uint64_t> steps{0};
    std::vector<std::unique_ptr<Task>> tasks;
    for (int i = 0; i < 8; ++i)
      tasks.push_back(std::make_unique<Task>([&] {
        while (!stop) {
          ++steps;
          gosched();
        }
      }));
    for (int round = 0; round < 50; ++round) {
      struct Seen {
        std::atomic<std::uint64_t>& steps;
        std::uint64_t moved = 0;
        int running = 0;
      } seen{steps};
      ASSERT_TRUE(rt::with_world_stopped(
          [](rt::M* self, void* arg) {
            auto& s = *static_cast<Seen*>(arg);
            for (rt::P* p : rt::sched.ps)
              s.running += p->status.load() == rt::PStatus::running && p != self->p.load();
            // A detached one may finish the step it is in: at most one each.
            const std::uint64_t before = s.steps;
            for (int i = 0; i < 20'000; ++i) asm volatile("");
            s.moved = s.steps - before;
          },
          &seen));
      EXPECT_EQ(seen.running, 0);
      EXPECT_LE(seen.moved, 8u);
      gosched();
    }
    stop = true;
  });
}

TEST_F(ProcsStop, ManyAtOnceTakeTurns) {
  std::vector<std::thread> threads;
  std::atomic<int> inside{0}, calls{0};
  struct Shared {
    std::atomic<int>&inside, &calls;
  } shared{inside, calls};
  const auto stops = [&] {
    for (int i = 0; i < 50; ++i)
      rt::with_world_stopped(
          [](rt::M*, void* arg) {
            auto& s = *static_cast<Shared*>(arg);
            EXPECT_EQ(s.inside.fetch_add(1), 0);
            ++s.calls;
            s.inside.fetch_sub(1);
          },
          &shared);
  };
  for (int i = 0; i < 3; ++i) threads.emplace_back(stops);
  test::run([&] {
    std::vector<std::unique_ptr<Task>> tasks;
    for (int i = 0; i < 3; ++i) tasks.push_back(std::make_unique<Task>(stops));
  });
  for (auto& t : threads) t.join();
  EXPECT_EQ(calls, 300);
}

// How long a stop takes beside hogs of every kind; the bound is generous, since the machine may be
// busy: what is measured stands in the test's properties.
TEST_F(ProcsStop, IsBoundedBesideHogs) {
  test::run([] {
    std::atomic<bool> stop{false};
    Pipe pipe;
    std::vector<std::unique_ptr<Task>> tasks;
    tasks.push_back(std::make_unique<Task>([&] { EXPECT_EQ(pipe.read_byte(), 'x'); }));
    for (int i = 0; i < 2; ++i) {
      tasks.push_back(std::make_unique<Task>([&] { keep_p_until(stop); }));
      tasks.push_back(std::make_unique<Task>([&] {
        while (!stop) gosched();
      }));
    }
    std::vector<std::int64_t> times;
    for (int i = 0; i < 300; ++i) {
      std::int64_t until = 0;
      const std::int64_t from = rt::nanotime();
      rt::with_world_stopped(
          [](rt::M*, void* at) { *static_cast<std::int64_t*>(at) = rt::nanotime(); }, &until);
      times.push_back(until - from);
      gosched();
    }
    stop = true;
    pipe.write_byte('x');
    std::sort(times.begin(), times.end());
    const auto us = [&](std::size_t i) { return static_cast<int>(times[i] / 1000); };
    ::testing::Test::RecordProperty("p50_us", us(150));
    ::testing::Test::RecordProperty("p99_us", us(297));
    ::testing::Test::RecordProperty("max_us", us(299));
    std::printf("stop the world: p50 %d us, p99 %d us, max %d us\n", us(150), us(297), us(299));
    EXPECT_LT(us(150), 20'000);
  });
}

}  // namespace
}  // namespace treadle
