// Values handed from one goroutine to others outside channels: Task, OneShot, Broadcast, Watch,
// WorkerPool.
#include <treadle/broadcast.h>
#include <treadle/context.h>
#include <treadle/go.h>
#include <treadle/one_shot.h>
#include <treadle/task.h>
#include <treadle/wait_group.h>
#include <treadle/watch.h>
#include <treadle/worker_pool.h>

#include <atomic>
#include <memory>
#include <optional>
#include <vector>

#include "stress/stress.h"

namespace treadle::stress {
namespace {

CancelableContext brief(Random& random) {
  return with_timeout(background(), random.up_to(std::chrono::microseconds(200)));
}

void pause(Random& random) {
  if (random.once_in(4)) gosched();
  if (random.once_in(8)) (void)sleep(random.up_to(std::chrono::microseconds(100)));
}

void tasks(Random& random) {
  struct Spawned {
    int mine;
    bool throws;
    Task<std::unique_ptr<int>> task;
  };
  std::vector<Spawned> all;
  std::atomic<int> ran{0};
  WaitGroup ended;  // of those nobody joins
  for (int i = random.between(1, 30); i > 0; --i) {
    const bool throws = random.once_in(4);
    all.push_back({i, throws, spawn([i, throws, &ran, random = random.fork()]() mutable {
                     pause(random);
                     ++ran;
                     if (throws) throw i;
                     return std::make_unique<int>(i);
                   })});
  }
  const int joined = static_cast<int>(all.size());
  for (Spawned& s : all) {
    try {
      std::optional<std::unique_ptr<int>> got;
      while (!got) {
        if (random.once_in(2)) {
          got = s.task.join();
        } else if (auto r = s.task.join(brief(random).context)) {
          got = std::move(*r);
        }
      }
      require(!s.throws && *got && **got == s.mine, "a task's value is lost");
    } catch (const int thrown) {
      require(s.throws && thrown == s.mine, "a task threw {}", thrown);
    }
  }
  require(ran == joined, "tasks: {} of {} ran", ran.load(), joined);
  // Handles that go while their goroutines run.
  for (int i = random.below(10); i > 0; --i) {
    ended.add(1);
    auto task = spawn([&ended, random = random.fork()]() mutable {
      pause(random);
      ended.done();
    });
    if (random.once_in(2)) gosched();
  }
  ended.wait();
}

void one_shots(Random& random) {
  WaitGroup wg;
  for (int i = random.between(1, 20); i > 0; --i) {
    auto [sender, receiver] = make_one_shot<std::shared_ptr<int>>();
    const int copies = random.between(1, 3);
    const bool silent = random.once_in(4);
    wg.add(copies);
    for (int c = 0; c < copies; ++c)
      go([&wg, tx = std::optional(sender), i, silent, random = random.fork()]() mutable {
        pause(random);
        if (!silent) tx->send(std::make_shared<int>(i));
        tx.reset();
        wg.done();
      });
    wg.add(1);
    go([&wg, rx = std::optional(std::move(receiver)), i, silent, random = random.fork()]() mutable {
      pause(random);
      for (bool gone = random.once_in(4); !gone;) {
        const auto limit = brief(random);
        const bool limited = random.once_in(2);
        const auto r = limited ? rx->wait(limit.context) : rx->wait();
        if (limited && !r && r.error() == Errc::timed_out) continue;
        require(silent ? !r && r.error() == Errc::broken : r && *r && **r == i,
                "a OneShot's value is lost");
        gone = true;
      }
      rx.reset();
      wg.done();
    });
  }
  wg.wait();
}

// Each receiver sees the numbers in order, and knows how many it has missed.
void broadcasts(Random& random) {
  std::optional<BroadcastSender<int>> sender(std::in_place, random.between(1, 20));
  const int receivers = random.between(1, 6), total = random.between(1, 200);
  WaitGroup wg;
  wg.add(receivers);
  for (int i = 0; i < receivers; ++i)
    go([&wg, rx = std::optional(sender->subscribe()), total, leaves = random.once_in(4),
        random = random.fork()]() mutable {
      for (int next = 0;;) {
        if (leaves && random.once_in(20)) break;
        const auto limit = brief(random);
        const auto r = random.once_in(3) ? rx->recv(limit.context) : rx->recv();
        if (r) {
          require(*r == next, "Broadcast: {} came where {} was due", *r, next);
          ++next;
        } else if (r.error() == Errc::lagged) {
          next += static_cast<int>(rx->missed());
        } else if (r.error() == Errc::closed) {
          require(next == total, "Broadcast: {} of {} at the end", next, total);
          break;
        }
        pause(random);
      }
      rx.reset();
      wg.done();
    });
  for (int i = 0; i < total; ++i) {
    require(sender->send(i).has_value(), "Broadcast: closed by nobody");
    pause(random);
  }
  if (random.once_in(2)) sender->close();
  sender.reset();
  wg.wait();
}

void watches(Random& random) {
  std::optional<WatchSender<int>> sender(std::in_place, 0);
  const int receivers = random.between(1, 6), writers = random.between(1, 3);
  const int each = random.between(1, 60);
  WaitGroup reading, writing;
  reading.add(receivers);
  writing.add(writers);
  for (int i = 0; i < receivers; ++i)
    go([&reading, rx = std::optional(sender->subscribe()), most = writers * each,
        random = random.fork()]() mutable {
      int seen = 0;
      for (;;) {
        const auto limit = brief(random);
        const auto r = random.once_in(3) ? rx->changed(limit.context) : rx->changed();
        if (!r && r.error() == Errc::timed_out) continue;
        const int now = rx->get();
        require(now >= seen && now <= most, "Watch: {} after {}", now, seen);
        seen = now;
        if (!r) break;
        pause(random);
      }
      require(seen == most, "Watch: closed at {} of {}", seen, most);
      rx.reset();
      reading.done();
    });
  for (int i = 0; i < writers; ++i)
    go([&writing, tx = std::optional(*sender), each, random = random.fork()]() mutable {
      for (int n = 0; n < each; ++n) {
        tx->update([](int& v) { ++v; });
        pause(random);
      }
      tx.reset();
      writing.done();
    });
  writing.wait();
  sender.reset();
  reading.wait();
}

void worker_pools(Random& random) {
  std::atomic<int> accepted{0}, ran{0}, thrown{0}, bad{0};
  {
    WorkerPool pool({.workers = random.between(1, 5),
                     .queue = random.below(10),
                     .on_exception = [&](std::exception_ptr) { ++thrown; }});
    WaitGroup wg;
    const int producers = random.between(1, 5);
    wg.add(producers);
    for (int i = 0; i < producers; ++i)
      go([&, random = random.fork()]() mutable {
        for (int n = random.between(1, 60); n > 0; --n) {
          const bool throws = random.once_in(10);
          const auto job = [&ran, throws, r = random.fork()]() mutable {
            pause(r);
            ++ran;
            if (throws) throw 1;
          };
          const auto limit = brief(random);
          const bool in = random.once_in(3)   ? pool.try_submit(job)
                          : random.once_in(2) ? pool.submit(job, limit.context).has_value()
                                              : pool.submit(job).has_value();
          if (!in) continue;
          ++accepted;
          if (throws) ++bad;
        }
        wg.done();
      });
    if (random.once_in(2)) wg.wait();
    if (random.once_in(2)) pool.close();  // some are still submitting
    wg.wait();
  }
  require(ran == accepted && thrown == bad, "WorkerPool: {} ran of {}, {} threw of {}", ran.load(),
          accepted.load(), thrown.load(), bad.load());
}

const Registered registered[] = {
    Registered({"tasks", "values, exceptions and handles of Tasks", &tasks}),
    Registered({"one_shots", "OneShots with several senders, broken ones", &one_shots}),
    Registered({"broadcasts", "receivers that lag, leave and come to the end", &broadcasts}),
    Registered({"watches", "updates seen in order, and the last one by all", &watches}),
    Registered({"worker_pools", "bounded queues, jobs that throw, early close", &worker_pools}),
};

}  // namespace
}  // namespace treadle::stress
