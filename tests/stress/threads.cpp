// Plain threads that use what goroutines use.
#include <treadle/blocking.h>
#include <treadle/chan.h>
#include <treadle/context.h>
#include <treadle/go.h>
#include <treadle/mutex.h>
#include <treadle/wait_group.h>

#include <atomic>
#include <thread>
#include <vector>

#include "stress/stress.h"

namespace treadle::stress {
namespace {

struct Shared {
  Chan<int> there = make_chan<int>(), back = make_chan<int>(2);
  Mutex mutex;
  int inside = 0;  // under mutex
  std::atomic<int> spawned{0};
  WaitGroup started;
};

void in_thread(Shared& s, int times, Random random) {
  for (int i = 0; i < times; ++i) {
    s.there.send(i);
    require(s.back.recv().has_value(), "plain thread: a closed channel");
    if (random.once_in(4)) {
      s.mutex.lock();
      require(++s.inside == 1, "plain thread: two inside the mutex");
      --s.inside;
      s.mutex.unlock();
    }
    if (random.once_in(8)) (void)sleep(random.up_to(std::chrono::microseconds(50)));
    if (random.once_in(8)) {
      s.started.add(1);
      go([&s] {
        ++s.spawned;
        s.started.done();
      });
    }
  }
}

void round(Random& random) {
  Shared s;
  const int n = random.between(1, 3), times = random.between(1, 40);
  WaitGroup wg;
  wg.add(2);
  for (int i = 0; i < 2; ++i)
    go([&] {
      for (const int v : s.there) {
        s.mutex.lock();
        require(++s.inside == 1, "beside plain threads: two inside the mutex");
        --s.inside;
        s.mutex.unlock();
        s.back.send(v);
      }
      wg.done();
    });
  std::vector<std::thread> threads;
  for (int i = 0; i < n; ++i)
    threads.emplace_back([&s, times, random = random.fork()] { in_thread(s, times, random); });
  blocking_long([&] {
    for (auto& t : threads) t.join();
  });
  s.there.close();
  wg.wait();
  s.started.wait();
}

const Registered registered{{"threads", "plain threads beside goroutines", &round}};

}  // namespace
}  // namespace treadle::stress
