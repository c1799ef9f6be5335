#include <gtest/gtest.h>
#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <thread>
#include <type_traits>
#include <vector>

#include <treadle/blocking.h>
#include <treadle/chan.h>
#include <treadle/go.h>
#include <treadle/runtime.h>
#include <treadle/timer.h>

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

enum class Hint { short_call, long_call };

template <class F>
decltype(auto) hinted(Hint h, F&& f) {
  return h == Hint::short_call ? blocking(std::forward<F>(f)) : blocking_long(std::forward<F>(f));
}

class BlockingHint : public ::testing::TestWithParam<Hint> {};
INSTANTIATE_TEST_SUITE_P(Blocking, BlockingHint,
                         ::testing::Values(Hint::short_call, Hint::long_call),
                         [](const auto& test) {
                           return test.param == Hint::short_call ? "blocking" : "blocking_long";
                         });

TEST_P(BlockingHint, GivesBackWhatTheCallReturns) {
  test::run([] {
    EXPECT_EQ(hinted(GetParam(), [] { return 7; }), 7);
    hinted(GetParam(), [] {});
    int variable = 1;
    static_assert(std::is_same_v<decltype(blocking([&]() -> int& { return variable; })), int&>);
    static_assert(
        std::is_same_v<decltype(blocking_long([&]() -> int& { return variable; })), int&>);
    blocking([&]() -> int& { return variable; }) = 5;
    EXPECT_EQ(variable, 5);
    auto owned = hinted(GetParam(), [] { return std::make_unique<int>(3); });
    EXPECT_EQ(*owned, 3);
  });
}

TEST_P(BlockingHint, WorksOnPlainThreads) {
  EXPECT_EQ(hinted(GetParam(), [] { return 7; }), 7);
}

// More blocked threads than Ps, by far; the one who can end it is a goroutine too.
TEST_P(BlockingHint, ManyBlockedDoNotStopTheOthers) {
  test::run([] {
    constexpr int kBlocked = 32;
    std::vector<Pipe> pipes(kBlocked);
    std::vector<std::unique_ptr<Task>> tasks;
    std::atomic<int> blocked{0};
    for (auto& pipe : pipes)
      tasks.push_back(std::make_unique<Task>([&] {
        ++blocked;
        EXPECT_EQ(hinted(GetParam(), [&] { return pipe.read_byte(); }), 'x');
      }));
    while (blocked != kBlocked) gosched();
    for (int i = 0; i < 5; ++i) EXPECT_TRUE(sleep(1ms));  // and timers go on
    for (auto& pipe : pipes) pipe.write_byte('x');
  });
}

TEST_P(BlockingHint, KeepsTheThreadAndItsErrno) {
  test::run([] {
    for (int round = 0; round < 50; ++round) {
      Pipe pipe;
      Task task([&] {
        const pthread_t thread = this_thread();
        int* const local = per_thread_address();
        *local = round;
        write_errno(round + 1);
        const char c = hinted(GetParam(), [&] {
          EXPECT_TRUE(::pthread_equal(thread, this_thread()));
          EXPECT_EQ(read_errno(), round + 1);
          const char got = pipe.read_byte();
          write_errno(round + 2);
          return got;
        });
        EXPECT_EQ(read_errno(), round + 2);
        EXPECT_TRUE(::pthread_equal(thread, this_thread()));
        EXPECT_EQ(per_thread_address(), local);
        EXPECT_EQ(*local, round);
        EXPECT_EQ(c, 'y');
      });
      (void)sleep(100us);  // with one P, only once it was taken
      pipe.write_byte('y');
    }
  });
}

TEST_P(BlockingHint, NestedHintsEndInOrder) {
  test::run([] {
    const Hint other = GetParam() == Hint::short_call ? Hint::long_call : Hint::short_call;
    for (const Hint inner : {GetParam(), other})
      for (int round = 0; round < 20; ++round) {
        Pipe one, two, three;
        Task task([&] {
          const pthread_t thread = this_thread();
          hinted(GetParam(), [&] {
            EXPECT_EQ(one.read_byte(), '1');
            hinted(inner, [&] { EXPECT_EQ(two.read_byte(), '2'); });
            EXPECT_EQ(three.read_byte(), '3');
          });
          EXPECT_TRUE(::pthread_equal(thread, this_thread()));
        });
        gosched();
        one.write_byte('1');
        (void)sleep(50us);
        two.write_byte('2');
        (void)sleep(50us);
        three.write_byte('3');
      }
  });
}

TEST_P(BlockingHint, NonParkingCallsInsideAreAllowed) {
  test::run([] {
    for (int round = 0; round < 50; ++round) {
      auto ch = make_chan<int>(2);
      const pthread_t thread = this_thread();
      hinted(GetParam(), [&] {
        EXPECT_TRUE(ch.try_send(round));
        go([ch] { EXPECT_TRUE(ch.try_send(-1)); });
        auto made = with_timeout(background(), 1h);
        made.cancel();
      });
      EXPECT_TRUE(::pthread_equal(thread, this_thread()));
      EXPECT_EQ(ch.recv(), round);
      EXPECT_EQ(ch.recv(), -1);
    }
  });
}

TEST_P(BlockingHint, ManyShortCallsInManyGoroutines) {
  test::run([] {
    std::vector<std::unique_ptr<Task>> tasks;
    std::atomic<int> calls{0};
    for (int g = 0; g < 8; ++g)
      tasks.push_back(std::make_unique<Task>([&] {
        for (int i = 0; i < 300; ++i) {
          hinted(GetParam(), [&] { ++calls; });
          if (i % 10 == 0) gosched();
        }
      }));
    for (auto& t : tasks) t->join();
    EXPECT_EQ(calls, 8 * 300);
  });
}

// A P lost in a hinted call is counted, so that one can see what hints do. Not every call loses
// one.
TEST(BlockingStats, HandoffsAreCounted) {
  test::run([] {
    const auto before = runtime_stats().handoffs;
    while (runtime_stats().handoffs == before) {
      const Pipe pipe;
      Task blocked([&] { EXPECT_EQ(blocking_long([&] { return pipe.read_byte(); }), 'z'); });
      gosched();
      pipe.write_byte('z');
    }
  });
}

// A nested hint is the outer one's, and so is the P: nothing is taken back for it.
TEST(BlockingStats, NestedLongHintGivesNothingAway) {
  test::run([] {
    constexpr int kRounds = 50;
    const auto before = runtime_stats().handoffs;
    for (int i = 0; i < kRounds; ++i) {
      blocking_long([] { blocking_long([] {}); });
      blocking([] { blocking_long([] {}); });
    }
    EXPECT_LE(runtime_stats().handoffs - before, 2U * kRounds);
  });
}

// At the limit of threads Ps are no longer taken: everything goes on more slowly, and nothing dies.
TEST(BlockingDeathTest, ThreadLimitSlowsButDoesNotEnd) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        std::vector<Pipe> pipes(24);
        std::thread writer([&] {
          for (auto& pipe : pipes) pipe.write_byte('x');
        });
        run({.max_procs = 2, .max_threads = 8}, [&] {
          std::vector<std::unique_ptr<Task>> tasks;
          for (auto& pipe : pipes)
            tasks.push_back(std::make_unique<Task>(
                [&] { EXPECT_EQ(blocking([&] { return pipe.read_byte(); }), 'x'); }));
          tasks.clear();
          if (runtime_stats().threads > 8) std::exit(1);
        });
        writer.join();
        std::exit(0);
      },
      ::testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace treadle
