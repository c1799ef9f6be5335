// Timers beside many others that run.
#include <treadle/ticker.h>

#include <chrono>
#include <memory>

#include "scale.h"

namespace scale {

namespace {

using namespace std::chrono_literals;

// Within an hour after an hour from now: none expires meanwhile, and a new one may come to stand
// anywhere among the others.
treadle::Duration some_time(Random& random) {
  return 1h + std::chrono::microseconds(random.below(std::chrono::microseconds(1h).count()));
}

std::shared_ptr<std::vector<treadle::Timer>> armed(std::int64_t n) {
  auto all = std::make_shared<std::vector<treadle::Timer>>();
  all->reserve(static_cast<std::size_t>(n));
  Random random;
  for (std::int64_t i = 0; i < n; ++i) all->emplace_back(some_time(random));
  return all;
}

// One more is made, started and stopped.
Body start_and_stop(std::int64_t n) {
  return [all = armed(n)](std::int64_t count) {
    Random random;
    for (std::int64_t i = 0; i < count; ++i) {
      const treadle::Timer t{some_time(random)};
      (void)t.stop();
    }
  };
}

// One of the n, whichever, is put off or brought forward, as a deadline is.
Body move(std::int64_t n) {
  return [all = armed(n), n](std::int64_t count) {
    Random random;
    for (std::int64_t i = 0; i < count; ++i)
      (void)(*all)[static_cast<std::size_t>(random.below(n))].reset(some_time(random));
  };
}

// A timer is started, the goroutine parks, the timer is due already, fires and wakes it.
Body fire(std::int64_t n) {
  return [all = armed(n)](std::int64_t count) {
    for (std::int64_t i = 0; i < count; ++i) (void)treadle::Timer(1ns).channel().recv();
  };
}

constexpr std::int64_t kMost = 1'000'000;

}  // namespace

std::vector<Case> timer_cases() {
  return {
      {"timer", "start and stop a timer beside n that run", kMost, false, &start_and_stop},
      {"deadline", "move one of n timers that run to another time", kMost, true, &move},
      {"fire", "a timer that is due at once, beside n that run: start, park, fire, wake", kMost,
       false, &fire},
  };
}

}  // namespace scale
