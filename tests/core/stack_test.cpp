#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <system_error>
#include <vector>

#include <treadle/chan.h>
#include <treadle/go.h>
#include <treadle/runtime.h>
#include <treadle/task.h>
#include <treadle/wait_group.h>

#include "runtime/sanitizer.h"
#include "runtime/stack.h"
#include "support/few_stacks.h"
#include "support/goroutine.h"

namespace treadle {
namespace {

using test::Task;

// Recurses until `bytes` of stack lie between the first call and the deepest. By addresses, not by
// the size of a frame, which is the sanitizers' to choose.
[[gnu::noinline]] std::size_t descend(std::size_t bytes, std::uintptr_t top) {
  volatile char frame[512];
  for (std::size_t i = 0; i < sizeof frame; i += 64) frame[i] = static_cast<char>(i);
  const auto here = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
  if (top - here >= bytes) return 1;
  return 1 + descend(bytes, top) + static_cast<std::size_t>(frame[0]);
}
[[gnu::noinline]] std::size_t use_stack(std::size_t bytes) {
  return descend(bytes, reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0)));
}

[[gnu::noinline]] int huge_frame(std::size_t at) {
  char frame[1 << 20];
  asm volatile("" : : "r"(frame) : "memory");  // needed as a whole
  frame[at] = 1;  // far below the guard: only probes of the pages in between hit it
  asm volatile("" : : "r"(frame) : "memory");
  return frame[at];
}

TEST(StackDepth, MostOfTheDefaultCanBeUsed) {
  test::run([] {
    for (int i = 0; i < 3; ++i) Task([] { EXPECT_GT(use_stack(220 << 10), 1u); }).join();
  });
}

TEST(StackDepth, ParkedDeepDownKeepsItsFrames) {
  test::run([] {
    auto gate = make_chan<int>();
    struct Deep {
      static int sum(const Chan<int>& gate, int n) {
        volatile char pad[256];
        pad[0] = static_cast<char>(n);
        if (n == 0) return gate.recv().value_or(-1);
        const int below = sum(gate, n - 1);
        return pad[0] == static_cast<char>(n) ? below + 1 : -1'000'000;
      }
    };
    std::vector<std::unique_ptr<Task>> tasks;
    for (int i = 0; i < 50; ++i)
      tasks.push_back(std::make_unique<Task>([&] { EXPECT_EQ(Deep::sum(gate, 100), 105); }));
    for (auto& t : tasks) t->wait_until_parked();
    for (std::size_t i = 0; i < tasks.size(); ++i) gate.send(5);
  });
}

TEST(StackReuse, DeepOnesMakeRoomForOthers) {
  test::run([] {
    for (int round = 0; round < 10; ++round) {
      WaitGroup wg;
      for (int i = 0; i < 200; ++i) {
        wg.add(1);
        go([&] {
          (void)use_stack(100 << 10);
          gosched();
          wg.done();
        });
      }
      wg.wait();
    }
  });
}

