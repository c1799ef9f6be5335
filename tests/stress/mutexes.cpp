// Mutex and WaitGroup: nobody inside with another, nobody forgotten.
#include <treadle/context.h>
#include <treadle/go.h>
#include <treadle/mutex.h>
#include <treadle/wait_group.h>

#include <atomic>

#include "stress/stress.h"

namespace treadle::stress {
namespace {

struct Guarded {
  Mutex mutex;
  std::atomic<int> inside{0};
  std::int64_t plain = 0;  // under mutex
  std::atomic<std::int64_t> counted{0};
};

bool acquire(Mutex& mutex, Random& random) {
  switch (random.below(4)) {
    case 0: return mutex.try_lock();
    case 1: {
      const auto limit = with_timeout(background(), random.up_to(std::chrono::microseconds(300)));
      return mutex.lock(limit.context).has_value();
    }
    default: mutex.lock(); return true;
  }
}

void contend(Guarded& g, int times, Random random) {
  for (int i = 0; i < times; ++i) {
    if (!acquire(g.mutex, random)) continue;
    require(++g.inside == 1, "two inside the mutex");
    ++g.plain;
    ++g.counted;
    switch (random.below(16)) {
      case 0: gosched(); break;
      case 1: (void)sleep(random.up_to(std::chrono::microseconds(50))); break;
      case 2: burn(random.below(2'000)); break;
    }
    --g.inside;
    g.mutex.unlock();
  }
}

void round(Random& random) {
  const int n = random.between(1, 12), times = random.between(1, 100);
  Guarded g;
  WaitGroup wg;
  wg.add(n);
  for (int i = 0; i < n; ++i)
    go([&, random = random.fork()] {
      contend(g, times, random);
      wg.done();
    });
  wg.wait();
  require(g.plain == g.counted, "mutex: {} counted inside, {} in all", g.plain, g.counted.load());
  require(g.mutex.try_lock(), "mutex: still locked at the end");
  g.mutex.unlock();
}

// Gone the moment wait() returns, while done() may still be returning.
void short_lived(Random& random) {
  for (int i = random.between(1, 100); i > 0; --i) {
    Mutex mutex;
    WaitGroup wg;
    wg.add(2);
    int value = 0;
    for (int k = 0; k < 2; ++k)
      go([&] {
        mutex.lock();
        ++value;
        mutex.unlock();
        wg.done();
      });
    wg.wait();
    require(value == 2, "wait group: returned before both were done");
  }
}

const Registered mutexes{{"mutexes", "contended locks with deadlines", &round}};
const Registered wait_groups{
    {"waitgroups", "locks and wait groups that die at once", &short_lived}};

}  // namespace
}  // namespace treadle::stress
