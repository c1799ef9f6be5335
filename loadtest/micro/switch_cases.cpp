// Goroutines that take turns: yields, channels, locks.
#include <treadle/chan.h>
#include <treadle/go.h>

#include "../operations.h"
#include "micro.h"

namespace micro {

namespace {

// One goroutine sends through a buffer of 100, another receives; an operation is one element.
void stream(std::int64_t n) {
  auto ch = treadle::make_chan<std::int64_t>(100);
  treadle::go([ch, n] {
    for (std::int64_t i = 0; i < n; ++i) ch.send(i);
    ch.close();
  });
  std::int64_t sum = 0;
  while (auto v = ch.recv()) sum += *v;
  benchmark::DoNotOptimize(sum);
}

}  // namespace

void add_switch_cases() {
  add_case("yield-2", 1'000'000, &operations::yield_among<2>);
  add_case("yield-1000", 2'000'000, &operations::yield_among<1000>);
  add_case("yield-100000", 5'000'000, &operations::yield_among<100'000>);
  add_case("ping-pong", 200'000, &operations::ping_pong);
  add_case("ping-pong-2p", 200'000, &operations::ping_pong);
  add_case("stream", 1'000'000, &stream);
  add_case("stream-2p", 1'000'000, &stream);
  add_case("mutex-4", 200'000, &operations::lock_in_turn<4>);
}

}  // namespace micro
