// Goroutines held still for inspection, and their unused stacks trimmed.
#include "runtime/scan.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include <treadle/chan.h>
#include <treadle/go.h>
#include <treadle/runtime.h>
#include <treadle/wait_group.h>

#include "runtime/note.h"
#include "runtime/sched.h"
#include "support/goroutine.h"

namespace treadle {
namespace {

using test::Task;

rt::G* calling_g() {
  rt::M* m = rt::getm();
  return m->curg;
}

// Touches `bytes` of stack below the caller's frame: by addresses, since a frame's size is the
// compiler's and the sanitizers' to choose.
[[gnu::noinline]] std::size_t descend(std::size_t bytes, std::uintptr_t top) {
  volatile char frame[512];
  for (std::size_t i = 0; i < sizeof frame; i += 64) frame[i] = static_cast<char>(i);
  const auto here = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
  if (top - here >= bytes) return 1;
  return 1 + descend(bytes, top) + static_cast<std::size_t>(frame[0]);
}
[[gnu::noinline]] void use_stack(std::size_t bytes) {
  (void)descend(bytes, reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0)));
}

std::size_t resident_pages(const rt::Stack& s) {
  std::vector<unsigned char> present(s.size() / 4096);
  EXPECT_EQ(::mincore(s.low, s.size(), present.data()), 0);
  return static_cast<std::size_t>(
      std::count_if(present.begin(), present.end(), [](unsigned char p) { return p & 1; }));
}

std::int64_t far_future() { return rt::nanotime() + 3'600'000'000'000; }

TEST(ScanClaim, AHeldGoroutineDoesNotRunUntilItIsLetGo) {
  test::run([] {
    std::atomic<std::uint64_t> turns{0};
    std::atomic<bool> stop{false};
    rt::G* victim = nullptr;
    auto started = make_chan<int>();
    Task runner([&] {
      victim = calling_g();
      started.send(1);
      while (!stop.load()) {
        turns.fetch_add(1);
        gosched();
      }
    });
    started.recv();
    std::thread inspector([&] {
      for (int held = 0; held < 200;) {
        rt::G* g = victim;
        const rt::LockGuard one(rt::scan_lock);
        rt::scan_begin({&g, 1});
        if (!g) {
          std::this_thread::yield();
          continue;
        }
        ++held;
        const std::uint64_t before = turns.load();
        for (int i = 0; i < 200; ++i) rt::cpu_relax();
        EXPECT_EQ(turns.load(), before);
        rt::scan_end({&g, 1});
      }
      stop.store(true);
    });
    // Something else to run, so that the victim is queued now and then.
    while (!stop.load()) gosched();
    inspector.join();
    runner.join();
  });
}

TEST(ScanClaim, ARunningGoroutineIsNotHeld) {
  test::run([] {
    rt::G* self = calling_g();
    std::thread inspector([self] {
      rt::G* g = self;
      const rt::LockGuard one(rt::scan_lock);
      rt::scan_begin({&g, 1});
      EXPECT_EQ(g, nullptr);
      EXPECT_EQ(self->scan.load(), 0u);
    });
    inspector.join();  // blocks the thread: the goroutine counts as running all the while
  });
}

TEST(ScanClaim, OneThatHasNotRunYetHasNothingToHold) {
  if (test::seeded_scheduler()) GTEST_SKIP() << "a go() may hand the P on at random";
  test::run([] {
    rt::G* self = calling_g();
    std::atomic<int> unstarted{0};
    WaitGroup wg;
    wg.add(64);
    for (int i = 0; i < 64; ++i) go([&wg] { wg.done(); });
    rt::for_each_g(
        [](rt::G* g, void* arg) {
          if (g->status.load() != rt::GStatus::runnable) return;
          rt::G* one = g;
          rt::scan_begin({&one, 1});
          if (!one) static_cast<std::atomic<int>*>(arg)->fetch_add(1);
          rt::scan_end({&one, 1});
        },
        &unstarted);
    EXPECT_EQ(calling_g(), self);
    if (max_procs() == 1) {
      EXPECT_GE(unstarted.load(), 64);
    }
    wg.wait();
  });
}

