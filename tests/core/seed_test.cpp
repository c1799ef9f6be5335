// The seeded scheduler: with one P a seed decides the order in which goroutines run.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <set>
#include <string>

#include <treadle/chan.h>
#include <treadle/go.h>
#include <treadle/runtime.h>
#include <treadle/testing.h>
#include <treadle/wait_group.h>

#include "support/goroutine.h"
#include "support/spawn.h"

namespace treadle {
namespace {

constexpr int kTraced = 12, kTracedSteps = 12;

// Goroutines that meet in channels and gosched(), and write down when they were there.
std::string interleaving() {
  std::string trace;
  WaitGroup wg;
  wg.add(kTraced);
  auto ch = make_chan<int>(2);
  auto lock = make_chan<int>(1);  // a Mutex looks at the clock
  for (int g = 0; g < kTraced; ++g)
    go([&, g] {
      for (int i = 0; i < kTracedSteps; ++i) {
        if (g % 2)
          ch.send(g);
        else
          (void)ch.recv();
        lock.send(0);
        trace += static_cast<char>('a' + g);
        gosched();
        (void)lock.recv();
      }
      wg.done();
    });
  wg.wait();
  return trace;
}

// In a process of its own, whose seed the environment gives. Not a test by itself.
TEST(SeedChild, DISABLED_PrintsItsInterleaving) {
  std::string trace;
  const RuntimeStats before = runtime_stats();
  test::run([&] { trace = interleaving(); });
  const RuntimeStats after = runtime_stats();
  std::printf("TRACE %s\n", trace.c_str());
  std::printf("DISTURBED %llu\n",
              static_cast<unsigned long long>(after.preemptions + after.yields_on_request -
                                              before.preemptions - before.yields_on_request));
}

std::string word_after(const std::string& text, const std::string& mark) {
  const std::size_t at = text.find(mark);
  if (at == std::string::npos) return {};
  const std::size_t from = at + mark.size();
  return text.substr(from, text.find('\n', from) - from);
}

test::Process child_with(std::string seed) {
  char self[4096] = {};
  if (::readlink("/proc/self/exe", self, sizeof self - 1) < 0) std::abort();
  test::SpawnOptions options;
  options.environment = {"TREADLE_SCHED_SEED=" + std::move(seed), "TREADLE_MAXPROCS=1"};
  return test::Process({self, "--gtest_also_run_disabled_tests",
                        "--gtest_filter=SeedChild.DISABLED_PrintsItsInterleaving"},
                       options);
}

// What the scheduler's own thread did is an outside event: such a run says nothing, and is
// repeated.
std::string trace_of(const std::string& seed) {
  for (int attempt = 0; attempt < 20; ++attempt) {
    test::Process child = child_with(seed);
    EXPECT_EQ(child.wait(), 0) << child.output();
    const std::string output = child.output();
    if (word_after(output, "DISTURBED ") == "0") return word_after(output, "TRACE ");
  }
  ADD_FAILURE() << "no undisturbed run";
  return {};
}

TEST(Seed, SameSeedGivesTheSameInterleaving) {
  for (const char* seed : {"1", "77"}) {
    const std::string first = trace_of(seed);
    ASSERT_EQ(first.size(), static_cast<std::size_t>(kTraced * kTracedSteps));
    for (int i = 0; i < 3; ++i) EXPECT_EQ(trace_of(seed), first) << "seed " << seed;
  }
}

TEST(Seed, DifferentSeedsGiveDifferentInterleavings) {
  std::set<std::string> traces;
  for (int seed = 1; seed <= 6; ++seed) traces.insert(trace_of(std::to_string(seed)));
  EXPECT_EQ(traces.size(), 6u);
}

TEST(Seed, OneThatIsNoNumberIsRefusedByName) {
  test::Process child = child_with("12x");
  EXPECT_NE(child.wait(), 0);
  EXPECT_NE(child.output().find("TREADLE_SCHED_SEED=12x: must be a number"), std::string::npos)
      << child.output();
}

TEST(SeedDeathTest, FatalReportsNameIt) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(run({.max_procs = 1, .sched_seed = 4711}, [] { throw 1; }),
               "TREADLE_SCHED_SEED=4711");
}

}  // namespace
}  // namespace treadle
