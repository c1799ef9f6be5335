// Preemption turned off, slices that shorten, and the kernel's own slices.
#include <gtest/gtest.h>

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <treadle/blocking.h>
#include <treadle/chan.h>
#include <treadle/go.h>
#include <treadle/mutex.h>
#include <treadle/result.h>
#include <treadle/runtime.h>
#include <treadle/timer.h>

#include "core/child.h"
#include "core/pipe.h"
#include "runtime/kernel_slice.h"
#include "runtime/sched.h"
#include "support/goroutine.h"

namespace treadle {
namespace {

using test::Pipe;
using test::run_in_child;
using test::Task;
using namespace std::chrono_literals;
using ::testing::ExitedWithCode;

class PreemptOptionsDeathTest : public ::testing::Test {
 protected:
  PreemptOptionsDeathTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

void compute_for(Duration d) {
  const auto end = Deadline::after(d);
  while (!end.passed()) asm volatile("");
}

// --- off

void nothing_is_taken() {
  // One P: whoever computes or blocks keeps it.
  std::atomic<int> steps{0};
  std::atomic<bool> stop{false};
  go([&] {
    while (!stop) {
      ++steps;
      gosched();
    }
  });
  gosched();
  int before = steps;
  compute_for(60ms);
  REQUIRE(steps == before);
  ::usleep(60'000);
  REQUIRE(steps == before);
  // Nor at a call that does not park.
  Mutex mu;
  const auto end = Deadline::after(60ms);
  while (!end.passed()) {
    if (mu.try_lock()) mu.unlock();
    (void)runtime_stats();
  }
  REQUIRE(steps == before);
  REQUIRE(runtime_stats().preemptions == 0);
  REQUIRE(runtime_stats().gave_way_in_place == 0);
  // A hint still hands off,
  blocking([&] {
    while (steps == before) ::usleep(100);
  });
  before = steps;
  blocking_long([&] {
    while (steps == before) ::usleep(100);
  });
  REQUIRE(runtime_stats().handoffs > 0);
  // and a goroutine that enters parking calls but never waits is made to yield there.
  before = steps;
  auto ch = make_chan<int>(1);
  while (steps == before) {
    ch.send(1);
    (void)ch.recv();
  }
  stop = true;
}

TEST_F(PreemptOptionsDeathTest, OffByOptionTakesNothingUnhinted) {
  EXPECT_EXIT(run_in_child({.max_procs = 1, .preempt = Feature::off}, nothing_is_taken),
              ExitedWithCode(0), "");
}

TEST_F(PreemptOptionsDeathTest, OffByEnvironmentTakesNothingUnhinted) {
  EXPECT_EXIT(
      {
        ::setenv("TREADLE_PREEMPT", "off", 1);
        run_in_child({.max_procs = 1}, nothing_is_taken);
      },
      ExitedWithCode(0), "");
}

TEST_F(PreemptOptionsDeathTest, TheOptionComesBeforeTheEnvironment) {
  EXPECT_EXIT(
      {
        ::setenv("TREADLE_PREEMPT", "off", 1);
        run_in_child({.max_procs = 1, .preempt = Feature::on}, [] {
          std::atomic<bool> ran{false};
          go([&] { ran = true; });
          while (!ran) asm volatile("");
        });
      },
      ExitedWithCode(0), "");
}

TEST_F(PreemptOptionsDeathTest, OffStillLetsTheWorldBeStopped) {
  EXPECT_EXIT(run_in_child({.max_procs = 4, .preempt = Feature::off},
                           [] {
                             std::atomic<bool> stop{false};
                             std::vector<std::unique_ptr<Task>> hogs;
                             for (int i = 0; i < 2; ++i)
                               hogs.push_back(std::make_unique<Task>([&] {
                                 while (!stop) asm volatile("");
                               }));
                             for (int i = 0; i < 10; ++i) set_max_procs(3 + i % 2);
                             stop = true;
                           }),
              ExitedWithCode(0), "");
}

TEST_F(PreemptOptionsDeathTest, NonsenseInTheEnvironmentIsNamed) {
  for (const char* name : {"TREADLE_PREEMPT", "TREADLE_KERNEL_SLICE"})
    EXPECT_EXIT(
        {
          ::setenv(name, "perhaps", 1);
          try {
            run([] {});
          } catch (const Panic& e) {
            std::fprintf(stderr, "%s\n", e.what());
            std::exit(3);
          }
        },
        ExitedWithCode(3), std::string(name) + "=perhaps: must be on or off");
}

// --- the shorter slice

// With more Ps than CPUs a hog's thread may never get the CPU for a whole slice of wall time, and
// is then no hog to the runtime.
bool cpus_for_all() { return static_cast<int>(std::thread::hardware_concurrency()) >= max_procs(); }

// A goroutine that lost its P while it computed is known from then on, for a while.
TEST(PreemptOptionsShortSlice, FollowsALossToComputing) {
  test::run([] {
    std::atomic<bool> stop{false};
    std::vector<std::unique_ptr<Task>> others;  // work that always waits
    for (int i = 0; i < 2 * max_procs(); ++i)
      others.push_back(std::make_unique<Task>([&] {
        while (!stop) gosched();
      }));
    const RuntimeStats before = runtime_stats();
    const Deadline patience = Deadline::after(test::patience() / 3);
    Task hog([&] {
      while (runtime_stats().short_slices < before.short_slices + 3 && !patience.passed()) {
        compute_for(25ms);
        (void)sleep(1ms);  // comes back for a new slice
      }
    });
    hog.join();
    stop = true;
    if (!cpus_for_all() && runtime_stats().short_slices < before.short_slices + 3)
      GTEST_SKIP() << "fewer CPUs than Ps";
    EXPECT_GE(runtime_stats().short_slices, before.short_slices + 3);
  });
}

// One that blocks without a hint does so again, as a rule: the next time it keeps its P for less.
TEST(PreemptOptionsShortSlice, FollowsBlocking) {
  test::run([] {
    std::atomic<bool> stop{false};
    std::vector<std::unique_ptr<Task>> others;
    for (int i = 0; i < max_procs() + 1; ++i)
      others.push_back(std::make_unique<Task>([&] {
        while (!stop) (void)sleep(200us);
      }));
    const RuntimeStats before = runtime_stats();
    std::vector<std::unique_ptr<Task>> blocked;
    for (int i = 0; i < 4; ++i)
      blocked.push_back(std::make_unique<Task>([&] {
        while (runtime_stats().preemptions < before.preemptions + 5) {
          ::usleep(20'000);  // no hint
          (void)sleep(100us);
        }
      }));
    blocked.clear();
    EXPECT_GT(runtime_stats().short_slices, before.short_slices);
    stop = true;
  });
}

// A few slices that end by themselves, and it is forgotten.
TEST(PreemptOptionsShortSlice, IsForgotten) {
  test::run([] {
    const RuntimeStats before = runtime_stats();
    std::atomic<bool> stop{false};
    std::vector<std::unique_ptr<Task>> others;
    for (int i = 0; i < max_procs() + 1; ++i)
      others.push_back(std::make_unique<Task>([&] {
        while (!stop) gosched();
      }));
    Task reformed([&] {
      const Deadline patience = Deadline::after(test::patience() / 3);
      while (runtime_stats().short_slices == before.short_slices && !patience.passed()) {
        compute_for(25ms);
        gosched();
      }
      for (int i = 0; i < 100; ++i) gosched();
      const std::uint64_t then = runtime_stats().short_slices;
      for (int i = 0; i < 100; ++i) gosched();
      EXPECT_EQ(runtime_stats().short_slices, then);
    });
    reformed.join();
    stop = true;
  });
}

// --- the kernel's slices

struct Attributes {
  std::uint32_t size, policy;
  std::uint64_t flags;
  std::int32_t nice;
  std::uint32_t priority;
  std::uint64_t runtime, deadline, period;
};

[[gnu::noinline]] std::uint64_t own_kernel_slice() {
  Attributes a{};
  return ::syscall(SYS_sched_getattr, 0, &a, sizeof a, 0) == 0 ? a.runtime : 0;
}

TEST_F(PreemptOptionsDeathTest, KernelSlicesAreShortOnThreadsOfTheRuntimeOnly) {
  if (own_kernel_slice() == 0) GTEST_SKIP() << "this kernel has no slices of a thread's own";
  const std::uint64_t usual = own_kernel_slice();
  EXPECT_EXIT(
      {
        run({.max_procs = 1}, [usual] {
          REQUIRE(rt::kernel_slice_available());
          REQUIRE(own_kernel_slice() == 100'000);
          // One that computes without a P has a long slice, and a short one when it is back.
          std::atomic<bool> stop{false};
          go([&] {
            while (!stop) gosched();
          });
          bool long_one = false;
          for (int round = 0; round < 200 && !long_one; ++round) {
            const auto end = Deadline::after(50ms);
            while (!end.passed() && !long_one) long_one = own_kernel_slice() == 20'000'000;
            REQUIRE(goroutine_id() != 0);
            gosched();
          }
          REQUIRE(long_one);
          // A revoker that comes too late lengthens the slice for a moment, and sets it right
          // itself.
          bool short_again = false;
          for (int round = 0; round < 1000 && !short_again; ++round) {
            gosched();
            short_again = own_kernel_slice() == 100'000;
          }
          REQUIRE(short_again);
          (void)usual;
          stop = true;
        });
        std::_Exit(own_kernel_slice() == usual ? 0 : 1);
      },
      ExitedWithCode(0), "");
}

TEST_F(PreemptOptionsDeathTest, KernelSlicesCanBeLeftAlone) {
  if (own_kernel_slice() == 0) GTEST_SKIP() << "this kernel has no slices of a thread's own";
  const std::uint64_t usual = own_kernel_slice();
  EXPECT_EXIT(run_in_child({.kernel_slices = Feature::off},
                           [usual] { REQUIRE(own_kernel_slice() == usual); }),
              ExitedWithCode(0), "");
  EXPECT_EXIT(
      {
        ::setenv("TREADLE_KERNEL_SLICE", "off", 1);
        run_in_child({}, [usual] { REQUIRE(own_kernel_slice() == usual); });
      },
      ExitedWithCode(0), "");
}

}  // namespace
}  // namespace treadle
