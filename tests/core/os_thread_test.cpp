#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

#include <treadle/blocking.h>
#include <treadle/chan.h>
#include <treadle/goroutine_local.h>
#include <treadle/mutex.h>
#include <treadle/os_thread.h>
#include <treadle/runtime.h>
#include <treadle/task.h>
#include <treadle/testing.h>
#include <treadle/timer.h>
#include <treadle/wait_group.h>

#include "support/goroutine.h"

namespace treadle {
namespace {

// Asked anew each time: a tied goroutine's answers must not differ, others' may.
[[gnu::noinline]] long tid() {
  asm volatile("" ::: "memory");
  return ::syscall(SYS_gettid);
}

thread_local int mark = 0;
[[gnu::noinline]] int& thread_mark() {
  asm volatile("" ::: "memory");
  return mark;
}
[[gnu::noinline]] int& thread_errno() {
  asm volatile("" ::: "memory");
  return errno;
}

// Ties up the P for as long as it takes others to find out.
void compute_until(const std::atomic<bool>& stop) {
  while (!stop.load(std::memory_order_relaxed)) {
  }
}

TEST(OsThreadLock, StaysOnItsThreadWhateverItDoes) {
  test::run([] {
    auto ping = make_chan<int>(), pong = make_chan<int>();
    auto echo = spawn([ping, pong] {
      for (auto v = ping.recv(); v; v = ping.recv()) pong.send(*v);
    });
    spawn([&] {
      OsThreadLock lock;
      const long home = tid();
      for (int i = 0; i < 200; ++i) {
        gosched();
        EXPECT_EQ(tid(), home);
        ping.send(i);
        EXPECT_EQ(tid(), home);
        EXPECT_EQ(pong.recv(), i);
        EXPECT_EQ(tid(), home);
      }
      (void)sleep(std::chrono::milliseconds(1));
      EXPECT_EQ(tid(), home);
      blocking([] { ::usleep(300); });
      blocking_long([] { ::usleep(300); });
      EXPECT_EQ(tid(), home);
      Mutex m;
      m.lock();
      go([&] { m.unlock(); });
      m.lock();
      m.unlock();
      EXPECT_EQ(tid(), home);
    }).join();
    ping.close();
    echo.join();
  });
}

TEST(OsThreadLock, KeepsThreadLocalStateAcrossParks) {
  test::run([] {
    constexpr int kGoroutines = 8;
    std::vector<Task<void>> tasks;
    for (int i = 1; i <= kGoroutines; ++i)
      tasks.push_back(spawn([i] {
        OsThreadLock lock;
        thread_mark() = i;
        sigset_t usr1, now;
        ::sigemptyset(&usr1);
        ::sigaddset(&usr1, SIGUSR1);
        if (i % 2) ::pthread_sigmask(SIG_UNBLOCK, &usr1, nullptr);
        for (int k = 0; k < 50; ++k) {
          gosched();
          EXPECT_EQ(thread_mark(), i);
          ::pthread_sigmask(SIG_SETMASK, nullptr, &now);
          EXPECT_EQ(::sigismember(&now, SIGUSR1), i % 2 ? 0 : 1);
          thread_errno() = 1000 + i;
          EXPECT_EQ(thread_errno(), 1000 + i);
        }
        ::pthread_sigmask(SIG_BLOCK, &usr1, nullptr);
        thread_mark() = 0;
      }));
    for (auto& t : tasks) t.join();
  });
}

TEST(OsThreadLock, ThreadRunsNobodyElse) {
  test::run([] {
    std::atomic<long> home{0};
    auto gate = make_chan<int>();
    auto tied = spawn([&] {
      OsThreadLock lock;
      home = tid();
      (void)gate.recv();
      EXPECT_EQ(tid(), home);
    });
    while (home == 0) gosched();
    std::vector<Task<void>> others;
    for (int i = 0; i < 50; ++i)
      others.push_back(spawn([&] {
        for (int k = 0; k < 50; ++k) {
          EXPECT_NE(tid(), home);
          gosched();
        }
      }));
    for (auto& t : others) t.join();
    gate.close();
    tied.join();
  });
}

TEST(OsThreadLock, NestsAndForgivesOneUnlockTooMany) {
  test::run([] {
    unlock_os_thread();
    lock_os_thread();
    lock_os_thread();
    const long home = tid();
    unlock_os_thread();
    for (int i = 0; i < 20; ++i) {
      gosched();
      EXPECT_EQ(tid(), home);
    }
    unlock_os_thread();
    unlock_os_thread();
    lock_os_thread();
    const long again = tid();
    gosched();
    EXPECT_EQ(tid(), again);
    unlock_os_thread();
  });
}

TEST(OsThreadLock, UnlockedOneMovesAgain) {
  test::run([] {
    {
      OsThreadLock lock;
    }
    const long first = tid();
    bool moved = false;
    while (!moved) {  // as ExceptionCatch.GoesOnOnAnotherThread does it
      auto ch = make_chan<int>();
      std::atomic<bool> woken{false};
      test::Task sleeper([&] {
        {
          OsThreadLock lock;
          gosched();
        }
        const long before = tid();
        (void)ch.recv();
        moved = tid() != before;
        woken = true;
      });
      sleeper.wait_until_parked();
      ch.send(1);
      compute_until(woken);
    }
    (void)first;
  });
}

TEST(OsThreadLock, ChildrenAreNotTied) {
  test::run([] {
    OsThreadLock lock;
    const long home = tid();
    for (int i = 0; i < 20; ++i)
      EXPECT_NE(spawn([] {
                  gosched();
                  return tid();
                }).join(),
                home);
  });
}

TEST(OsThreadLock, DoesNothingOnAPlainThread) {
  OsThreadLock lock;
  unlock_os_thread();
  unlock_os_thread();
  EXPECT_EQ(spawn([] { return 3; }).join(), 3);
}

std::atomic<int> gone{0};
struct Leaves {
  bool armed = false;
  ~Leaves() {
    if (armed) ++gone;
  }
};
thread_local Leaves leaves;

TEST(OsThreadEnd, TakesTheThreadWithIt) {
  gone = 0;
  test::run([] {
    for (int i = 0; i < 20; ++i) {
      spawn([] {
        lock_os_thread();
        leaves.armed = true;
        gosched();
      }).join();
    }
    while (gone < 20) (void)sleep(std::chrono::milliseconds(1));
    // Threads that were unlocked in time stay, clean or not.
    EXPECT_EQ(gone, 20);
  });
}

TEST(OsThreadEnd, LeavesNoTraceOnTheNextGoroutine) {
  test::run([] {
    for (int i = 0; i < 300; ++i) {
      spawn([] {
        EXPECT_EQ(thread_mark(), 0);
        lock_os_thread();
        thread_mark() = 1;
      }).join();
      EXPECT_EQ(spawn([] { return thread_mark(); }).join(), 0);
    }
  });
}

TEST(OsThreadMany, PingPongEndsInOrder) {
  test::run([] {
    constexpr int kPairs = 10, kTurns = 100;
    std::vector<Task<void>> tasks;
    for (int i = 0; i < kPairs; ++i) {
      auto there = make_chan<int>(), back = make_chan<int>();
      tasks.push_back(spawn([there, back] {
        OsThreadLock lock;
        const long home = tid();
        for (int k = 0; k < kTurns; ++k) {
          there.send(k);
          EXPECT_EQ(back.recv(), k);
          EXPECT_EQ(tid(), home);
        }
      }));
      tasks.push_back(spawn([there, back] {
        OsThreadLock lock;
        const long home = tid();
        for (int k = 0; k < kTurns; ++k) {
          back.send(*there.recv());
          EXPECT_EQ(tid(), home);
        }
      }));
    }
    for (auto& t : tasks) t.join();
  });
}

TEST(OsThreadMany, MixWithOthersAndHogs) {
  test::run([] {
    std::atomic<bool> stop{false};
    std::vector<Task<void>> hogs, tied;
    for (int i = 0; i < 2; ++i) hogs.push_back(spawn([&] { compute_until(stop); }));
    for (int i = 0; i < 6; ++i)
      tied.push_back(spawn([&, i] {
        OsThreadLock lock;
        const long home = tid();
        for (int k = 0; k < 20; ++k) {
          if (i == 0) {  // its P is taken away while it computes
            const auto until = Deadline::after(std::chrono::milliseconds(12));
            while (!until.passed()) {
            }
          }
          (void)runtime_stats();
          EXPECT_EQ(tid(), home);
          gosched();
          EXPECT_EQ(tid(), home);
        }
      }));
    for (auto& t : tied) t.join();
    stop = true;
    for (auto& t : hogs) t.join();
  });
}

TEST(OsThreadMany, SurviveChangesOfMaxProcs) {
  test::run([] {
    const int before = max_procs();
    std::atomic<bool> stop{false};
    std::vector<Task<void>> tied;
    for (int i = 0; i < 4; ++i)
      tied.push_back(spawn([&] {
        OsThreadLock lock;
        const long home = tid();
        while (!stop) {
          gosched();
          EXPECT_EQ(tid(), home);
        }
      }));
    for (int i = 0; i < 50; ++i) {
      (void)set_max_procs(1 + i % 4);
      gosched();
    }
    stop = true;
    for (auto& t : tied) t.join();
    (void)set_max_procs(before);
  });
}

TEST(OsThreadException, CaughtAcrossParks) {
  test::run([] {
    std::vector<Task<void>> tied;
    for (int i = 0; i < 5; ++i)
      tied.push_back(spawn([i] {
        OsThreadLock lock;
        try {
          throw i;
        } catch (int outer) {
          for (int k = 0; k < 20; ++k) gosched();
          try {
            throw;
          } catch (int again) {
            EXPECT_EQ(again, i);
          }
          EXPECT_EQ(outer, i);
        }
        EXPECT_FALSE(std::current_exception());
      }));
    for (auto& t : tied) t.join();
    auto throws = spawn([] {
      OsThreadLock lock;
      gosched();
      throw std::runtime_error("tied");
    });
    EXPECT_THROW(throws.join(), std::runtime_error);
  });
}

TEST(OsThreadLocal, DestructorsRunOnTheTiedThread) {
  static std::atomic<long> seen{0};
  struct Sees {
    ~Sees() {
      gosched();
      seen = tid();
    }
  };
  seen = 0;
  test::run([] {
    GoroutineLocal<Sees> sees;
    const long home = spawn([&] {
                        (void)sees.get();
                        lock_os_thread();
                        return tid();
                      }).join();
    while (seen == 0) gosched();
    EXPECT_EQ(seen, home);
  });
}

TEST(OsThreadLimit, IsAnErrorWhenNoThreadWouldBeLeft) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        ::alarm(60);
        run({.max_procs = 2, .max_threads = 8}, [] {
          auto gate = make_chan<int>();
          auto out = make_chan<bool>(20);
          for (int i = 0; i < 20; ++i)
            go([gate, out] {
              try {
                OsThreadLock lock;
                out.send(true);
                (void)gate.recv();
              } catch (const std::system_error& e) {
                out.send(e.code() != std::errc::resource_unavailable_try_again);
              }
            });
          int tied = 0, refused = 0;
          for (int i = 0; i < 20; ++i) ++(*out.recv() ? tied : refused);
          // The others still run.
          const int sum = spawn([] { return 1; }).join();
          std::_Exit(tied == 7 && refused == 13 && sum == 1 ? 0 : 1);
        });
      },
      ::testing::ExitedWithCode(0), "");
}

TEST(OsThreadVirtual, WaitsForAThreadInRealTime) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto body = [] {
    run({.max_procs = 1}, [] {
      // The first thing of a process: the thread that takes over is still being made.
      treadle::testing::run_virtual([] {
        OsThreadLock lock;
        auto ch = make_chan<int>();
        go([ch] {
          OsThreadLock mine;
          sleep(std::chrono::hours(1)).value();
          ch.send(1);
        });
        ch.recv();
      });
    });
    _exit(0);
  };
  EXPECT_EXIT(body(), ::testing::ExitedWithCode(0), "");
}

TEST(OsThreadDeadlock, IsSeenThroughTiedOnes) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(run({.max_procs = 2},
                  [] {
                    go([] {
                      OsThreadLock lock;
                      (void)Chan<int>().recv();
                    });
                    OsThreadLock lock;
                    (void)Chan<int>().recv();
                  }),
              ::testing::ExitedWithCode(2), "all goroutines are asleep");
}

}  // namespace
}  // namespace treadle
