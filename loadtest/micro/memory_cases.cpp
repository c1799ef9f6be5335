// Bytes for each parked goroutine: resident memory and the page tables it needs.
#include <atomic>

#include <treadle/chan.h>
#include <treadle/go.h>
#include <treadle/wait_group.h>

#include "micro.h"

namespace micro {

namespace {

constexpr std::int64_t kMany = 1'000'000;
constexpr std::int64_t kNeededKb = 7'000'000;

std::int64_t resident_kb() {
  return proc_kb("/proc/self/status", "VmRSS") + proc_kb("/proc/self/status", "VmPTE");
}

void parked(benchmark::State& state) {
  if (proc_kb("/proc/meminfo", "MemAvailable") < kNeededKb) {
    state.SkipWithError("needs 7 GB of free memory");
    return;
  }
  auto gate = treadle::make_chan<int>();
  std::atomic<std::int64_t> started{0};
  treadle::WaitGroup ended;
  ended.add(kMany);
  const std::int64_t before = resident_kb();
  for (std::int64_t i = 0; i < kMany; ++i)
    treadle::go([gate, &started, &ended] {
      started.fetch_add(1, std::memory_order_relaxed);
      (void)gate.recv();
      ended.done();
    });
  while (started.load(std::memory_order_relaxed) < kMany) treadle::gosched();
  treadle::gosched();  // the last one parks
  const std::int64_t after = resident_kb();
  state.counters["bytes"] = static_cast<double>(after - before) * 1024 / kMany;
  gate.close();
  ended.wait();
}

}  // namespace

void add_memory_cases() { add_single("parked", &parked); }

}  // namespace micro
