// How many threads blocking goroutines may hold, and what happens when there are no more.
#include <gtest/gtest.h>

#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
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
#include <treadle/result.h>
#include <treadle/runtime.h>
#include <treadle/timer.h>
#include <treadle/wait_group.h>

#include "core/child.h"
#include "core/pipe.h"
#include "runtime/sanitizer.h"
#include "runtime/sched.h"
#include "support/goroutine.h"

namespace treadle {
namespace {

using test::Pipe;
using test::run_in_child;
using test::Task;
using namespace std::chrono_literals;
using ::testing::ExitedWithCode;

class BlockingLimitDeathTest : public ::testing::Test {
 protected:
  BlockingLimitDeathTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

// Many more block than may: those that may do, the others wait without a thread, everything else
// goes on, and each gets its turn.
void block_many(bool long_hint) {
  constexpr std::size_t kCalls = 40;
  std::vector<Pipe> pipes(kCalls);
  std::atomic<int> inside{0}, most{0}, ended{0};
  std::vector<std::unique_ptr<Task>> tasks;
  for (auto& pipe : pipes)
    tasks.push_back(std::make_unique<Task>([&] {
      const auto call = [&] {
        const int now = ++inside;
        int seen = most;
        while (seen < now && !most.compare_exchange_weak(seen, now)) {
        }
        REQUIRE(pipe.read_byte() == 'x');
        --inside;
      };
      long_hint ? blocking_long(call) : blocking(call);
      ++ended;
    }));
  while (runtime_stats().blocking_waits == 0) (void)sleep(100us);
  for (int i = 0; i < 20; ++i) REQUIRE(sleep(200us));  // timers go on
  auto ch = make_chan<int>();
  go([ch] { ch.send(1); });
  REQUIRE(ch.recv() == 1);
  REQUIRE(ended == 0);
  // At most one more for each P: calls that began with room, all at once.
  REQUIRE(most <= 4 + max_procs());
  REQUIRE(runtime_stats().threads <= static_cast<std::uint64_t>(4 + 2 * max_procs() + 6));
  for (auto& pipe : pipes) pipe.write_byte('x');
  tasks.clear();
  REQUIRE(ended == static_cast<int>(kCalls));
  REQUIRE(most <= 4 + max_procs());
  REQUIRE(runtime_stats().detached <= 1);
}

TEST_F(BlockingLimitDeathTest, FurtherCallsWaitForTheirTurn) {
  EXPECT_EXIT(run_in_child({.max_blocking = 4}, [] { block_many(false); }), ExitedWithCode(0), "");
  EXPECT_EXIT(run_in_child({.max_blocking = 4}, [] { block_many(true); }), ExitedWithCode(0), "");
}

// Short calls never hold room: waiters behind one that had a short call go on.
TEST_F(BlockingLimitDeathTest, ShortCallsPassBesideLongOnes) {
  EXPECT_EXIT(run_in_child({.max_blocking = 2},
                           [] {
                             std::atomic<int> calls{0};
                             WaitGroup wg;
                             for (int g = 0; g < 20; ++g) {
                               wg.add(1);
                               go([&, g] {
                                 for (int i = 0; i < 50; ++i) {
                                   blocking([&] {
                                     ++calls;
                                     if ((g + i) % 10 == 0) ::usleep(200);
                                   });
                                   if (i % 7 == 0) gosched();
                                 }
                                 wg.done();
                               });
                             }
                             wg.wait();
                             REQUIRE(calls == 1000);
                           }),
              ExitedWithCode(0), "");
}

TEST_F(BlockingLimitDeathTest, OptionOutOfRangeIsNamed) {
  EXPECT_EXIT(
      {
        try {
          run({.max_blocking = -1}, [] {});
        } catch (const Panic& e) {
          std::fprintf(stderr, "%s\n", e.what());
          std::exit(3);
        }
      },
      ExitedWithCode(3), "max_blocking = -1: must be 1 to 100000");
}

// With fewer threads than the limit asks for, the limit follows.
TEST_F(BlockingLimitDeathTest, TheLimitOfThreadsIsOneToo) {
  EXPECT_EXIT(run_in_child({.max_procs = 2, .max_threads = 8},
                           [] {
                             std::vector<Pipe> pipes(30);
                             std::vector<std::unique_ptr<Task>> tasks;
                             for (auto& pipe : pipes)
                               tasks.push_back(std::make_unique<Task>([&] {
                                 REQUIRE(blocking([&] { return pipe.read_byte(); }) == 'x');
                               }));
                             while (runtime_stats().blocking_waits == 0) (void)sleep(100us);
                             for (int i = 0; i < 10; ++i) REQUIRE(sleep(200us));
                             REQUIRE(runtime_stats().threads <= 8);
                             for (auto& pipe : pipes) pipe.write_byte('x');
                           }),
              ExitedWithCode(0), "");
}

// --- threads that cannot be made

int refuse_threads(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*) { return EAGAIN; }

TEST_F(BlockingLimitDeathTest, GoesOnWhenNoThreadCanBeMadeAndRecovers) {
  EXPECT_EXIT(
      run_in_child({.max_procs = 2},
                   [] {
                     for (int i = 0; i < 5; ++i)
                       REQUIRE(sleep(1ms));  // the first threads are there
                     rt::sched.thread_maker = &refuse_threads;
                     std::vector<Pipe> pipes(20);
                     std::thread late([&] {
                       while (rt::sched.thread_failures == 0 || rt::sched.refused_handoffs == 0)
                         ::usleep(1000);
                       for (std::size_t i = 0; i < 10; ++i) pipes[i].write_byte('x');
                     });
                     std::vector<std::unique_ptr<Task>> tasks;
                     // Without a hint: nothing bounds those but the threads themselves.
                     for (std::size_t i = 0; i < 10; ++i)
                       tasks.push_back(std::make_unique<Task>(
                           [&pipe = pipes[i]] { REQUIRE(pipe.read_byte() == 'x'); }));
                     tasks.clear();
                     late.join();
                     REQUIRE(runtime_stats().thread_failures > 0);
                     REQUIRE(runtime_stats().refused_handoffs > 0);
                     // Now they can be made again: as many may block as like.
                     rt::sched.thread_maker = &::pthread_create;
                     for (std::size_t i = 10; i < 20; ++i)
                       tasks.push_back(std::make_unique<Task>([&pipe = pipes[i]] {
                         REQUIRE(blocking([&] { return pipe.read_byte(); }) == 'x');
                       }));
                     while (runtime_stats().detached < 8) (void)sleep(1ms);
                     for (std::size_t i = 10; i < 20; ++i) pipes[i].write_byte('x');
                   }),
      ExitedWithCode(0), "cannot make a thread");
}

// Every thread but the poller's is blocked, and no other can be made.
TEST_F(BlockingLimitDeathTest, ThePollersThreadRunsWhatIsStarted) {
  EXPECT_EXIT(run_in_child({.max_procs = 4, .max_threads = 8},
                           [] {
                             auto done = make_chan<int>();
                             std::thread([done] {
                               std::vector<Pipe> pipes(7);
                               WaitGroup ended;
                               for (Pipe& pipe : pipes) {
                                 ended.go([&pipe] { REQUIRE(pipe.read_byte() == 'x'); });
                                 ::usleep(50'000);  // until its P is taken
                               }
                               auto ran = make_chan<int>();
                               go([ran] { ran.send(1); });
                               REQUIRE(ran.recv() == 1);  // by the alarm at the latest
                               for (Pipe& pipe : pipes) pipe.write_byte('x');
                               ended.wait();
                               done.send(1);
                             }).detach();
                             REQUIRE(done.recv() == 1);
                           }),
              ExitedWithCode(0), "");
}

#if !TREADLE_TSAN && !TREADLE_ASAN  // they need threads and memory of their own
// The same by the system's own limit, which binds only those without privileges.
TEST_F(BlockingLimitDeathTest, LivesWithinTheSystemsLimitOfThreads) {
  if (::getuid() != 0) GTEST_SKIP() << "needs to become a user that has no other processes";
  EXPECT_EXIT(
      {
        rlimit few;
        few.rlim_cur = few.rlim_max = 8;
        // One of its own: the limit counts all processes of a user, those of other tests too.
        const auto user = static_cast<uid_t>(100'000 + ::getpid());
        REQUIRE(::setresgid(user, user, user) == 0);
        REQUIRE(::setresuid(user, user, user) == 0);
        REQUIRE(::setrlimit(RLIMIT_NPROC, &few) == 0);
        std::vector<Pipe> pipes(30);
        // Not a goroutine: every thread there can be may block at once.
        std::thread late([&] {
          while (rt::sched.thread_failures == 0) ::usleep(1000);
          for (auto& pipe : pipes) pipe.write_byte('x');
        });
        run_in_child({.max_procs = 2}, [&] {
          std::vector<std::unique_ptr<Task>> tasks;
          for (auto& pipe : pipes)
            tasks.push_back(std::make_unique<Task>(
                [&] { REQUIRE(blocking([&] { return pipe.read_byte(); }) == 'x'); }));
          tasks.clear();
          late.join();
        });
      },
      ExitedWithCode(0), "");  // that one failed is counted; the log line may come too late
}
#endif

// --- threads that are not needed any more

TEST_F(BlockingLimitDeathTest, SurplusThreadsRetire) {
  EXPECT_EXIT(run_in_child({.max_procs = 2},
                           [] {
                             rt::sched.idle_retire = 20'000'000;
                             for (int round = 0; round < 3; ++round) {
                               std::vector<Pipe> pipes(30);
                               std::vector<std::unique_ptr<Task>> tasks;
                               for (auto& pipe : pipes)
                                 tasks.push_back(std::make_unique<Task>([&] {
                                   REQUIRE(blocking([&] { return pipe.read_byte(); }) == 'x');
                                 }));
                               // Those that nothing waits behind keep their Ps.
                               while (runtime_stats().detached < 28) (void)sleep(1ms);
                               REQUIRE(runtime_stats().threads >= 29);
                               for (auto& pipe : pipes) pipe.write_byte('x');
                               tasks.clear();
                               // Running, polling, four that stay, and a spare.
                               while (runtime_stats().threads > 2 + 1 + 4 + 1) (void)sleep(5ms);
                             }
                           }),
              ExitedWithCode(0), "");
}

}  // namespace
}  // namespace treadle
