#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

#include <treadle/go.h>
#include <treadle/pool.h>
#include <treadle/result.h>
#include <treadle/runtime.h>
#include <treadle/wait_group.h>

#include "support/goroutine.h"

namespace treadle {
namespace {

// Counts those alive, and is used by one at a time.
struct Object {
  explicit Object(std::atomic<int>& a) : alive(a) { ++alive; }
  ~Object() { --alive; }
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;
  std::atomic<int>& alive;
  std::atomic<int> users{0};
  int value = 0;
};

struct CountedPool {
  std::atomic<int> made{0}, alive{0};
  Pool<Object> pool;
  explicit CountedPool(std::size_t max_idle = Pool<Object>::kMaxIdle)
      : pool(
            [this] {
              ++made;
              return std::make_unique<Object>(alive);
            },
            max_idle) {}
};

TEST(PoolGet, MakesOneWhenNoneIsIdle) {
  CountedPool c;
  auto a = c.pool.get(), b = c.pool.get();
  EXPECT_NE(a, b);
  EXPECT_EQ(c.made, 2);
}

TEST(PoolGet, FindsWhatWasGivenBackOnTheSameP) {
  const auto body = [] {
    CountedPool c;
    Object* first;
    {
      auto object = c.pool.get();
      object->value = 42;
      first = object.get();
    }
    EXPECT_EQ(c.alive, 1);
    if (max_procs() == 1) {
      auto again = c.pool.get();
      EXPECT_EQ(again.get(), first);
      EXPECT_EQ(again->value, 42);  // as its last user left it
      EXPECT_EQ(c.made, 1);
    }
  };
  body();  // on a plain thread
  test::run(body);
}

TEST(PoolGet, TakesFromOthersBeforeItMakesOne) {
  test::run([] {
    CountedPool c;
    {
      std::vector<Pool<Object>::Handle> held;
      for (int i = 0; i < 10; ++i) held.push_back(c.pool.get());
    }
    std::thread([&] {
      std::vector<Pool<Object>::Handle> held;
      for (int i = 0; i < 6; ++i) held.push_back(c.pool.get());  // at most one a P cannot be had
    }).join();
    EXPECT_EQ(c.made, 10);
  });
}

TEST(PoolPut, KeepsNoMoreThanItsBound) {
  CountedPool c(2);
  {
    std::vector<Pool<Object>::Handle> held;
    for (int i = 0; i < 10; ++i) held.push_back(c.pool.get());
    EXPECT_EQ(c.alive, 10);
  }
  EXPECT_EQ(c.alive, 2);  // a plain thread has no P's place of its own
}

TEST(PoolPut, TakesStrangersToo) {
  CountedPool c;
  c.pool.put(nullptr);
  c.pool.put(std::make_unique<Object>(c.alive));
  EXPECT_EQ(c.alive, 1);
  auto object = c.pool.get();
  EXPECT_EQ(c.made, 0);
  const std::unique_ptr<Object> kept(object.release());  // leaves the pool for good
  EXPECT_EQ(c.alive, 1);
}

TEST(PoolEnd, DestroysWhatIsIdle) {
  std::atomic<int> alive{0};
  test::run([&] {
    Pool<Object> pool([&] { return std::make_unique<Object>(alive); });
    WaitGroup wg;
    for (int i = 0; i < 50; ++i)
      wg.go([&] {
        auto a = pool.get();
        gosched();
        auto b = pool.get();
      });
    wg.wait();
    EXPECT_GT(alive, 0);
  });
  EXPECT_EQ(alive, 0);
}

TEST(PoolTrim, LeavesAtMostOneForEachP) {
  test::run([] {
    CountedPool c;
    {
      std::vector<Pool<Object>::Handle> held;
      for (int i = 0; i < 40; ++i) held.push_back(c.pool.get());
    }
    c.pool.trim();
    EXPECT_LE(c.alive, max_procs());
  });
}

TEST(PoolFactory, ExceptionComesOut) {
  int tries = 0;
  Pool<int> pool([&]() -> std::unique_ptr<int> {
    if (++tries == 1) throw std::runtime_error("no");
    return std::make_unique<int>(tries);
  });
  EXPECT_THROW(pool.get(), std::runtime_error);
  EXPECT_EQ(*pool.get(), 2);
}

TEST(PoolFactory, DefaultOneConstructs) {
  Pool<std::vector<int>> pool;
  pool.get()->push_back(1);
  EXPECT_EQ(pool.get()->size(), 1u);
}

TEST(PoolMisuse, NonsenseBoundPanics) {
  EXPECT_THROW(Pool<int>(std::size_t{0}), Panic);
  EXPECT_THROW(Pool<int>(std::size_t{65537}), Panic);
}

// No object is ever with two users, nor lost, whatever Ps and threads do with it, Ps that are taken
// away included.
TEST(PoolStress, EachObjectHasOneUser) {
  test::run([] {
    CountedPool c(4);
    std::atomic<int> hogs{0};
    const auto use = [&](int seed) {
      for (int i = 0; i < 500; ++i) {
        auto a = c.pool.get();
        if (++a->users != 1) ADD_FAILURE();
        if ((i + seed) % 7 == 0) gosched();
        {
          auto b = c.pool.get();
          if (++b->users != 1) ADD_FAILURE();
          --b->users;
        }
        --a->users;
        if (i == 250 && hogs++ < 2) {  // long enough to lose the P between two calls
          const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(25);
          while (std::chrono::steady_clock::now() < end) asm volatile("");
        }
      }
    };
    WaitGroup wg;
    for (int i = 0; i < 10; ++i) wg.go([&, i] { use(i); });
    std::thread plain([&] { use(3); });
    wg.wait();
    plain.join();
    EXPECT_LE(c.alive, (4 + 1) * (max_procs() + 1));
  });
}

}  // namespace
}  // namespace treadle
