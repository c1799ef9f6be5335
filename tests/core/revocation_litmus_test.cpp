// The take-away of a P against entries into the runtime: the protocol of runtime/syscall.h, on the
// real code, with a revoker that does nothing else.
//
// The property: whoever is inside the guard holds its P until it leaves. A hit is an M inside the
// guard whose P names another M, or none. The negative control leaves the membarrier out and must
// see hits; without it the test could not fail.
#include <gtest/gtest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>
#include <vector>

#include <treadle/blocking.h>
#include <treadle/go.h>
#include <treadle/runtime.h>
#include <treadle/timer.h>
#include <treadle/wait_group.h>

#include "runtime/revoke.h"
#include "runtime/sanitizer.h"
#include "runtime/sched.h"
#include "runtime/syscall.h"
#include "support/goroutine.h"

namespace treadle::rt {
namespace {

struct Tally {
  std::atomic<std::uint64_t> entries{0}, violations{0}, moved{0}, revoked{0};
  std::atomic<bool> stop{false};
};

// Inside the guard: the P must be ours from first to last look.
bool p_is_lost(M* m) {
  P* p = m->p.load(std::memory_order_relaxed);
  for (int i = 0; i < 8; ++i)
    if (!p || p->m.load(std::memory_order_relaxed) != m ||
        (m->req.load(std::memory_order_relaxed) & kReqMask) == kReqLost)
      return true;
  return false;
}

// User code of a random length, up to several times what a revocation takes: the revoker must find
// Ms outside the guard as well as at its edge.
void outside(std::uint64_t& random) {
  random = random * 6364136223846793005u + 1442695040888963407u;
  for (std::uint64_t i = random >> 48; i > 0; --i) asm volatile("");
}

// Enters and leaves, as try_send or unlock do: never moved to another thread.
void churn(Tally& tally) {
  std::uint64_t random = 1;
  std::uint64_t entries = 0, violations = 0, moved = 0;
  const pthread_t self = ::pthread_self();
  while (!tally.stop.load(std::memory_order_relaxed)) {
    {
      Entry entry;
      violations += p_is_lost(entry.m());
    }
    if (entries % 16 == 0) outside(random);
    moved += !::pthread_equal(self, ::pthread_self());
    ++entries;
  }
  tally.entries += entries;
  tally.violations += violations;
  tally.moved += moved;
}

// The same with parking entries, which may move, and give way when asked.
void churn_parking(Tally& tally) {
  std::uint64_t entries = 0, violations = 0, random = 2;
  while (!tally.stop.load(std::memory_order_relaxed)) {
    {
      ParkingEntry entry;
      violations += p_is_lost(getm());
    }
    if (entries % 16 == 0) outside(random);
    if (++entries % 64 == 0) gosched();
  }
  tally.entries += entries;
  tally.violations += violations;
}

void revoke(Tally& tally) {
  std::uint64_t n = 0;
  while (!tally.stop.load(std::memory_order_relaxed))
    for (P* p : sched.ps) n += revoke_once(p);
  tally.revoked += n;
}

// Until that many Ps were taken, or five seconds have passed: on a loaded machine a revocation may
// take milliseconds.
constexpr std::uint64_t kGoal = 3'000;

void litmus(Tally& tally, int goroutines) {
  test::run([&] {
    WaitGroup wg;
    wg.add(goroutines);
    for (int i = 0; i < goroutines; ++i)
      go([&tally, &wg, i] {
        i % 2 ? churn_parking(tally) : churn(tally);
        wg.done();
      });
    std::thread revoker([&] {
      std::uint64_t n = 0;
      const auto end = Deadline::after(std::chrono::seconds(5));
      while (n < kGoal && !end.passed() && tally.violations.load(std::memory_order_relaxed) == 0)
        for (P* p : sched.ps) n += revoke_once(p);
      tally.revoked += n;
      tally.stop.store(true, std::memory_order_relaxed);
    });
    blocking_long([&] { revoker.join(); });
    wg.wait();
  });
}

TEST(RevocationLitmus, NobodyLosesItsPInsideTheRuntime) {
  Tally tally;
  litmus(tally, 2);
  EXPECT_EQ(tally.violations, 0u) << "in " << tally.entries << " entries";
  EXPECT_EQ(tally.moved, 0u) << "a non-parking entry moved its goroutine to another thread";
  EXPECT_GE(tally.revoked, 20u) << "too few revocations to mean anything";
}

TEST(RevocationLitmus, MoreGoroutinesThanPs) {
  Tally tally;
  litmus(tally, 9);
  EXPECT_EQ(tally.violations, 0u) << "in " << tally.entries << " entries";
  EXPECT_EQ(tally.moved, 0u);
}

// Work that is queued on a P which changes hands is neither lost nor run twice.
TEST(RevocationLitmus, QueuedGoroutinesSurviveTheHandOff) {
  Tally tally;
  constexpr int kRounds = 200, kEach = 64;
  std::atomic<int> ran{0};
  test::run([&] {
    std::thread revoker([&] { revoke(tally); });
    for (int r = 0; r < kRounds; ++r) {
      WaitGroup wg;
      wg.add(kEach);
      for (int i = 0; i < kEach; ++i)
        go([&] {
          ran.fetch_add(1, std::memory_order_relaxed);
          wg.done();
        });
      wg.wait();
    }
    tally.stop = true;
    blocking_long([&] { revoker.join(); });
  });
  EXPECT_EQ(ran, kRounds * kEach);
}

#if !TREADLE_TSAN && !TREADLE_ASAN  // they slow the entry down until the window is closed
// In a process of its own: once the P has two owners, anything may happen to it. Seeing a hit, or
// coming to grief by one, is what must happen.
[[noreturn]] void without_membarrier() {
  membarrier_omit_for_litmus();
  ::alarm(60);
  for (int i = 0; i < 2; ++i)
    go([] {
      for (;;) {
        bool lost;
        {
          Entry entry;
          lost = p_is_lost(entry.m());
        }
        if (lost) ::_exit(42);
      }
    });
  for (;;)
    for (P* p : sched.ps) revoke_once(p);
}

// The revoker has seen a guard of zero; then the M enters, withdraws the ask and hands its P over
// by a hint. The revoker is too late, and must not change what the M gave as the reason: that says
// whether the call is counted as blocking.
TEST(RevocationLitmus, ARevokerThatComesTooLateChangesNothing) {
  P p;
  M m;
  m.guard.store(0);
  m.p.store(&p);
  p.m.store(&m);
  m.req.store(kReqSlow | req_lost(Lost::hinted));
  EXPECT_FALSE(take({&p, &m, p.schedtick.load(), Lost::slice_over}));
  EXPECT_EQ(m.req.load() & kReqMask, kReqLost);
  EXPECT_EQ(lost_how(m.req.load()), Lost::hinted);
  EXPECT_EQ(p.m.load(), &m);
  clear_req(&m);
  EXPECT_EQ(m.req.load(), kReqSlow);
  EXPECT_TRUE(ask(&m));
  EXPECT_TRUE(take({&p, &m, p.schedtick.load(), Lost::stopped}));
  EXPECT_EQ(lost_how(m.req.load()), Lost::stopped);
  EXPECT_EQ(p.m.load(), nullptr);
  sched.detached.fetch_sub(1);  // take() counted it
}

TEST(RevocationLitmusControl, WithoutTheBarrierThereAreViolations) {
  if (!membarrier_available() && sched.started) GTEST_SKIP() << "entries have fences of their own";
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      without_membarrier(),
      [](int status) {
        // Exit 42 is a hit; SIGSEGV or SIGABRT what a hit leads to. SIGALRM: none was seen.
        return WIFSIGNALED(status) ? WTERMSIG(status) != SIGALRM : WEXITSTATUS(status) == 42;
      },
      "");
}
#endif

}  // namespace
}  // namespace treadle::rt
