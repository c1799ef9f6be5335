// Random mixes of everything that the locks can do, by goroutines and plain threads together, with
// contexts that end at any moment. What each lock promises is checked from inside and at the end.
// TREADLE_FUZZ_ROUNDS multiplies the rounds.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <functional>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include <treadle/cond.h>
#include <treadle/context.h>
#include <treadle/go.h>
#include <treadle/mutex.h>
#include <treadle/once.h>
#include <treadle/rw_mutex.h>
#include <treadle/semaphore.h>
#include <treadle/task_group.h>
#include <treadle/timer.h>
#include <treadle/wait_group.h>

#include "support/goroutine.h"

namespace treadle {
namespace {

using namespace std::chrono_literals;
using Random = std::minstd_rand;

constexpr int kLockers = 8, kPlainLockers = 2;

int rounds() {
  const char* factor = std::getenv("TREADLE_FUZZ_ROUNDS");
  return 5 * std::max(1, factor ? std::atoi(factor) : 1);
}

// Runs `body(seed)` in many goroutines and a few plain threads, each round with new seeds.
void mix(int round, const std::function<void(Random&)>& body) {
  WaitGroup wg;
  const auto one = [&body](int seed) {
    Random random(static_cast<std::uint32_t>(seed));
    body(random);
  };
  for (int i = 0; i < kLockers; ++i) wg.go([&, i] { one(round * 100 + i + 1); });
  std::vector<std::thread> threads;
  for (int i = 0; i < kPlainLockers; ++i) threads.emplace_back(one, round * 100 + 50 + i);
  wg.wait();
  for (auto& t : threads) t.join();
}

// Something that takes from no time to a few switches.
void dawdle(Random& random) {
  switch (random() % 8) {
    case 0: gosched(); break;
    case 1:
      for (int i = 0; i < 200; ++i) asm volatile("");
      break;
    case 2:
      if (random() % 4 == 0) (void)sleep(std::chrono::microseconds(random() % 50));
      break;
    default: break;
  }
}

// A context that ends at once, soon, or when somebody cancels it meanwhile.
Context some_context(Random& random) {
  switch (random() % 4) {
    case 0: return background();
    case 1: {
      auto [ctx, cancel] = with_cancel(background());
      go([cancel, n = random() % 3] {
        for (std::uint32_t i = 0; i < n; ++i) gosched();
        cancel();
      });
      return ctx;
    }
    case 2: return with_timeout(background(), std::chrono::microseconds(random() % 100)).context;
    default: {
      auto [ctx, cancel] = with_cancel(background());
      cancel();
      return ctx;
    }
  }
}

// lock, try and ctx in random order; true when it was locked.
template <class Lock, class Try, class LockCtx>
bool obtain(Random& random, Lock lock, Try try_it, LockCtx lock_ctx) {
  switch (random() % 4) {
    case 0: return try_it();
    case 1: {
      const Context ctx = some_context(random);
      const Result<void> r = lock_ctx(ctx);
      if (!r) {
        EXPECT_EQ(r.error(), ctx.error());
      }
      return r.has_value();
    }
    default: lock(); return true;
  }
}

TEST(LockFuzzMutex, ExcludesAndIsFreeAtTheEnd) {
  test::run([] {
    for (int round = 0; round < rounds(); ++round) {
      Mutex mu;
      std::int64_t plain = 0;
      std::atomic<std::int64_t> times{0};
      mix(round, [&](Random& random) {
        for (int i = 0; i < 100; ++i) {
          if (!obtain(
                  random, [&] { mu.lock(); }, [&] { return mu.try_lock(); },
                  [&](const Context& ctx) { return mu.lock(ctx); }))
            continue;
          const std::int64_t seen = plain;
          dawdle(random);
          plain = seen + 1;
          ++times;
          mu.unlock();
          if (random() % 2) dawdle(random);
        }
      });
      ASSERT_EQ(plain, times);
      ASSERT_TRUE(mu.try_lock());
      mu.unlock();
    }
  });
}

TEST(LockFuzzRwMutex, WritersAreAloneAndItIsFreeAtTheEnd) {
  test::run([] {
    for (int round = 0; round < rounds(); ++round) {
      RwMutex mu;
      std::int64_t plain = 0;
      std::atomic<std::int64_t> times{0};
      std::atomic<int> readers{0};
      mix(round, [&](Random& random) {
        for (int i = 0; i < 100; ++i) {
          if (random() % 3) {
            if (!obtain(
                    random, [&] { mu.lock_shared(); }, [&] { return mu.try_lock_shared(); },
                    [&](const Context& ctx) { return mu.lock_shared(ctx); }))
              continue;
            ++readers;
            const std::int64_t seen = plain;
            dawdle(random);
            EXPECT_EQ(plain, seen);
            --readers;
            mu.unlock_shared();
          } else {
            if (!obtain(
                    random, [&] { mu.lock(); }, [&] { return mu.try_lock(); },
                    [&](const Context& ctx) { return mu.lock(ctx); }))
              continue;
            const std::int64_t seen = plain;
            EXPECT_EQ(readers, 0);
            dawdle(random);
            plain = seen + 1;
            ++times;
            mu.unlock();
          }
        }
      });
      ASSERT_EQ(plain, times);
      ASSERT_TRUE(mu.try_lock());
      mu.unlock();
      ASSERT_TRUE(mu.try_lock_shared());
      mu.unlock_shared();
    }
  });
}

TEST(LockFuzzSemaphore, KeepsItsBoundAndLosesNothing) {
  test::run([] {
    for (int round = 0; round < rounds(); ++round) {
      const std::int64_t size = round % 5 + 1;
      Semaphore s(size);
      std::atomic<std::int64_t> used{0};
      mix(round, [&](Random& random) {
        for (int i = 0; i < 100; ++i) {
          const std::int64_t n = static_cast<std::int64_t>(random()) % (size + 1);
          if (!obtain(
                  random, [&] { s.acquire(n); }, [&] { return s.try_acquire(n); },
                  [&](const Context& ctx) { return s.acquire(n, ctx); }))
            continue;
          EXPECT_LE(used += n, size);
          dawdle(random);
          used -= n;
          s.release(n);
        }
      });
      ASSERT_EQ(s.available(), size);
    }
  });
}

// Tokens put and taken under a mutex: each notification stands for one token, so a lost one would
// leave a taker waiting for ever; takers whose context ends take none.
TEST(LockFuzzCond, NoTokenIsForgotten) {
  test::run([] {
    for (int round = 0; round < rounds(); ++round) {
      Mutex mu;
      Cond cond;
      int tokens = 0;
      std::atomic<int> taken{0}, put{0};
      std::atomic<int> takers{0};
      mix(round, [&](Random& random) {
        for (int i = 0; i < 60; ++i) {
          {
            const std::lock_guard hold(mu);
            ++tokens;
            ++put;
          }
          if (random() % 8 == 0)
            cond.notify_all();
          else
            cond.notify_one();
          dawdle(random);
          ++takers;
          std::unique_lock hold(mu);
          const auto ready = [&] { return tokens > 0; };
          if (random() % 2) {
            cond.wait(hold, ready);  // there is one for each taker
          } else if (const Context ctx = some_context(random); !cond.wait(hold, ctx, ready)) {
            EXPECT_TRUE(ctx.done());
            continue;
          }
          --tokens;
          ++taken;
          // Whoever was notified for this token and comes too late must not be the only one woken.
          if (tokens > 0) cond.notify_one();
        }
      });
      ASSERT_EQ(tokens, put - taken);
    }
  });
}

TEST(LockFuzzOnce, SucceedsOnceWhateverFailsBefore) {
  test::run([] {
    for (int round = 0; round < 20 * rounds(); ++round) {
      Once once;
      std::atomic<int> succeeded{0}, running{0};
      mix(round, [&](Random& random) {
        for (int i = 0; i < 5; ++i) {
          try {
            once.call([&] {
              EXPECT_EQ(++running, 1);
              dawdle(random);
              --running;
              if (random() % 3) throw 1;
              ++succeeded;
            });
            EXPECT_EQ(succeeded, 1);
          } catch (int) {
          }
        }
      });
      ASSERT_EQ(succeeded, once.done() ? 1 : 0);
    }
  });
}

// Groups in groups, some of which fail; every task ends before its group does.
TEST(LockFuzzTaskGroup, NoTaskOutlivesItsGroup) {
  test::run([] {
    for (int round = 0; round < rounds(); ++round) {
      mix(round, [&](Random& random) {
        std::atomic<int> started{0}, ended{0};
        {
          TaskGroup outer(some_context(random));
          if (random() % 2) outer.set_limit(static_cast<int>(random() % 3) + 1);
          const std::uint32_t seed = static_cast<std::uint32_t>(random());
          for (std::uint32_t i = 0; i < 6; ++i)
            outer.go([&, i]() -> Result<void> {
              ++started;
              Random mine(seed + i);
              TaskGroup inner;
              for (int k = 0; k < 3; ++k)
                inner.go([&ended, &started, n = mine()]() -> Result<void> {
                  ++started;
                  Random own(static_cast<std::uint32_t>(n));
                  dawdle(own);
                  ++ended;
                  if (n % 7 == 0) throw std::runtime_error("task");
                  if (n % 5 == 0) return fail(Errc::eof);
                  return {};
                });
              ++ended;
              return inner.wait();
            });
          if (random() % 2) {
            try {
              (void)outer.wait();
            } catch (const std::runtime_error&) {
            }
          } else {
            outer.cancel();
            try {
              (void)outer.wait();
            } catch (const std::runtime_error&) {
            }
          }
        }
        EXPECT_EQ(started, 24);
        EXPECT_EQ(ended, started);
      });
    }
  });
}

}  // namespace
}  // namespace treadle
