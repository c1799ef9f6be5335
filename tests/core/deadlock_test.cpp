// All goroutines asleep: reported when it is so, never when anything could still wake one.
#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdarg>
#include <cstdlib>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include <treadle/blocking.h>
#include <treadle/chan.h>
#include <treadle/context.h>
#include <treadle/detail/poll_desc.h>
#include <treadle/go.h>
#include <treadle/mutex.h>
#include <treadle/runtime.h>
#include <treadle/signals.h>
#include <treadle/ticker.h>
#include <treadle/timer.h>
#include <treadle/wait_group.h>

#include "core/pipe.h"
#include "runtime/sanitizer.h"
#include "runtime/sched.h"

#if !TREADLE_ASAN && !TREADLE_TSAN  // whose own versions of these two must stay
// A plain thread that ends while the detector looks at the number of threads, having armed a timer
// after it looked at those; and the poller, which the timer breaks off, waits for a CPU.
namespace {
struct LateThread {
  std::atomic<int> tid{0};
  std::atomic<bool> act{false};

  static bool alive(int tid) {
    return ::syscall(SYS_access, ("/proc/self/task/" + std::to_string(tid)).c_str(), F_OK) == 0;
  }
  void before_threads_are_counted() {
    const int it = tid;
    if (it == 0 || act.exchange(true)) return;
    while (alive(it)) ::usleep(100);
  }
} late_thread;
}  // namespace

extern "C" int open(const char* path, int flags, ...) {
  if (std::string_view(path) == "/proc/self/stat") late_thread.before_threads_are_counted();
  va_list rest;
  va_start(rest, flags);
  const int mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, int) : 0;
  va_end(rest);
  return static_cast<int>(::syscall(SYS_openat, AT_FDCWD, path, flags, mode));
}

