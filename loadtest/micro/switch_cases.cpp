// Goroutines that take turns: yields, channels, locks.
#include <treadle/chan.h>
#include <treadle/go.h>
#include <treadle/mutex.h>
#include <treadle/wait_group.h>

#include "micro.h"

namespace micro {

namespace {

// `k` goroutines yield in turn; an operation is one yield.
template <int k>
void yield_among(std::int64_t n) {
  treadle::WaitGroup wg;
  wg.add(k);
  for (int i = 0; i < k; ++i)
    treadle::go([&wg, each = n / k] {
      for (std::int64_t j = 0; j < each; ++j) treadle::gosched();
      wg.done();
    });
  wg.wait();
}

// An operation is one round: a send and a receive on each side, two goroutines.
void ping_pong(std::int64_t n) {
  auto ping = treadle::make_chan<int>();
  auto pong = treadle::make_chan<int>();
  treadle::go([ping, pong] {
    while (auto v = ping.recv()) pong.send(*v);
    pong.close();
  });
  for (std::int64_t i = 0; i < n; ++i) {
    ping.send(1);
    (void)pong.recv();
  }
  ping.close();
  (void)pong.recv();
}

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

// Four goroutines share a mutex and yield while they hold it; an operation is one turn.
void mutex_of_4(std::int64_t n) {
  treadle::Mutex mutex;
  treadle::WaitGroup wg;
  wg.add(4);
  for (int i = 0; i < 4; ++i)
    treadle::go([&, each = n / 4] {
      for (std::int64_t j = 0; j < each; ++j) {
        mutex.lock();
        treadle::gosched();
        mutex.unlock();
      }
      wg.done();
    });
  wg.wait();
}

}  // namespace

void add_switch_cases() {
  add_case("yield-2", 1'000'000, &yield_among<2>);
  add_case("yield-1000", 2'000'000, &yield_among<1000>);
  add_case("yield-100000", 5'000'000, &yield_among<100'000>);
  add_case("ping-pong", 200'000, &ping_pong);
  add_case("ping-pong-2p", 200'000, &ping_pong);
  add_case("stream", 1'000'000, &stream);
  add_case("stream-2p", 1'000'000, &stream);
  add_case("mutex-4", 200'000, &mutex_of_4);
}

}  // namespace micro
