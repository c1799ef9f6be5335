// treadle-micro: Google Benchmark over treadle's primitives. run.sh compares it with Go and
// Boost.Fiber.
//
//   TREADLE_MAXPROCS=1 treadle-micro --benchmark_filter=yield
//   treadle-micro --idle       does nothing for an hour, to be watched from outside
//
// The benchmarks run on a goroutine. One runtime per process: cases named -2p want
// TREADLE_MAXPROCS=2, all others 1.
#include <benchmark/benchmark.h>

#include <chrono>
#include <cstdlib>
#include <cstring>

#include <treadle/runtime.h>
#include <treadle/timer.h>

#include "micro.h"

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "--idle") == 0) {
    treadle::run([] { (void)treadle::sleep(std::chrono::hours(1)); });
    return EXIT_SUCCESS;
  }
  micro::add_switch_cases();
  micro::add_spawn_cases();
  micro::add_select_cases();
  micro::add_timer_cases();
  micro::add_call_cases();
  micro::add_preemption_cases();
  micro::add_memory_cases();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return EXIT_FAILURE;
  std::size_t run = 0;
  treadle::run([&] { run = benchmark::RunSpecifiedBenchmarks(); });
  return run > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
