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
#include "runtime/sanitizer.h"
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

// The negative control: the protocol alone, with the stores and loads of runtime/sched.h. One side
// publishes work and looks for an idle P, the other gives its P up and looks for work. Without the
// two fences both miss now and then, so the processor does reorder what they keep in order.
struct Protocol {
  alignas(64) std::atomic<int> queued{0};
  alignas(64) std::atomic<int> idle{0};
  alignas(64) std::atomic<unsigned> round{0};
  alignas(64) std::atomic<unsigned> ended{0};
};

// How often both sides missed; stops at the first when `stop_at_one`.
unsigned both_missed(bool fences, unsigned rounds, bool stop_at_one) {
  Protocol p;
  std::atomic<bool> stop{false};
  int saw_work = 0;  // by the consumer; read once it has ended its round
  const auto fence = [fences] {
    if (fences)
      std::atomic_thread_fence(std::memory_order_seq_cst);
    else
      std::atomic_signal_fence(std::memory_order_seq_cst);
  };
  std::thread consumer([&] {
    for (unsigned r = 1; !stop; ++r) {
      while (p.round.load(std::memory_order_acquire) != r && !stop) {
      }
      p.idle.store(1, std::memory_order_relaxed);
      fence();
      saw_work = p.queued.load(std::memory_order_relaxed);
      p.ended.store(r, std::memory_order_release);
    }
  });
  unsigned missed = 0;
  const Deadline end = Deadline::after(std::chrono::seconds(fences ? 3 : 20));
  for (unsigned r = 1; r <= rounds && !(missed && stop_at_one); ++r) {
    p.queued.store(0, std::memory_order_relaxed);
    p.idle.store(0, std::memory_order_relaxed);
    p.round.store(r, std::memory_order_release);
    for (unsigned i = r % 64; i > 0; --i) asm volatile("");
    p.queued.store(1, std::memory_order_relaxed);
    fence();
    const int saw_idle = p.idle.load(std::memory_order_relaxed);
    for (int spins = 0; p.ended.load(std::memory_order_acquire) != r; ++spins)
      rt::spin_pause(spins);
    if (!saw_idle && !saw_work) ++missed;
    if (r % 1024 == 0 && end.passed()) break;
  }
  stop = true;
  consumer.join();
  return missed;
}

TEST(WakeupLitmusControl, WithTheFencesNeverBothMiss) {
  EXPECT_EQ(both_missed(true, 20'000, false), 0u);
}

TEST(WakeupLitmusControl, WithoutThemBothMiss) {
  if (std::thread::hardware_concurrency() < 2) GTEST_SKIP() << "one CPU reorders nothing";
#if TREADLE_ASAN || TREADLE_TSAN
  GTEST_SKIP() << "under a sanitizer an atomic access is many instructions, and seldom overtaken";
#endif
  // It takes two CPUs at the same time, which other work may have.
  if (both_missed(false, 10'000'000, true) == 0)
    GTEST_SKIP() << "never both missed: the machine is too busy to show what the fences prevent";
}

}  // namespace
}  // namespace treadle
