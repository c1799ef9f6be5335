// The lost-wake-up protocol of runtime/sched.h: work is published, then spinners are looked for; an
// M stops spinning, then looks at all queues again.
//
// A wake-up that is lost leaves a goroutine on a queue with every M asleep: the test then does not
// end, and the watchdog names the goroutine. Each round lets the Ms run out of work, so that each
// wake-up races with Ms on their way to sleep.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include <treadle/blocking.h>
#include <treadle/chan.h>
#include <treadle/go.h>
#include <treadle/timer.h>
#include <treadle/wait_group.h>

#include "runtime/note.h"
#include "support/goroutine.h"

namespace treadle {
namespace {

// Burns a varying moment, so that the rounds hit every phase of going to sleep.
void jitter(unsigned round) {
  for (unsigned i = 0; i < round * 7919 % 2048; ++i) asm volatile("");
}

// From outside: a plain thread readies a goroutine just as the last M parks.
TEST(WakeupLitmus, PlainThreadAgainstTheLastMGoingToSleep) {
  constexpr unsigned kRounds = 5'000;
  auto ping = make_chan<unsigned>();
  auto pong = make_chan<unsigned>();
  test::run([&] {
    std::thread outside([&] {
      for (unsigned i = 0; i < kRounds; ++i) {
        ping.send(i);
        EXPECT_EQ(pong.recv(), i);
        jitter(i);
      }
      ping.close();
    });
    for (unsigned i : ping) {
      jitter(i * 31);
      pong.send(i);
    }
    blocking_long([&] { outside.join(); });
  });
}

// From several threads at once, each with a goroutine of its own.
TEST(WakeupLitmus, ManyPlainThreads) {
  constexpr unsigned kThreads = 4, kRounds = 1'000;
  test::run([&] {
    std::vector<std::thread> threads;
    WaitGroup wg;
    for (unsigned t = 0; t < kThreads; ++t) {
      auto ping = make_chan<unsigned>(t % 2);
      auto pong = make_chan<unsigned>();
      wg.add(1);
      go([&wg, ping, pong] {
        for (unsigned i : ping) pong.send(i);
        wg.done();
      });
      threads.emplace_back([ping, pong, t] {
        for (unsigned i = 0; i < kRounds; ++i) {
          ping.send(i);
          EXPECT_EQ(pong.recv(), i);
          jitter(i + t * 97);
        }
        ping.close();
      });
    }
    wg.wait();
    blocking_long([&] {
      for (auto& t : threads) t.join();
    });
  });
}

// From inside: a goroutine makes work and then waits for it without giving its P, so that another P
// has to come for it, or sysmon.
TEST(WakeupLitmus, WorkLeftBehindByABusyGoroutineIsFound) {
  constexpr unsigned kRounds = 500;
  test::run([&] {
    for (unsigned r = 0; r < kRounds; ++r) {
      std::atomic<bool> ran{false};
      WaitGroup wg;
      wg.add(1);
      go([&] {
        ran.store(true, std::memory_order_release);
        wg.done();
      });
      if (r % 10 == 0)
        while (!ran.load(std::memory_order_acquire)) rt::cpu_relax();
      wg.wait();
      jitter(r);
    }
  });
}

// A timer that becomes due as its P goes idle.
TEST(WakeupLitmus, TimersAgainstGoingIdle) {
  constexpr int kGoroutines = 8, kRounds = 100;
  test::run([&] {
    WaitGroup wg;
    wg.add(kGoroutines);
    for (int g = 0; g < kGoroutines; ++g)
      go([&wg, g] {
        for (int i = 0; i < kRounds; ++i) sleep(std::chrono::microseconds((i * 13 + g * 7) % 200));
        wg.done();
      });
    wg.wait();
  });
}

}  // namespace
}  // namespace treadle
