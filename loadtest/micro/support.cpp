#include <linux/perf_event.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <numeric>

#include <treadle/timer.h>

#include "micro.h"

namespace micro {

namespace {

// Counts a hardware event in user mode, on this thread: with one P nearly everything runs there.
class EventCount {
 public:
  explicit EventCount(std::uint64_t event) {
    perf_event_attr attr{};
    attr.type = PERF_TYPE_HARDWARE;
    attr.size = sizeof attr;
    attr.config = event;
    attr.exclude_kernel = 1;
    attr.exclude_hv = 1;
    fd_ = static_cast<int>(::syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC));
  }
  ~EventCount() {
    if (fd_ >= 0) ::close(fd_);
  }
  EventCount(const EventCount&) = delete;
  EventCount& operator=(const EventCount&) = delete;

  // 0 when the kernel does not count for us.
  double read() const {
    std::uint64_t n = 0;
    return fd_ >= 0 && ::read(fd_, &n, sizeof n) == sizeof n ? static_cast<double>(n) : 0;
  }

 private:
  int fd_ = -1;
};

}  // namespace

void add_case(const char* name, std::int64_t batch, Body body) {
  benchmark::RegisterBenchmark(name, [batch, body](benchmark::State& state) {
    const EventCount instructions(PERF_COUNT_HW_INSTRUCTIONS);
    const EventCount cycles(PERF_COUNT_HW_CPU_CYCLES);
    while (state.KeepRunningBatch(batch)) body(batch);
    const double n = static_cast<double>(state.iterations());
    state.counters["insns"] = instructions.read() / n;
    state.counters["cycles"] = cycles.read() / n;
  })->UseRealTime();
}

void add_single(const char* name, Measure measure) {
  benchmark::RegisterBenchmark(name,
                               [measure](benchmark::State& state) {
                                 while (state.KeepRunning()) measure(state);
                               })
      ->UseRealTime()
      ->Iterations(1);
}

std::int64_t now() noexcept { return treadle::Clock::now().time_since_epoch().count(); }

void report_delays(benchmark::State& state, std::vector<std::int64_t> nanoseconds) {
  if (nanoseconds.empty()) {
    state.SkipWithError("not one sample");
    return;
  }
  std::sort(nanoseconds.begin(), nanoseconds.end());
  const std::size_t n = nanoseconds.size();
  const auto us = [](std::int64_t ns) { return static_cast<double>(ns) / 1000; };
  const auto sum = std::accumulate(nanoseconds.begin(), nanoseconds.end(), std::int64_t{0});
  state.counters["mean_us"] = us(sum) / static_cast<double>(n);
  state.counters["p50_us"] = us(nanoseconds[n / 2]);
  state.counters["p99_us"] = us(nanoseconds[n * 99 / 100]);
  state.counters["max_us"] = us(nanoseconds.back());
  state.counters["samples"] = static_cast<double>(n);
}

std::int64_t proc_kb(const char* file, const std::string& name) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);)
    if (line.starts_with(name + ":")) return std::atoll(line.c_str() + name.size() + 1);
  return 0;
}

}  // namespace micro
