// With one P and a hog: how late a goroutine that sleeps 1 ms at a time wakes up.
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>

#include <treadle/go.h>
#include <treadle/timer.h>
#include <treadle/wait_group.h>

#include "micro.h"

namespace micro {

namespace {

constexpr std::int64_t kSleep = 1'000'000;
constexpr std::int64_t kWatch = 1'000'000'000;

std::vector<std::int64_t> watch_sleeper() {
  std::vector<std::int64_t> late;
  const std::int64_t end = now() + kWatch;
  for (std::int64_t t = now(); t < end;) {
    (void)treadle::sleep(std::chrono::nanoseconds(kSleep));
    const std::int64_t woke = now();
    late.push_back(woke - t - kSleep);
    t = woke;
  }
  return late;
}

// Computes and calls nothing for `duration`, or until told to stop.
void compute(std::int64_t duration, const std::atomic<bool>& stop) {
  const std::int64_t end = now() + duration;
  std::uint64_t x = 1;
  while (!stop.load(std::memory_order_relaxed) && now() < end)
    for (int i = 0; i < 10'000; ++i) benchmark::DoNotOptimize(x = x * 6364136223846793005u + 1);
}

template <class Hog, class Stop>
void beside(benchmark::State& state, Hog hog, Stop stop) {
  treadle::WaitGroup ended;
  ended.add(1);
  treadle::go([&] {
    hog();
    ended.done();
  });
  const std::vector<std::int64_t> late = watch_sleeper();
  stop();
  ended.wait();
  report_delays(state, late);
}

// Never enters the runtime.
void beside_computing(benchmark::State& state) {
  std::atomic<bool> stop{false};
  beside(state, [&] { compute(100 * kWatch, stop); }, [&] { stop = true; });
}

// Computes 20 ms at a time and yields in between: the hog that comes back.
void beside_bursts(benchmark::State& state) {
  std::atomic<bool> stop{false};
  beside(
      state,
      [&] {
        while (!stop) {
          compute(20'000'000, stop);
          treadle::gosched();
        }
      },
      [&] { stop = true; });
}

// Sits in one read of a pipe, which nothing announces.
void beside_read(benchmark::State& state) {
  std::array<int, 2> ends{};
  if (::pipe(ends.data()) != 0) {
    state.SkipWithError("no pipe");
    return;
  }
  beside(
      state,
      [&] {
        char byte = 0;
        benchmark::DoNotOptimize(::read(ends[0], &byte, 1));
      },
      [&] { ::close(ends[1]); });
  ::close(ends[0]);
}

}  // namespace

void add_preemption_cases() {
  add_single("preempt-nothing", [](benchmark::State& s) { report_delays(s, watch_sleeper()); });
  add_single("preempt-compute", &beside_computing);
  add_single("preempt-bursts", &beside_bursts);
  add_single("preempt-read", &beside_read);
}

}  // namespace micro
