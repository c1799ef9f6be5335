// Exceptions belong to the goroutine: what is being handled when it parks is being handled when it
// goes on, on whatever thread, and nobody else sees it.
#include <gtest/gtest.h>
#include <pthread.h>

#include <atomic>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <treadle/blocking.h>
#include <treadle/chan.h>
#include <treadle/go.h>
#include <treadle/wait_group.h>

#include "core/this_thread.h"
#include "support/goroutine.h"

namespace treadle {
namespace {

using test::Task;
using test::this_thread;

std::string current_message() {
  try {
    throw;
  } catch (const std::exception& e) {
    return e.what();
  }
}

TEST(ExceptionThrow, IsCaughtInAGoroutine) {
  test::run([] {
    for (int i = 0; i < 100; ++i) {
      bool caught = false;
      try {
        throw std::runtime_error("x");
      } catch (const std::runtime_error&) {
        caught = true;
      }
      EXPECT_TRUE(caught);
    }
  });
}

TEST(ExceptionThrow, CrossesParksOnItsWayOut) {
  struct ParksWhenDestroyed {
    Chan<int> ch;
    ~ParksWhenDestroyed() {
      EXPECT_EQ(std::uncaught_exceptions(), 1);
      ch.send(1);  // during unwinding
      EXPECT_EQ(std::uncaught_exceptions(), 1);
    }
  };
  test::run([] {
    auto ch = make_chan<int>();
    Task thrower([&] {
      try {
        const ParksWhenDestroyed guard{ch};
        throw std::runtime_error("through a park");
      } catch (const std::runtime_error& e) {
        EXPECT_STREQ(e.what(), "through a park");
      }
      EXPECT_EQ(std::uncaught_exceptions(), 0);
    });
    thrower.wait_until_parked();
    EXPECT_EQ(std::uncaught_exceptions(), 0);
    EXPECT_EQ(ch.recv(), 1);
  });
}

TEST(ExceptionCatch, ParkedHandlersKeepTheirOwn) {
  constexpr int kGoroutines = 100;
  test::run([] {
    auto gate = make_chan<int>();
    std::vector<std::unique_ptr<Task>> tasks;
    for (int i = 0; i < kGoroutines; ++i)
      tasks.push_back(std::make_unique<Task>([&, i] {
        const std::string mine = "exception " + std::to_string(i);
        try {
          throw std::runtime_error(mine);
        } catch (const std::runtime_error& e) {
          (void)gate.recv();
          EXPECT_EQ(e.what(), mine);
          EXPECT_EQ(current_message(), mine);
          for (int k = 0; k < 20; ++k) {
            gosched();
            EXPECT_EQ(current_message(), mine);
          }
        }
        EXPECT_FALSE(std::current_exception());
      }));
    for (auto& t : tasks) t->wait_until_parked();
    EXPECT_FALSE(std::current_exception());
    EXPECT_EQ(std::uncaught_exceptions(), 0);
    // The one that runs meanwhile has exceptions of its own.
    EXPECT_THROW(throw std::logic_error("mine"), std::logic_error);
    // Woken from the last to the first: no order of nesting is kept.
    gate.close();
  });
}

TEST(ExceptionCatch, RethrownIsTheSameObject) {
  test::run([] {
    auto ch = make_chan<int>();
    Task task([&] {
      const void* first = nullptr;
      try {
        try {
          throw std::runtime_error("once");
        } catch (const std::runtime_error& e) {
          first = &e;
          (void)ch.recv();
          throw;
        }
      } catch (const std::runtime_error& e) {
        EXPECT_EQ(&e, first);
        (void)ch.recv();
        EXPECT_STREQ(e.what(), "once");
      }
    });
    task.wait_until_parked();
    ch.send(1);
    task.wait_until_parked();
    ch.send(1);
  });
}

TEST(ExceptionCatch, NestedHandlersUnwindInOrderAcrossParks) {
  test::run([] {
    std::vector<std::unique_ptr<Task>> tasks;
    for (int n = 0; n < 20; ++n)
      tasks.push_back(std::make_unique<Task>([] {
        try {
          throw std::runtime_error("outer");
        } catch (...) {
          gosched();
          try {
            throw std::logic_error("inner");
          } catch (...) {
            gosched();
            EXPECT_EQ(current_message(), "inner");
          }
          gosched();
          EXPECT_EQ(current_message(), "outer");
        }
        EXPECT_FALSE(std::current_exception());
      }));
  });
}

// A goroutine parked in a handler is made to go on on another thread: its own is kept busy by the
// one who wakes it, until another P steals the sleeper or sysmon takes the one P there is.
TEST(ExceptionCatch, GoesOnOnAnotherThread) {
  test::run([] {
    bool moved = false;
    while (!moved) {
      auto ch = make_chan<int>();
      std::atomic<bool> woken{false};
      Task sleeper([&] {
        const pthread_t before = this_thread();
        try {
          throw std::runtime_error("moves");
        } catch (const std::runtime_error& e) {
          (void)ch.recv();
          woken = true;
          moved = this_thread() != before;
          EXPECT_STREQ(e.what(), "moves");
          EXPECT_EQ(current_message(), "moves");
          try {
            throw;
          } catch (const std::runtime_error& again) {
            EXPECT_EQ(&again, &e);
          }
        }
        EXPECT_FALSE(std::current_exception());
        EXPECT_EQ(std::uncaught_exceptions(), 0);
      });
      sleeper.wait_until_parked();
      ch.send(1);
      while (!woken) {  // does not yield
      }
    }
  });
}

TEST(ExceptionPointer, IsRethrownByAnotherGoroutine) {
  test::run([] {
    auto ch = make_chan<std::exception_ptr>();
    go([ch] {
      try {
        throw std::runtime_error("carried");
      } catch (...) {
        ch.send(std::current_exception());
      }
    });
    try {
      std::rethrow_exception(*ch.recv());
    } catch (const std::runtime_error& e) {
      gosched();
      EXPECT_STREQ(e.what(), "carried");
    }
  });
}

TEST(ExceptionPanic, FromAParkedCallIsCaughtWhereItWaited) {
  test::run([] {
    auto ch = make_chan<int>();
    Task sender([&] {
      try {
        throw std::runtime_error("outer");
      } catch (...) {
        EXPECT_THROW(ch.send(1), Panic);
        EXPECT_EQ(current_message(), "outer");
      }
    });
    sender.wait_until_parked();
    ch.close();
  });
}

TEST(ExceptionBlocking, LeavesTheHint) {
  test::run([] {
    EXPECT_THROW(blocking([] { throw std::runtime_error("out of a hint"); }), std::runtime_error);
    EXPECT_THROW(blocking_long([]() -> int { throw std::runtime_error("x"); }), std::runtime_error);
    EXPECT_EQ(blocking([] { return 5; }), 5);
    try {
      throw std::runtime_error("held");
    } catch (const std::runtime_error&) {
      blocking_long([] {});
      EXPECT_EQ(current_message(), "held");
    }
  });
}

TEST(ExceptionMany, ThrownAndCaughtEverywhereAtOnce) {
  test::run([] {
    WaitGroup wg;
    std::atomic<int> caught{0};
    for (int g = 0; g < 50; ++g) {
      wg.add(1);
      go([&, g] {
        for (int i = 0; i < 50; ++i) {
          const int mine = g * 1000 + i;
          try {
            if (i % 3 == 0) gosched();
            throw mine;
          } catch (int e) {
            if (i % 2 == 0) gosched();
            try {
              throw;
            } catch (int again) {
              if (again == mine && e == mine) ++caught;
            }
          }
        }
        wg.done();
      });
    }
    wg.wait();
    EXPECT_EQ(caught, 50 * 50);
  });
}

}  // namespace
}  // namespace treadle
