// Goroutines that begin, wake, hand over and yield, beside many others.
#include <treadle/go.h>

#include <memory>

#include "../operations.h"
#include "scale.h"

namespace scale {

namespace {

// n goroutines that wait, for ever unless somebody wakes one.
std::shared_ptr<std::vector<treadle::rt::G*>> parked(std::int64_t n) {
  auto all = std::make_shared<std::vector<treadle::rt::G*>>(static_cast<std::size_t>(n));
  for (treadle::rt::G*& g : *all) {
    treadle::go([&g] {
      for (;;) park(g);
    });
    // At once, so that no queue grows to n.
    while (g == nullptr) treadle::gosched();
  }
  return all;
}

// One is started, runs, ends, and the first one goes on.
Body spawn(std::int64_t n) {
  return [all = parked(n)](std::int64_t count) {
    for (std::int64_t i = 0; i < count; ++i) {
      treadle::go([] {});
      treadle::gosched();
    }
  };
}

// One of the n, whichever, is woken, runs, and waits again.
Body wake(std::int64_t n) {
  return [all = parked(n), n](std::int64_t count) {
    Random random;
    for (std::int64_t i = 0; i < count; ++i) {
      ready((*all)[static_cast<std::size_t>(random.below(n))]);
      treadle::gosched();
    }
  };
}

// Two of their own take turns over a pair of channels.
Body handover(std::int64_t n) {
  return [all = parked(n)](std::int64_t count) { operations::ping_pong(count); };
}

// n goroutines yield in turn, for ever; who does the last of the wanted ones wakes the first.
struct Ring {
  std::int64_t left = 0;
  treadle::rt::G* first = nullptr;
};

Body yield(std::int64_t n) {
  auto ring = std::make_shared<Ring>();
  for (std::int64_t i = 0; i < n; ++i)
    treadle::go([ring] {
      for (;;) {
        if (ring->left > 0 && --ring->left == 0) ready(ring->first);
        treadle::gosched();
      }
    });
  return [ring](std::int64_t count) {
    ring->left = count;
    park(ring->first);
  };
}

constexpr std::int64_t kMost = 1'000'000;

}  // namespace

std::vector<Case> goroutine_cases() {
  return {
      {"spawn", "start a goroutine beside n parked ones; it runs and ends", kMost, false, &spawn},
      {"wake", "wake one of n parked goroutines; it runs and parks again", kMost, true, &wake},
      {"handover", "a round over two channels beside n parked goroutines", kMost, false, &handover},
      {"yield", "a yield, where n goroutines take turns", kMost, true, &yield},
  };
}

}  // namespace scale