extern "C" int epoll_wait(int ep, epoll_event* events, int most, int timeout_ms) {
  const long n = ::syscall(SYS_epoll_wait, ep, events, most, timeout_ms);
  const int error = errno;
  if (late_thread.act) ::usleep(20'000);
  errno = error;
  return static_cast<int>(n);
}
#endif

namespace treadle {
namespace {

using test::Pipe;
using namespace std::chrono_literals;
using ::testing::ExitedWithCode;

class DeadlockDeathTest : public ::testing::Test {
 protected:
  DeadlockDeathTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

constexpr const char* kText = "all goroutines are asleep - deadlock!";

// In the child: what does not end by itself is no deadlock.
[[noreturn]] void run_in_child(const std::function<void()>& body) {
  ::alarm(20);
  run(body);
  std::_Exit(0);
}

void wait_forever() { (void)make_chan<int>().recv(); }

// --- it is one

TEST_F(DeadlockDeathTest, MainWaitsOnAChannel) {
  EXPECT_EXIT(run_in_child(wait_forever), ExitedWithCode(2), kText);
}

TEST_F(DeadlockDeathTest, TheDumpNamesWhoWaitsForWhat) {
  EXPECT_EXIT(run_in_child([] {
                go(wait_forever);
                Mutex mu;
                mu.lock();
                mu.lock();
              }),
              ExitedWithCode(2), "deadlock!\n\ngoroutine (.|\n)*(chan receive|mutex)");
}

TEST_F(DeadlockDeathTest, OfManyAfterMuchWork) {
  EXPECT_EXIT(run_in_child([] {
                WaitGroup wg;
                for (int i = 0; i < 200; ++i) {
                  wg.add(1);
                  go([&wg, i] {
                    for (int k = 0; k < 20; ++k) gosched();
                    if (i % 3 == 0) (void)sleep(1ms);
                    if (i % 50 != 49) wg.done();
                  });
                }
                wg.wait();
              }),
              ExitedWithCode(2), kText);
}

TEST_F(DeadlockDeathTest, AfterTimersHaveFired) {
  EXPECT_EXIT(run_in_child([] {
                auto made = with_timeout(background(), 1ms);
                (void)sleep(20ms);
                made.cancel();
                wait_forever();
              }),
              ExitedWithCode(2), kText);
}

TEST_F(DeadlockDeathTest, AfterABlockingCallHasEnded) {
  EXPECT_EXIT(run_in_child([] {
                go([] {
                  blocking_long([] { ::usleep(30'000); });
                  wait_forever();
                });
                go([] {
                  ::usleep(30'000);  // without a hint: detached
                  wait_forever();
                });
                wait_forever();
              }),
              ExitedWithCode(2), kText);
}

TEST_F(DeadlockDeathTest, AfterAHogHasEnded) {
  EXPECT_EXIT(run_in_child([] {
                for (int i = 0; i < 3; ++i)
                  go([] {
                    const auto end = Deadline::after(40ms);
                    while (!end.passed()) asm volatile("");
                  });
                wait_forever();
              }),
              ExitedWithCode(2), kText);
}

TEST_F(DeadlockDeathTest, AfterAThreadHasEnded) {
  EXPECT_EXIT(run_in_child([] {
                std::thread([] { ::usleep(10'000); }).join();
                wait_forever();
              }),
              ExitedWithCode(2), kText);
}

TEST_F(DeadlockDeathTest, AnOpenDescriptorThatNobodyWaitsForDoesNotHideIt) {
  EXPECT_EXIT(run_in_child([] {
                auto event = detail::Pollable::open(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
                wait_forever();
              }),
              ExitedWithCode(2), kText);
}

TEST_F(DeadlockDeathTest, AfterTheLastSignalSetIsGone) {
  EXPECT_EXIT(run_in_child([] {
                {
                  const SignalSet set({SIGUSR1});
                }
                wait_forever();
              }),
              ExitedWithCode(2), kText);
}

TEST_F(DeadlockDeathTest, AfterTheNumberOfPsChanged) {
  EXPECT_EXIT(run_in_child([] {
                set_max_procs(7);
                (void)sleep(1ms);
                set_max_procs(2);
                wait_forever();
              }),
              ExitedWithCode(2), kText);
}

// --- it is none

// The child ends well when `body` does.
#define EXPECT_NO_DEADLOCK(body) EXPECT_EXIT(run_in_child(body), ExitedWithCode(0), "")

constexpr auto kLate = 60ms;  // long after everything else has gone to sleep

TEST_F(DeadlockDeathTest, NotWhenAThreadMayStillAct) {
  EXPECT_NO_DEADLOCK([] {
    auto ch = make_chan<int>();
    std::thread late([ch] {
      std::this_thread::sleep_for(kLate);
      ch.send(1);
    });
    EXPECT_EQ(ch.recv(), 1);
    late.join();
  });
}

TEST_F(DeadlockDeathTest, NotWhenAThreadThatNeverCalledUsMayStillEnd) {
  // It is not seen in any queue of ours; its process-wide effect may be anything.
  EXPECT_NO_DEADLOCK([] {
    auto ch = make_chan<int>();
    std::thread([ch] {
      for (int i = 0; i < 5; ++i) std::this_thread::sleep_for(kLate / 4);
      ch.send(1);
    }).detach();
    EXPECT_EQ(ch.recv(), 1);
  });
}

TEST_F(DeadlockDeathTest, NotWhileATimerRuns) {
  EXPECT_NO_DEADLOCK([] { (void)sleep(kLate); });
  EXPECT_NO_DEADLOCK([] {
    auto made = with_timeout(background(), kLate);
    made.context.wait();
  });
}

TEST_F(DeadlockDeathTest, NotInABlockingCall) {
  for (const bool long_hint : {false, true})
    EXPECT_NO_DEADLOCK(([long_hint] {
      auto ch = make_chan<int>();
      go([ch, long_hint] {
        if (long_hint)
          blocking_long([] { ::usleep(60'000); });
        else
          blocking([] { ::usleep(60'000); });
        ch.send(1);
      });
      EXPECT_EQ(ch.recv(), 1);
    }));
}

TEST_F(DeadlockDeathTest, NotWhileADetachedOneRuns) {
  EXPECT_NO_DEADLOCK([] {
    auto ch = make_chan<int>();
    go([ch] {
      ::usleep(60'000);  // no hint
      ch.send(1);
    });
    go([ch] {
      const auto end = Deadline::after(kLate);
      while (!end.passed()) asm volatile("");
      ch.send(1);
    });
    EXPECT_EQ(ch.recv(), 1);
    EXPECT_EQ(ch.recv(), 1);
  });
}

#if !TREADLE_ASAN && !TREADLE_TSAN
TEST_F(DeadlockDeathTest, NotWhenAThreadThatEndsLeavesATimer) {
  EXPECT_NO_DEADLOCK([] {
    auto ch = make_chan<int>();
    std::thread([ch] {
      late_thread.tid = ::gettid();
      while (!late_thread.act) ::usleep(100);
      after_func(10ms, [ch] { ch.close(); });
    }).detach();
    while (late_thread.tid == 0) std::this_thread::yield();
    EXPECT_FALSE(ch.recv());
    EXPECT_TRUE(late_thread.act);
  });
}
#endif

// Another process writes.
void write_late(int fd) {
  if (::fork() == 0) {
    ::usleep(60'000);
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto n = ::write(fd, &one, sizeof one);
    ::_exit(0);
  }
}

TEST_F(DeadlockDeathTest, NotWhileADescriptorIsWaitedFor) {
  const auto child = [] {
    ::alarm(20);
    const int fd = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    write_late(fd);
    run([fd] {
      auto event = detail::Pollable::open(fd);
      ASSERT_TRUE(event.has_value());
      ASSERT_TRUE(event->prepare(detail::PollMode::read).has_value());
      EXPECT_TRUE(event->wait(detail::PollMode::read).has_value());
    });
    std::_Exit(0);
  };
  EXPECT_EXIT(child(), ExitedWithCode(0), "");
}

TEST_F(DeadlockDeathTest, NotWhileASignalIsSubscribedTo) {
  const auto child = [] {
    ::alarm(20);
    const pid_t self = ::getpid();
    run([self] {
      SignalSet set({SIGUSR1});
      if (::fork() == 0) {
        ::usleep(60'000);
        ::kill(self, SIGUSR1);
        ::_exit(0);
      }
      EXPECT_EQ(set.wait(), SIGUSR1);
    });
    std::_Exit(0);
  };
  EXPECT_EXIT(child(), ExitedWithCode(0), "");
}

TEST_F(DeadlockDeathTest, NotWhileSomethingOutsideMayWake) {
  EXPECT_EXIT(
      {
        std::signal(SIGALRM, [](int) { std::_Exit(7); });
        run([] {
          ++rt::sched.outside_wakers;
          ::ualarm(60'000, 0);
          wait_forever();
        });
      },
      ExitedWithCode(7), "");
}

// Without run() the main thread is a thread like any other: it may do anything next.
TEST_F(DeadlockDeathTest, NotWithoutRun) {
  EXPECT_EXIT(
      {
        ::alarm(20);
        auto ch = make_chan<int>();
        go([ch] { ch.send(7); });
        ::usleep(60'000);
        std::_Exit(ch.recv().value_or(1));
      },
      ExitedWithCode(7), "");
}

TEST_F(DeadlockDeathTest, NotWhenRunHasReturnedWithOthersAsleep) {
  EXPECT_EXIT(
      {
        ::alarm(20);
        run([] {
          for (int i = 0; i < 10; ++i) go(wait_forever);
          gosched();
        });
        ::usleep(60'000);
        std::_Exit(0);
      },
      ExitedWithCode(0), "");
}

// Quiet for an instant, thousands of times, with wake-ups of every kind in between.
TEST_F(DeadlockDeathTest, NotInTheMiddleOfLife) {
  const auto child = [] {
    ::alarm(60);
    const int fd = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    run([fd] {
      auto event = detail::Pollable::open(fd);
      auto ch = make_chan<int>();
      for (int i = 0; i < 400; ++i) {
        go([ch, i] {
          if (i % 4 == 0) (void)sleep(20us);
          if (i % 4 == 1) blocking_long([] { ::usleep(20); });
          if (i % 4 == 2) ::usleep(20);
          ch.send(i);
        });
        EXPECT_EQ(ch.recv(), i);
        if (i % 40 == 0) {
          std::thread([fd] {
            ::usleep(100);
            const std::uint64_t one = 1;
            [[maybe_unused]] const auto n = ::write(fd, &one, sizeof one);
          }).detach();
          EXPECT_TRUE(event->prepare(detail::PollMode::read).has_value());
          std::uint64_t drain;
          while (::read(fd, &drain, sizeof drain) < 0) {
            EXPECT_TRUE(event->wait(detail::PollMode::read).has_value());
            EXPECT_TRUE(event->prepare(detail::PollMode::read).has_value());
          }
        }
      }
    });
    std::_Exit(::testing::Test::HasFailure() ? 1 : 0);
  };
  for (int i = 0; i < 3; ++i) EXPECT_EXIT(child(), ExitedWithCode(0), "");
}

}  // namespace
}  // namespace treadle
