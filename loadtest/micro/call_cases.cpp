// System calls: what the hint costs when they are short, how soon the P is handed on when they are
// not.
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include <treadle/blocking.h>
#include <treadle/chan.h>
#include <treadle/go.h>

#include "micro.h"

namespace micro {

namespace {

constexpr int kCalls = 5'000;
constexpr int kChunks = 201;

// Nanoseconds a call, kCalls of them.
template <class F>
double time_calls(F&& call) {
  const std::int64_t begin = now();
  for (int i = 0; i < kCalls; ++i) call();
  return static_cast<double>(now() - begin) / kCalls;
}

// The difference between the medians of interleaved chunks: what blocking() adds to a getppid().
void blocking_hint(benchmark::State& state) {
  std::array<double, kChunks> bare{};
  std::array<double, kChunks> hinted{};
  for (std::size_t i = 0; i < kChunks; ++i) {
    bare[i] = time_calls([] { ::syscall(SYS_getppid); });
    hinted[i] = time_calls([] { treadle::blocking([] { return ::syscall(SYS_getppid); }); });
  }
  const auto median = [](auto& values) {
    std::nth_element(values.begin(), values.begin() + kChunks / 2, values.end());
    return values[kChunks / 2];
  };
  state.counters["bare_ns"] = median(bare);
  state.counters["over_ns"] = median(hinted) - median(bare);
}

// With one P: a goroutine is ready, ours enters a read that only that goroutine can end. What is
// measured is the time from our call to its first instruction.
template <class Wrap>
void hand_off(benchmark::State& state, int samples, Wrap&& wrap) {
  std::array<int, 2> ends{};
  if (::pipe(ends.data()) != 0) {
    state.SkipWithError("no pipe");
    return;
  }
  auto calls = treadle::make_chan<std::int64_t>(1);
  std::vector<std::int64_t> delays;
  treadle::go([&] {
    while (auto since = calls.recv()) {
      delays.push_back(now() - *since);
      if (::write(ends[1], "x", 1) != 1) break;
    }
    ::close(ends[1]);
  });
  char byte = 0;
  for (int i = 0; i < samples; ++i) {
    treadle::gosched();  // it waits in recv() again
    calls.send(now());
    wrap([&] { return ::read(ends[0], &byte, 1); });
  }
  calls.close();
  wrap([&] { return ::read(ends[0], &byte, 1); });
  ::close(ends[0]);
  report_delays(state, delays);
}

}  // namespace

void add_call_cases() {
  add_single("blocking", &blocking_hint);
  add_single("hand-off-hint", [](benchmark::State& state) {
    hand_off(state, 1000, [](auto&& call) { return treadle::blocking(call); });
  });
  add_single("hand-off-long", [](benchmark::State& state) {
    hand_off(state, 1000, [](auto&& call) { return treadle::blocking_long(call); });
  });
  add_single("hand-off-bare", [](benchmark::State& state) {
    hand_off(state, 50, [](auto&& call) { return call(); });
  });
}

}  // namespace micro
