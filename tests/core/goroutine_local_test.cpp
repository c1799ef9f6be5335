#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <treadle/chan.h>
#include <treadle/goroutine_local.h>
#include <treadle/task.h>

#include "support/goroutine.h"

namespace treadle {
namespace {

GoroutineLocal<int> counter;
GoroutineLocal<std::string> text([] { return std::string("made"); });

TEST(GoroutineLocalValue, EachGoroutineHasItsOwn) {
  test::run([] {
    std::vector<Task<int>> tasks;
    for (int i = 0; i < 100; ++i)
      tasks.push_back(spawn([i] {
        EXPECT_FALSE(counter.has_value());
        EXPECT_EQ(*counter, 0);
        for (int k = 0; k < 20; ++k) {
          *counter += i;
          gosched();
        }
        return *counter;
      }));
    for (int i = 0; i < 100; ++i) EXPECT_EQ(tasks[static_cast<std::size_t>(i)].join(), 20 * i);
    EXPECT_FALSE(counter.has_value());
  });
}

TEST(GoroutineLocalValue, IsMadeOnFirstUseAndAgainAfterReset) {
  test::run([] {
    EXPECT_EQ(*text, "made");
    text->append("!");
    std::string& same = text.get();
    EXPECT_EQ(same, "made!");
    text.reset();
    EXPECT_FALSE(text.has_value());
    EXPECT_EQ(*text, "made");
    text.reset();
    text.reset();
  });
}

TEST(GoroutineLocalValue, PlainThreadsHaveTheirs) {
  *counter = 5;
  std::atomic<int> destroyed{0};
  struct Marks {
    std::atomic<int>* destroyed = nullptr;
    ~Marks() {
      if (destroyed) ++*destroyed;
    }
  };
  GoroutineLocal<Marks> marks;
  std::thread other([&] {
    EXPECT_EQ(*counter, 0);
    *counter = 7;
    marks->destroyed = &destroyed;
  });
  other.join();
  EXPECT_EQ(destroyed, 1);
  EXPECT_EQ(*counter, 5);
  counter.reset();
}

std::string order;             // by one goroutine at a time
std::atomic<int> in_order{0};  // how many stand there
struct Ordered {
  char mark = '?';
  ~Ordered() {
    order += mark;
    in_order.fetch_add(1);
  }
};

TEST(GoroutineLocalEnd, DestroysNewestFirst) {
  GoroutineLocal<Ordered> a, b, c;
  order.clear();
  in_order.store(0);
  test::run([&] {
    spawn([&] {
      b->mark = 'b';
      c->mark = 'c';
      a->mark = 'a';
    }).join();
    while (in_order.load() < 3) gosched();
  });
  EXPECT_EQ(order, "acb");
}

TEST(GoroutineLocalEnd, DestructorMayParkAndUseOthers) {
  static Chan<int> out;
  static GoroutineLocal<std::string>* names;
  struct Sends {
    int value = 0;
    ~Sends() {
      out.send(value);
      names->get() = "made while ending";
      gosched();
    }
  };
  test::run([] {
    out = make_chan<int>();
    GoroutineLocal<Sends> sends;
    GoroutineLocal<std::string> strings;
    names = &strings;
    go([&] { sends->value = 11; });
    EXPECT_EQ(out.recv(), 11);
    test::expect_goroutines(1);  // only this one, which is `run`'s
  });
}

TEST(GoroutineLocalEnd, ValuesOutliveTheirVariable) {
  static std::atomic<int> alive{0};
  struct Counted {
    Counted() { ++alive; }
    ~Counted() { --alive; }
  };
  alive = 0;
  test::run([] {
    auto gate = make_chan<int>();
    auto variable = std::make_unique<GoroutineLocal<Counted>>();
    auto ready = make_chan<int>();
    auto task = spawn([&] {
      (void)variable->get();
      ready.send(1);
      (void)gate.recv();
      // The slot is another variable's now, and its old value must not be taken for the new one's.
      GoroutineLocal<int> other;
      EXPECT_FALSE(other.has_value());
      EXPECT_EQ(*other, 0);
    });
    (void)ready.recv();
    variable.reset();
    EXPECT_EQ(alive, 1);
    gate.close();
    task.join();
    while (alive != 0) gosched();
  });
}

TEST(GoroutineLocalEnd, NextGoroutineStartsAnew) {
  test::run([] {
    for (int i = 0; i < 1000; ++i) {
      spawn([] {
        EXPECT_FALSE(counter.has_value());
        *counter = 77;
      }).join();
    }
  });
}

TEST(GoroutineLocalMake, MayThrow) {
  static bool throws = true;
  struct Throws {
    Throws() {
      if (throws) throw std::runtime_error("not yet");
    }
  };
  throws = true;
  test::run([] {
    GoroutineLocal<Throws> local([] { return Throws(); });
    EXPECT_THROW((void)local.get(), std::runtime_error);
    EXPECT_FALSE(local.has_value());
    throws = false;
    (void)local.get();
    EXPECT_TRUE(local.has_value());
  });
}

TEST(GoroutineLocalMany, ManyVariablesKeepApart) {
  test::run([] {
    std::vector<std::unique_ptr<GoroutineLocal<int>>> variables;
    for (int i = 0; i < 200; ++i) variables.push_back(std::make_unique<GoroutineLocal<int>>());
    std::vector<Task<void>> tasks;
    for (int t = 0; t < 10; ++t)
      tasks.push_back(spawn([&, t] {
        for (std::size_t i = 0; i < variables.size(); ++i)
          variables[i]->get() = t * 1000 + static_cast<int>(i);
        gosched();
        for (std::size_t i = 0; i < variables.size(); ++i)
          EXPECT_EQ(variables[i]->get(), t * 1000 + static_cast<int>(i));
      }));
    for (auto& t : tasks) t.join();
  });
}

}  // namespace
}  // namespace treadle
