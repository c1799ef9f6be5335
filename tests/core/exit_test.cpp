// Ends of the process that cross each other.
#include <gtest/gtest.h>

#include <unistd.h>

#include <atomic>
#include <cstdlib>

#include <treadle/go.h>
#include <treadle/mutex.h>
#include <treadle/runtime.h>
#include <treadle/timer.h>
#include <treadle/wait_group.h>

namespace treadle {
namespace {

class ExitDeathTest : public ::testing::Test {
 protected:
  ExitDeathTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

// run() stops the world while a goroutine is on its way through exit() into the same stop. Whoever
// is second must not wait for the first: it holds the P that the first one waits for.
[[noreturn]] void exit_against_run(unsigned delay) {
  ::alarm(20);
  std::atomic<bool> leaving{false};
  run({.max_procs = 2}, [&] {
    std::atomic<bool> up{false};
    go([&leaving, &up, delay] {
      up = true;
      while (!leaving.load(std::memory_order_relaxed)) {
      }
      for (unsigned i = 0; i < delay; ++i) asm volatile("");
      std::exit(0);
    });
    while (!up) gosched();
    leaving = true;
  });
  std::_Exit(0);
}

TEST_F(ExitDeathTest, FromAGoroutineWhileRunReturns) {
  for (unsigned delay = 0; delay < 4000; delay += 500)
    EXPECT_EXIT(exit_against_run(delay), ::testing::ExitedWithCode(0), "");
}

// A goroutine that only makes calls which never park is asked to give way in place; run() must
// still be able to stop it.
TEST_F(ExitDeathTest, RunStopsAGoroutineThatNeverParks) {
  EXPECT_EXIT(
      {
        ::alarm(20);
        run({.max_procs = 1}, [] {
          go([] {
            for (Mutex m;;) {
              m.lock();
              m.unlock();
              (void)goroutine_id();
              (void)runtime_stats();
            }
          });
          (void)sleep(std::chrono::milliseconds(1));
        });
        std::_Exit(0);
      },
      ::testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace treadle