// A goroutine has no stack before it runs: many that end soon share a few.
TEST(StackReuse, QueuedGoroutinesHaveNoStacks) {
  test::run([] {
    const std::uint64_t before = rt::stacks_made();
    WaitGroup wg;
    constexpr int kMany = 50'000;
    wg.add(kMany);
    for (int i = 0; i < kMany; ++i) go([&wg] { wg.done(); });
    wg.wait();
    EXPECT_LT(rt::stacks_made() - before, 2'000u);
  });
}

TEST(StackReuse, ParkedOnesKeepTheirsAndTheNextUseThemAgain) {
  test::run([] {
    constexpr int kMany = 2'000;
    std::uint64_t made_first = 0;
    for (int round = 0; round < 3; ++round) {
      auto gate = make_chan<int>();
      WaitGroup parked, ended;
      parked.add(kMany);
      ended.add(kMany);
      for (int i = 0; i < kMany; ++i)
        go([&, gate] {
          parked.done();
          gate.recv();
          ended.done();
        });
      parked.wait();
      gate.close();
      ended.wait();
      if (round == 0) made_first = rt::stacks_made();
    }
    EXPECT_GE(made_first, 2'000u);
    EXPECT_LT(rt::stacks_made() - made_first, 200u);
  });
}

TEST(StackClasses, SizesAreRoundedUpToAPowerOfTwo) {
  max_procs();  // starts the runtime, which sets the default's size
  EXPECT_EQ(rt::stack_class_of(0), 0);
  EXPECT_EQ(rt::stack_class_of(rt::kDefaultStack), 0);
  EXPECT_EQ(rt::stack_class_of(64 << 10), 1);
  EXPECT_EQ(rt::stack_class_of((64 << 10) + 1), 2);
  EXPECT_EQ(rt::stack_class_of(128 << 10), 2);
  EXPECT_EQ(rt::stack_class_of(300 << 10), 4);
  EXPECT_EQ(rt::stack_class_of(64 << 20), 11);
}

class StackDeathTest : public ::testing::Test {
 protected:
  StackDeathTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

constexpr const char* kReport =
    "stack overflow(.|\n)*goroutine [0-9]+, created at .*stack_test.cpp:[0-9]+";

TEST_F(StackDeathTest, OverflowIsReportedWithTheGoroutine) {
  EXPECT_DEATH(
      {
        go([] { (void)use_stack(SIZE_MAX); });
        test::run([] { (void)Chan<int>().recv(); });
      },
      kReport);
}

TEST_F(StackDeathTest, OneHugeFrameIsCaughtToo) {
  EXPECT_DEATH(
      {
        go([] { (void)huge_frame(8); });
        test::run([] { (void)Chan<int>().recv(); });
      },
      kReport);
}

TEST_F(StackDeathTest, OverflowBesideManyParkedNamesTheRightOne) {
  EXPECT_DEATH(
      {
        auto gate = make_chan<int>();
        for (int i = 0; i < 100; ++i)
          go([gate] {
            (void)gate.recv();
            (void)use_stack(SIZE_MAX);
          });
        gate.send(1);
        test::run([] { (void)Chan<int>().recv(); });
      },
      kReport);
}

TEST_F(StackDeathTest, OtherFaultsAreNotCalledOverflows) {
  const auto not_by_us = [](int status) {
    return !(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT) && status != 0;
  };
  EXPECT_EXIT(
      {
        go([] {
          volatile int* volatile nowhere = nullptr;
          *nowhere = 1;
        });
        test::run([] { (void)Chan<int>().recv(); });
      },
      not_by_us, "");
}

// As on kernels before 6.13.
TEST_F(StackDeathTest, OverflowIntoAnMprotectGuardIsReported) {
  EXPECT_DEATH(
      {
        max_procs();
        rt::stack_init(rt::kDefaultStack, rt::GuardKind::mprotect);
        go([] { (void)use_stack(SIZE_MAX); });
        test::run([] { (void)Chan<int>().recv(); });
      },
      kReport);
}

TEST_F(StackDeathTest, TheNearnessOfTheMappingLimitIsSaidOnce) {
#if !TREADLE_ASAN && !TREADLE_TSAN  // to which so many stacks cost minutes
  EXPECT_EXIT(
      {
        max_procs();
        rt::stack_init(rt::kMinStack, rt::GuardKind::mprotect);
        test::run([] {
          auto gate = make_chan<int>();
          for (int i = 0; i < 27'000; ++i) {
            go([gate] { gate.recv(); });
            gosched();
          }
          gate.close();
        });
        std::exit(0);
      },
      ::testing::ExitedWithCode(0), "near the kernel's limit of mappings");
#endif
}

TEST_F(StackDeathTest, NoMemoryForAStackNamesTheGoroutine) {
#if !TREADLE_ASAN && !TREADLE_TSAN  // whose shadows need address space beyond any limit
  EXPECT_DEATH(
      {
        max_procs();
        test::allow_few_stacks();
        test::run([] {
          auto gate = make_chan<int>();
          for (int i = 0; i < 100; ++i) go([gate] { gate.recv(); });
          gate.send(1);
          for (;;) gosched();
        });
      },
      "out of memory for a goroutine's stack(.|\n)*created at .*stack_test.cpp");
#endif
}

TEST_F(StackDeathTest, NoMemoryForATasksStackIsAnErrorOfSpawn) {
#if !TREADLE_ASAN && !TREADLE_TSAN
  EXPECT_EXIT(
      {
        max_procs();
        test::allow_few_stacks();
        int failed = 0;
        std::size_t started = 0;
        test::run([&] {
          auto gate = make_chan<int>();
          std::vector<treadle::Task<void>> tasks;
          for (int i = 0; i < 100 && failed == 0; ++i) {
            try {
              tasks.push_back(spawn([gate] { gate.recv(); }));
            } catch (const std::system_error& e) {
              failed = e.code() == std::errc::not_enough_memory ? 1 : 2;
            }
          }
          started = tasks.size();
          gate.close();
          for (auto& t : tasks) t.join();
        });
        std::exit(failed == 1 && started > 0 ? 0 : 1);
      },
      ::testing::ExitedWithCode(0), "");
#endif
}

TEST_F(StackDeathTest, SizeIsTheOneAskedFor) {
  EXPECT_EXIT(
      { run({.stack_size = 1000 * 1000}, [] { std::exit(use_stack(900 * 1000) > 1 ? 0 : 1); }); },
      ::testing::ExitedWithCode(0), "");
  EXPECT_DEATH(run({.stack_size = 64 << 10}, [] { (void)use_stack(70 << 10); }),
               "stack overflow \\(a goroutine's stack has 64 KiB\\)");
}

}  // namespace
}  // namespace treadle
