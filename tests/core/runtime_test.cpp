#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <thread>

#include <treadle/chan.h>
#include <treadle/dump.h>
#include <treadle/go.h>
#include <treadle/runtime.h>
#include <treadle/timer.h>
#include <treadle/wait_group.h>

#include "core/pipe.h"
#include "support/goroutine.h"

namespace treadle {
namespace {

using test::Pipe;
using test::Task;
using namespace std::chrono_literals;
using ::testing::ExitedWithCode;

// What starts the runtime in its own way needs a process in which nothing has started it.
class RuntimeDeathTest : public ::testing::Test {
 protected:
  RuntimeDeathTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

[[noreturn]] void exit_with_procs() { std::exit(max_procs()); }

[[noreturn]] void exit_with_procs_of(const char* environment) {
  ::setenv("TREADLE_MAXPROCS", environment, 1);
  exit_with_procs();
}

// Exit code 3, with the text on standard error, when `f` panics.
[[noreturn]] void exit_with_panic(const std::function<void()>& f) {
  try {
    f();
  } catch (const Panic& e) {
    std::fprintf(stderr, "%s\n", e.what());
    std::exit(3);
  }
  std::exit(0);
}

TEST_F(RuntimeDeathTest, ProcsComeFromTheEnvironment) {
  EXPECT_EXIT(exit_with_procs_of("3"), ExitedWithCode(3), "");
  EXPECT_EXIT(exit_with_procs_of("1"), ExitedWithCode(1), "");
}

TEST_F(RuntimeDeathTest, EmptyEnvironmentMeansTheMachines) {
  EXPECT_EXIT(
      {
        ::setenv("TREADLE_MAXPROCS", "", 1);
        const int empty = max_procs();
        std::exit(empty >= 1 && empty <= 1024 ? 0 : 1);
      },
      ExitedWithCode(0), "");
}

TEST_F(RuntimeDeathTest, NonsenseInTheEnvironmentIsNamed) {
  for (const char* text : {"0", "-1", "1025", "four", "4x", " 4", "99999999999999"})
    EXPECT_EXIT(exit_with_panic([text] { exit_with_procs_of(text); }), ExitedWithCode(3),
                std::string("TREADLE_MAXPROCS=") + text + ": must be a number from 1 to 1024");
  // Uncaught it says so, too.
  EXPECT_DEATH([]() noexcept { exit_with_procs_of("four"); }(), "TREADLE_MAXPROCS=four");
}

TEST_F(RuntimeDeathTest, OptionsComeBeforeTheEnvironment) {
  EXPECT_EXIT(
      {
        ::setenv("TREADLE_MAXPROCS", "nonsense", 1);
        run({.max_procs = 5}, exit_with_procs);
      },
      ExitedWithCode(5), "");
}

TEST_F(RuntimeDeathTest, OptionsOutOfRangeAreNamedWithTheirValue) {
  const auto run_with = [](const RuntimeOptions& o) { exit_with_panic([&] { run(o, [] {}); }); };
  EXPECT_EXIT(run_with({.max_procs = -1}), ExitedWithCode(3), "max_procs = -1: must be 1 to 1024");
  EXPECT_EXIT(run_with({.max_procs = 1025}), ExitedWithCode(3), "max_procs = 1025");
  EXPECT_EXIT(run_with({.stack_size = 1000}), ExitedWithCode(3),
              "stack_size = 1000: must be 65536 to 67108864");
  EXPECT_EXIT(run_with({.stack_size = std::size_t{1} << 40}), ExitedWithCode(3),
              "stack_size = 1099511627776");
  EXPECT_EXIT(run_with({.max_threads = 7}), ExitedWithCode(3),
              "max_threads = 7: must be 8 to 100000");
  EXPECT_EXIT(run_with({.max_threads = 100'001}), ExitedWithCode(3), "max_threads = 100001");
}

TEST_F(RuntimeDeathTest, BadOptionsLeaveTheRuntimeToBeStarted) {
  EXPECT_EXIT(
      {
        EXPECT_THROW(run({.max_procs = -1}, [] {}), Panic);
        run({.max_procs = 2}, exit_with_procs);
      },
      ExitedWithCode(2), "");
}

TEST_F(RuntimeDeathTest, RunReturnsWhenMainHas) {
  EXPECT_EXIT(
      {
        std::atomic<int> n{0};
        run([&] {
          EXPECT_TRUE(in_goroutine());
          WaitGroup wg;
          for (int i = 0; i < 7; ++i) {
            wg.add(1);
            go([&] { ++n, wg.done(); });
          }
          wg.wait();
        });
        std::exit(n);
      },
      ExitedWithCode(7), "");
}

TEST_F(RuntimeDeathTest, RunTwiceOrLatePanics) {
  EXPECT_EXIT(exit_with_panic([] {
                run([] {});
                run([] {});
              }),
              ExitedWithCode(3), "run: the runtime has been started already");
  EXPECT_EXIT(exit_with_panic([] {
                go([] {});
                run([] {});
              }),
              ExitedWithCode(3), "run: the runtime has been started already");
  EXPECT_EXIT(run([] { exit_with_panic([] { run([] {}); }); }), ExitedWithCode(3),
              "run: called from a goroutine");
}

// Goroutines of every kind are there when main() returns: parked, sleeping, computing, blocked in a
// system call. None may keep the process, or end it otherwise than main() does.
TEST_F(RuntimeDeathTest, EndsWhateverTheOthersDo) {
  EXPECT_EXIT(
      {
        ::alarm(60);                    // so that no hog outlives a test that was given up
        static Pipe& pipe = *new Pipe;  // stays: one goroutine reads to the very end
        run([] {
          for (int i = 0; i < 20; ++i) {
            go([] { (void)Chan<int>().recv(); });
            go([] { (void)sleep(1h); });
            go([] {
              for (;;) (void)sleep(20us);
            });
            go([] {
              for (;;) gosched();
            });
          }
          for (int i = 0; i < 2; ++i) {
            go([] {
              for (;;) asm volatile("");
            });
            go([] { (void)pipe.read_byte(); });
          }
          (void)sleep(2ms);
        });
        std::exit(0);
      },
      ExitedWithCode(0), "");
}

TEST_F(RuntimeDeathTest, ExitFromAGoroutineEndsTheProcess) {
  EXPECT_EXIT(test::run([] {
                ::alarm(60);
                for (int i = 0; i < 20; ++i)
                  go([] {
                    for (;;) gosched();
                  });
                Task([] { std::exit(4); }).join();
              }),
              ExitedWithCode(4), "");
}

TEST_F(RuntimeDeathTest, MainMayReturnWithoutRun) {
  EXPECT_EXIT(
      {
        auto ch = make_chan<int>();
        for (int i = 0; i < 10; ++i)
          go([ch] {
            for (;;) ch.send(1);
          });
        for (int i = 0; i < 100; ++i) (void)ch.recv();
        std::exit(0);
      },
      ExitedWithCode(0), "");
}

TEST_F(RuntimeDeathTest, StaticDestructorsMayUseWhatNeedsNoOther) {
  struct AtExit {
    ~AtExit() {
      auto ch = make_chan<int>(1);
      ch.send(1);
      if (ch.recv() != 1) std::_Exit(9);
      std::fputs("destroyed\n", stderr);
    }
  };
  EXPECT_EXIT(
      {
        static AtExit at_exit;
        run([] { go([] { (void)sleep(1h); }); });
        std::exit(0);
      },
      ExitedWithCode(0), "destroyed");
}

TEST_F(RuntimeDeathTest, FirstUseStartsItFromManyThreadsAtOnce) {
  EXPECT_EXIT(
      {
        std::vector<std::thread> threads;
        std::atomic<int> n{0};
        for (int i = 0; i < 8; ++i)
          threads.emplace_back([&] {
            WaitGroup wg;
            wg.add(1);
            go([&] { ++n, wg.done(); });
            wg.wait();
          });
        for (auto& t : threads) t.join();
        std::exit(n);
      },
      ExitedWithCode(8), "");
}

TEST(RuntimeStats, CountWhatHappened) {
  const RuntimeStats before = runtime_stats();
  test::run([] {
    auto ch = make_chan<int>();
    Task receiver([&] { (void)ch.recv(); });
    receiver.wait_until_parked();
    EXPECT_GE(runtime_stats().goroutines, 2u);
    EXPECT_GE(runtime_stats().threads, 1u);
    ch.send(1);
  });
  const RuntimeStats after = runtime_stats();
  EXPECT_GE(after.spawned, before.spawned + 2);
  EXPECT_GE(after.parks, before.parks + 1);
  test::expect_goroutines(before.goroutines);  // the last one is still on its way out
}

// One for each P, a few to stand by, and not one more however often work comes.
TEST(RuntimeThreads, DoNotGrowWhenNothingBlocks) {
  (void)max_procs();
  const auto before = static_cast<std::int64_t>(runtime_stats().threads);
  test::run([] {
    for (int round = 0; round < 20; ++round) {
      WaitGroup wg;
      for (int i = 0; i < 500; ++i) {
        wg.add(1);
        go([&] { wg.done(); });
      }
      wg.wait();
    }
  });
  // The P of a goroutine that the kernel keeps waiting may be taken, so the bound is not exact.
  EXPECT_LE(static_cast<std::int64_t>(runtime_stats().threads), before + max_procs() + 30);
}

TEST(RuntimeDump, NamesEachGoroutineWithItsWaitAndOrigin) {
  test::run([] {
    auto ch = make_chan<int>();
    auto [ctx, cancel] = with_cancel(background());
    std::atomic<std::uint64_t> id{0};
    Task receiver([&] {
      id = goroutine_id();
      (void)ch.recv();
    });
    Task sleeper([&] {
      const ContextScope scope(ctx);
      (void)sleep(1h);
    });
    receiver.wait_until_parked();
    sleeper.wait_until_parked();
    const Pipe pipe;
    dump_goroutines(pipe.write_end());
    std::string text(64 << 10, '\0');
    const auto n = ::read(pipe.read_end(), text.data(), text.size());
    ASSERT_GT(n, 0);
    text.resize(static_cast<std::size_t>(n));
    EXPECT_NE(text.find("goroutine " + std::to_string(id) + " [chan receive"), std::string::npos)
        << text;
    EXPECT_NE(text.find("[sleep"), std::string::npos) << text;
    EXPECT_NE(text.find("runtime_test.cpp:"), std::string::npos) << text;
    ch.send(1);
    cancel();
  });
}

}  // namespace
}  // namespace treadle
