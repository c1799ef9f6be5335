// The other locks and meeting points: RwMutex, Cond, Semaphore, Once, TaskGroup, Task, virtual
// time.
#include <treadle/cond.h>
#include <treadle/context.h>
#include <treadle/go.h>
#include <treadle/mutex.h>
#include <treadle/once.h>
#include <treadle/rw_mutex.h>
#include <treadle/semaphore.h>
#include <treadle/task_group.h>
#include <treadle/testing.h>
#include <treadle/wait_group.h>

#include <atomic>

#include "stress/stress.h"

namespace treadle::stress {
namespace {

CancelableContext brief(Random& random) {
  return with_timeout(background(), random.up_to(std::chrono::microseconds(300)));
}

void in_crowd(Random& random, int most, auto&& body) {
  WaitGroup wg;
  const int n = random.between(1, most);
  wg.add(n);
  for (int i = 0; i < n; ++i)
    go([&, random = random.fork()]() mutable {
      body(random);
      wg.done();
    });
  wg.wait();
}

void rw_mutex(Random& random) {
  RwMutex mutex;
  std::atomic<int> readers{0}, writers{0};
  std::int64_t plain = 0;
  std::atomic<std::int64_t> written{0};
  in_crowd(random, 10, [&](Random& r) {
    for (int i = r.between(1, 60); i > 0; --i) {
      if (r.once_in(4)) {
        if (r.once_in(3)) {
          if (!mutex.lock(brief(r).context)) continue;
        } else {
          mutex.lock();
        }
        require(++writers == 1 && readers == 0, "RwMutex: a writer is not alone");
        ++plain;
        ++written;
        if (r.once_in(4)) gosched();
        --writers;
        mutex.unlock();
      } else {
        if (r.once_in(3)) {
          if (!mutex.lock_shared(brief(r).context)) continue;
        } else {
          mutex.lock_shared();
        }
        ++readers;
        require(writers == 0, "RwMutex: a reader beside a writer");
        if (r.once_in(4)) gosched();
        --readers;
        mutex.unlock_shared();
      }
    }
  });
  require(plain == written, "RwMutex: {} written of {}", plain, written.load());
  require(mutex.try_lock(), "RwMutex: still locked at the end");
  mutex.unlock();
}

// A bounded buffer by hand.
void cond(Random& random) {
  Mutex mutex;
  Cond changed;
  int filled = 0, made = 0, used = 0;
  const int capacity = random.between(1, 4), total = random.between(1, 200);
  WaitGroup wg;
  wg.add(4);
  for (int i = 0; i < 2; ++i) {
    go([&] {
      mutex.lock();
      for (;;) {
        changed.wait(mutex, [&] { return filled < capacity || made == total; });
        if (made == total) break;
        ++made;
        ++filled;
        changed.notify_all();
      }
      mutex.unlock();
      wg.done();
    });
    go([&, random = random.fork()]() mutable {
      mutex.lock();
      while (used < total) {
        const auto limit = brief(random);
        if (!changed.wait(mutex, limit.context, [&] { return filled > 0 || used == total; }))
          continue;
        if (filled == 0) break;
        --filled;
        ++used;
        changed.notify_all();
      }
      mutex.unlock();
      wg.done();
    });
  }
  wg.wait();
  require(made == total && used == total && filled == 0, "Cond: {} made, {} used of {}", made, used,
          total);
}

void semaphore(Random& random) {
  const int size = random.between(1, 6);
  Semaphore s(size);
  std::atomic<int> out{0};
  in_crowd(random, 12, [&](Random& r) {
    for (int i = r.between(1, 50); i > 0; --i) {
      const int n = r.between(1, size);
      if (r.once_in(3)) {
        if (!s.acquire(n, brief(r).context)) continue;
      } else if (r.once_in(3)) {
        if (!s.try_acquire(n)) continue;
      } else {
        s.acquire(n);
      }
      require((out += n) <= size, "Semaphore: {} out of {} given", out.load(), size);
      if (r.once_in(4)) gosched();
      out -= n;
      s.release(n);
    }
  });
  require(s.available() == size, "Semaphore: {} of {} left", s.available(), size);
}

void once(Random& random) {
  Once once;
  int calls = 0;
  in_crowd(random, 12, [&](Random& r) {
    if (r.once_in(2)) gosched();
    once.call([&] {
      gosched();
      ++calls;
    });
    require(calls == 1, "Once: returned before the call was over");
  });
}

void groups(Random& random) {
  TaskGroup group;
  std::atomic<int> ran{0};
  if (random.once_in(2)) group.set_limit(random.between(1, 4));
  const int n = random.between(1, 30), bad = random.once_in(2) ? random.below(n) : -1;
  for (int i = 0; i < n; ++i)
    group.go([&ran, i, bad, nap = random.up_to(std::chrono::microseconds(100))]() -> Result<void> {
      (void)sleep(nap);
      ++ran;
      if (i == bad) return treadle::fail(Errc::invalid);
      return {};
    });
  const auto r = group.wait();
  require(ran == n, "TaskGroup: {} of {} ran", ran.load(), n);
  require(r.has_value() == (bad < 0), "TaskGroup: the error is lost");
}

// A bubble beside everything else: its time passes at once, to the nanosecond.
void virtual_time(Random& random) {
  testing::run_virtual([&] {
    const TimePoint begin = Clock::now();
    in_crowd(random, 8, [&](Random& r) {
      Duration own{};
      for (int i = r.between(1, 10); i > 0; --i) {
        const Duration d = r.up_to(std::chrono::hours(1));
        own += d;
        (void)sleep(d);
      }
      require(Clock::now() - begin == own, "virtual time: {} ns passed, {} slept",
              (Clock::now() - begin).count(), own.count());
    });
  });
}

const Registered registered[] = {
    Registered({"rwmutexes", "readers beside writers, with deadlines", &rw_mutex}),
    Registered({"conds", "a bounded buffer by Mutex and Cond", &cond}),
    Registered({"semaphores", "weighted, with deadlines", &semaphore}),
    Registered({"onces", "one call, seen whole by all", &once}),
    Registered({"groups", "task groups with limits and errors", &groups}),
    Registered({"virtual", "bubbles with a clock of their own", &virtual_time}),
};

}  // namespace
}  // namespace treadle::stress
