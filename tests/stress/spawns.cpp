// Goroutines made and ended in storms, with exceptions on their way.
#include <treadle/go.h>
#include <treadle/wait_group.h>

#include <array>
#include <atomic>

#include "stress/stress.h"

namespace treadle::stress {
namespace {

void tree(WaitGroup& wg, std::atomic<int>& leaves, int depth, int width) {
  if (depth == 0) {
    ++leaves;
  } else {
    for (int i = 0; i < width; ++i) {
      wg.add(1);
      go([&wg, &leaves, depth, width] {
        tree(wg, leaves, depth - 1, width);
        wg.done();
      });
    }
  }
}

void trees(Random& random) {
  const int width = random.between(1, 5), depth = random.between(1, 4);
  int expected = 1;
  for (int i = 0; i < depth; ++i) expected *= width;
  WaitGroup wg;
  std::atomic<int> leaves{0};
  tree(wg, leaves, depth, width);
  wg.wait();
  require(leaves == expected, "a tree of goroutines has {} leaves of {}", leaves.load(), expected);
}

// The closure is on the goroutine's stack; a large one on the heap.
void closures(Random& random) {
  WaitGroup wg;
  std::atomic<std::uint64_t> sum{0};
  std::uint64_t expected = 0;
  for (int i = random.between(1, 100); i > 0; --i) {
    std::array<std::uint64_t, 700> large{};
    large.back() = random.next();
    expected += large.back();
    wg.add(1);
    if (random.once_in(4))
      go([&wg, &sum, large] {
        sum += large.back();
        wg.done();
      });
    else
      go([&wg, &sum, small = large.back()] {
        sum += small;
        wg.done();
      });
  }
  wg.wait();
  require(sum == expected, "closures arrived changed");
}

// An exception is its goroutine's, whoever runs on the thread meanwhile.
void exceptions(Random& random) {
  WaitGroup wg;
  for (int i = random.between(1, 20); i > 0; --i) {
    wg.add(1);
    go([&wg, mine = static_cast<int>(random.next() & 0xffffff)] {
      try {
        throw mine;
      } catch (const int caught) {
        gosched();
        try {
          gosched();
          throw;
        } catch (const int again) {
          require(again == mine && caught == mine, "another goroutine's exception");
        }
      }
      wg.done();
    });
  }
  wg.wait();
}

void round(Random& random) {
  switch (random.below(3)) {
    case 0: return trees(random);
    case 1: return closures(random);
    default: return exceptions(random);
  }
}

const Registered registered{{"spawns", "storms of short goroutines, exceptions", &round}};

}  // namespace
}  // namespace treadle::stress
