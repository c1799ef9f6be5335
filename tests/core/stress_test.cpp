// Many goroutines do everything at random, for a number of operations that does not depend on time.
//
// TREADLE_STRESS_SECONDS=N goes on for N seconds instead; TREADLE_STRESS_SEED=S repeats a run's
// choices, though not its interleaving.
#include <gtest/gtest.h>
#include <pthread.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <treadle/blocking.h>
#include <treadle/chan.h>
#include <treadle/context.h>
#include <treadle/go.h>
#include <treadle/mutex.h>
#include <treadle/timer.h>
#include <treadle/wait_group.h>

#include "support/goroutine.h"

namespace treadle {
namespace {

using namespace std::chrono_literals;
using Random = std::minstd_rand;

std::uint64_t number_from(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text && *text ? std::strtoull(text, nullptr, 10) : otherwise;
}

// What all share, and what must hold of it at the end.
class World {
 public:
  explicit World(std::uint64_t seed) : seed_(seed) {
    for (std::size_t i = 0; i < channels_.size(); ++i) channels_[i] = make_chan<int>(i * i / 2);
  }

  void run(int goroutines, int operations) {
    for (int i = 0; i < goroutines; ++i) start(operations);
    wg_.wait();
  }

  // One of several plain threads that take part.
  void run_here(int operations) {
    Random random(next_seed());
    for (int i = 0; i < operations; ++i) step(random);
  }

  void check() {
    for (auto& ch : channels_) {
      while (auto v = ch.try_recv()) received_ += *v;
      ch.close();
      EXPECT_FALSE(ch.recv());
    }
    EXPECT_EQ(received_, sent_);
    EXPECT_EQ(plain_, locked_);
    EXPECT_EQ(inside_, 0);
    EXPECT_TRUE(mutex_.try_lock());
    mutex_.unlock();
    EXPECT_EQ(moved_threads_, 0);
  }

 private:
  std::uint32_t next_seed() { return static_cast<std::uint32_t>(seed_ + 7919u * ++seeds_); }

  void start(int operations) {
    wg_.add(1);
    go([this, operations, seed = next_seed()] {
      Random random(seed);
      for (int i = 0; i < operations; ++i) step(random);
      wg_.done();
    });
  }

  Chan<int>& channel(Random& random) { return channels_[random() % channels_.size()]; }

  // A wait of its own is always bounded by a short deadline, so that no mix of choices can lock up.
  CancelableContext brief(Random& random) {
    return with_timeout(random() % 4 ? background() : current_context(),
                        std::chrono::microseconds(random() % 300));
  }

  void step(Random& random) {
    switch (random() % 16) {
      case 0:
      case 1:
      case 2: return send(random);
      case 3:
      case 4:
      case 5: return receive(random);
      case 6:
      case 7: return lock(random);
      case 8: return gosched();
      case 9: return nap(random);
      case 10: return block(random);
      case 11: return cancel_something(random);
      case 12: return compute(random);
      case 13: return meet(random);
      case 14: return throw_and_catch(random);
      default: return in_scope(random);
    }
  }

  void send(Random& random) {
    const int v = static_cast<int>(random() % 1000);
    bool done;
    if (random() % 2) {
      done = channel(random).try_send(v);
    } else {
      const auto limit = brief(random);
      done = channel(random).send(v, limit.context).has_value();
    }
    if (done) sent_ += v;
  }

  void receive(Random& random) {
    if (random() % 2) {
      if (auto v = channel(random).try_recv()) received_ += *v;
      return;
    }
    const auto limit = brief(random);
    if (auto v = channel(random).recv(limit.context)) received_ += v->value_or(0);
  }

  void lock(Random& random) {
    const auto limit = brief(random);
    if (random() % 2) {
      mutex_.lock();
    } else if (!mutex_.lock(limit.context)) {
      return;
    }
    if (++inside_ != 1) ADD_FAILURE() << "two inside the mutex";
    ++plain_;
    ++locked_;
    if (random() % 4 == 0) gosched();
    --inside_;
    mutex_.unlock();
  }

  void nap(Random& random) { (void)sleep(std::chrono::microseconds(random() % 100)); }

  void block(Random& random) {
    const pthread_t before = thread_now();
    const timespec pause_time{0, static_cast<long>(random() % 60'000)};
    const auto pause = [&] { ::nanosleep(&pause_time, nullptr); };  // stands for any slow call
    if (random() % 4)
      blocking(pause);
    else
      blocking_long(pause);
    if (!::pthread_equal(before, thread_now())) ++moved_threads_;
  }

  void cancel_something(Random& random) {
    auto parent = brief(random);
    auto child = with_cancel(parent.context);
    const auto grandchild = with_timeout(child.context, 1h);
    (random() % 2 ? parent : child).cancel();
    grandchild.context.wait();
  }

  void compute(Random& random) {
    for (std::uint64_t i = random() % 20'000; i > 0; --i) asm volatile("");
  }

  // A few new goroutines, awaited.
  void meet(Random& random) {
    WaitGroup wg;
    auto ch = make_chan<int>(random() % 2);
    const int n = static_cast<int>(random() % 4);
    for (int i = 0; i < n; ++i) {
      wg.add(1);
      go([&wg, ch] {
        ch.send(1);
        wg.done();
      });
    }
    for (int i = 0; i < n; ++i) (void)ch.recv();
    wg.wait();
  }

  void throw_and_catch(Random& random) {
    const int mine = static_cast<int>(random());
    try {
      throw mine;
    } catch (int) {
      gosched();
      try {
        throw;
      } catch (int again) {
        if (again != mine) ADD_FAILURE() << "another goroutine's exception";
      }
    }
  }

  void in_scope(Random& random) {
    const auto limit = brief(random);
    const ContextScope scope(limit.context);
    (void)sleep(std::chrono::microseconds(random() % 400));
    if (current_context() != limit.context) ADD_FAILURE() << "another goroutine's context";
  }

  [[gnu::noinline]] static pthread_t thread_now() {
    asm volatile("" ::: "memory");
    return ::pthread_self();
  }

  const std::uint64_t seed_;
  std::atomic<std::uint32_t> seeds_{0};
  WaitGroup wg_;
  std::array<Chan<int>, 5> channels_;
  std::atomic<std::int64_t> sent_{0}, received_{0};
  Mutex mutex_;
  std::int64_t plain_ = 0;  // under mutex_
  std::atomic<std::int64_t> locked_{0};
  std::atomic<int> inside_{0}, moved_threads_{0};
};

void stress(int goroutines, int operations, int threads) {
  const std::uint64_t seed = number_from("TREADLE_STRESS_SEED", std::random_device()());
  SCOPED_TRACE("TREADLE_STRESS_SEED=" + std::to_string(seed));
  const Deadline end =
      Deadline::after(std::chrono::seconds(number_from("TREADLE_STRESS_SECONDS", 0)));
  do {
    World world(seed);
    std::vector<std::thread> plain;
    for (int i = 0; i < threads; ++i) plain.emplace_back([&] { world.run_here(operations / 4); });
    test::run([&] { world.run(goroutines, operations); });
    for (auto& t : plain) t.join();
    world.check();
  } while (!end.passed() && !::testing::Test::HasFailure());
}

TEST(Stress, FewGoroutinesDoMuch) { stress(8, 800, 0); }
TEST(Stress, ManyGoroutinesDoLittle) { stress(300, 20, 0); }
TEST(Stress, PlainThreadsTakePart) { stress(30, 100, 3); }

}  // namespace
}  // namespace treadle