TEST(ScanSweep, AParkedGoroutineGivesBackWhatItDoesNotUse) {
  test::run([] {
    auto gate = make_chan<int>();
    rt::G* g = nullptr;
    std::uint64_t sum = 0;
    Task deep([&] {
      g = calling_g();
      std::uint64_t kept[64];
      for (std::uint64_t i = 0; i < 64; ++i) kept[i] = i;
      use_stack(150 << 10);
      gate.recv();
      for (std::uint64_t k : kept) sum += k;
    });
    deep.wait_until_parked();
    EXPECT_GE(resident_pages(*g->stack), 30u);
    rt::sweep_parked_stacks(far_future());
    EXPECT_LE(resident_pages(*g->stack), 3u);
    gate.send(1);
    deep.join();
    EXPECT_EQ(sum, 64u * 63 / 2);
  });
}

TEST(ScanSweep, AParkIsTrimmedOnceAndTheNextOneAgain) {
  test::run([] {
    auto gate = make_chan<int>();
    rt::G* g = nullptr;
    Task deep([&] {
      g = calling_g();
      for (int i = 0; i < 2; ++i) {
        use_stack(100 << 10);
        gate.recv();
      }
    });
    deep.wait_until_parked();
    rt::sweep_parked_stacks(far_future());
    const std::int64_t first = g->trimmed_wait;
    EXPECT_EQ(first, g->waiting_since.load());
    // The coarse clock must move on, or the next wait would look like this one.
    while (rt::nanotime() < first + 20'000'000) gosched();
    gate.send(1);
    deep.wait_until_parked();
    EXPECT_GE(resident_pages(*g->stack), 20u);
    rt::sweep_parked_stacks(far_future());
    EXPECT_LE(resident_pages(*g->stack), 3u);
    gate.send(1);
  });
}

TEST(ScanSweep, TheYoungAreCountedAndLeftAlone) {
  test::run([] {
    auto gate = make_chan<int>();
    rt::G* g = nullptr;
    Task deep([&] {
      g = calling_g();
      use_stack(100 << 10);
      gate.recv();
    });
    deep.wait_until_parked();
    EXPECT_GE(rt::sweep_parked_stacks(0), 1u);
    EXPECT_GE(resident_pages(*g->stack), 20u);
    gate.send(1);
  });
}

// Every value arrives and every frame is whole while another thread trims and holds all the time.
TEST(ScanSweep, SweepsBesideBusyGoroutinesLoseNothing) {
  test::run([] {
    constexpr int kPairs = 20;
    constexpr int kRounds = 300;
    std::atomic<bool> stop{false};
    std::thread sweeper([&] {
      while (!stop.load()) {
        rt::sweep_parked_stacks(far_future());
        std::this_thread::yield();
      }
    });
    std::vector<std::unique_ptr<Task>> tasks;
    for (int i = 0; i < kPairs; ++i) {
      auto to = make_chan<int>();
      auto back = make_chan<int>();
      tasks.push_back(std::make_unique<Task>([to, back] {
        for (int v : to) {
          volatile int copy[200];
          for (volatile int& c : copy) c = v;
          gosched();
          for (volatile int& c : copy) ASSERT_EQ(c, v);
          back.send(v + 1);
        }
      }));
      tasks.push_back(std::make_unique<Task>([to, back] {
        for (int r = 0; r < kRounds; ++r) {
          use_stack(16 << 10);
          to.send(r);
          ASSERT_EQ(back.recv(), r + 1);
        }
        to.close();
      }));
    }
    for (auto& t : tasks) t->join();
    stop.store(true);
    sweeper.join();
  });
}

}  // namespace
}  // namespace treadle
