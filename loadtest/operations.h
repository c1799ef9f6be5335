// Operations that more than one program measures: treadle-micro by the clock, beside Go and
// Boost.Fiber; treadle-instructions by counting; treadle-scale over the number of bystanders.
// What a figure is of must be the same in all three.
#pragma once

#include <treadle/chan.h>
#include <treadle/go.h>
#include <treadle/mutex.h>
#include <treadle/ticker.h>
#include <treadle/wait_group.h>

#include <chrono>
#include <cstdint>

namespace operations {

// `f(each)` in `k` goroutines; returns when all have.
template <class F>
void in_each_of(int k, std::int64_t each, F f) {
  treadle::WaitGroup all;
  all.add(k);
  for (int i = 0; i < k; ++i)
    treadle::go([&all, &f, each] {
      f(each);
      all.done();
    });
  all.wait();
}

// `k` goroutines yield in turn; an operation is one yield.
template <int k>
void yield_among(std::int64_t n) {
  in_each_of(k, n / k, [](std::int64_t each) {
    for (std::int64_t i = 0; i < each; ++i) treadle::gosched();
  });
}

// `k` goroutines share a mutex and yield while they hold it, so that each lock() parks and each
// unlock() wakes; an operation is one turn.
template <int k>
void lock_in_turn(std::int64_t n) {
  treadle::Mutex mutex;
  in_each_of(k, n / k, [&mutex](std::int64_t each) {
    for (std::int64_t i = 0; i < each; ++i) {
      mutex.lock();
      treadle::gosched();
      mutex.unlock();
    }
  });
}

// An operation is one round: a send and a receive on each side, two goroutines.
inline void ping_pong(std::int64_t n) {
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

// A timer that sends on its channel; an operation is making, starting and stopping one.
inline void start_and_stop_timer(std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) {
    const treadle::Timer t{std::chrono::hours(1)};
    (void)t.stop();
  }
}

}  // namespace operations
