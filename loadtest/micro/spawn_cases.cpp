// Goroutines that begin and end.
#include <treadle/go.h>
#include <treadle/wait_group.h>

#include "micro.h"

namespace micro {

namespace {

// `k` goroutines that only say they are done, and a wait for all; an operation is one of them.
void batch_of(std::int64_t k) {
  treadle::WaitGroup wg;
  wg.add(k);
  for (std::int64_t i = 0; i < k; ++i) treadle::go([&wg] { wg.done(); });
  wg.wait();
}

template <int k>
void spawn_batches(std::int64_t n) {
  for (std::int64_t done = 0; done < n; done += k) batch_of(k);
}

// The first million of a fresh process, its memory included, and the million after that.
constexpr std::int64_t kMany = 1'000'000;
void fan_out(benchmark::State& state) {
  const std::int64_t begin = now();
  batch_of(kMany);
  const std::int64_t between = now();
  batch_of(kMany);
  state.counters["first_ns"] = static_cast<double>(between - begin) / kMany;
  state.counters["again_ns"] = static_cast<double>(now() - between) / kMany;
}

}  // namespace

void add_spawn_cases() {
  add_case("spawn-join", 200'000, &spawn_batches<1>);
  add_case("spawn-100", 200'000, &spawn_batches<100>);
  add_case("spawn-1000", 200'000, &spawn_batches<1000>);
  add_single("fan-out", &fan_out);
}

}  // namespace micro
