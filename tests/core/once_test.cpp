#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <treadle/chan.h>
#include <treadle/go.h>
#include <treadle/once.h>
#include <treadle/result.h>
#include <treadle/wait_group.h>

#include "support/goroutine.h"

namespace treadle {
namespace {

using test::Task;

TEST(OnceCall, HappensOnceAndIsSeenByAll) {
  test::run([] {
    for (int round = 0; round < 100; ++round) {
      Once once;
      int plain = 0;
      WaitGroup wg;
      for (int i = 0; i < 10; ++i)
        wg.go([&] {
          once.call([&] {
            if (round % 2) gosched();
            ++plain;
          });
          EXPECT_EQ(plain, 1);
        });
      wg.wait();
      EXPECT_TRUE(once.done());
    }
  });
}

TEST(OnceCall, OthersWaitForTheOneInProgress) {
  test::run([] {
    Once once;
    auto go_on = make_chan<int>();
    bool ready = false;
    Task first([&] {
      once.call([&] {
        go_on.recv();
        ready = true;
      });
    });
    first.wait_until_parked();
    Task second([&] {
      once.call([] { ADD_FAILURE(); });
      EXPECT_TRUE(ready);
    });
    second.wait_until_parked();
    EXPECT_FALSE(once.done());
    go_on.send(1);
    second.join();
    EXPECT_TRUE(once.done());
  });
}

TEST(OnceException, LetsTheNextOneTry) {
  Once once;
  EXPECT_THROW(once.call([] { throw std::runtime_error("first"); }), std::runtime_error);
  EXPECT_FALSE(once.done());
  int calls = 0;
  once.call([&] { ++calls; });
  once.call([&] { ++calls; });
  EXPECT_EQ(calls, 1);
}

TEST(OnceException, HandsTheTurnToWhoWaits) {
  test::run([] {
    Once once;
    auto go_on = make_chan<int>();
    Task first([&] {
      EXPECT_THROW(once.call([&] {
        go_on.recv();
        throw std::runtime_error("first");
      }),
                   std::runtime_error);
    });
    first.wait_until_parked();
    std::atomic<int> calls{0};
    std::vector<std::unique_ptr<Task>> others;
    for (int i = 0; i < 5; ++i) {
      others.push_back(std::make_unique<Task>([&] {
        try {
          once.call([&] {
            if (++calls < 3) throw std::runtime_error("again");
          });
        } catch (const std::runtime_error&) {
        }
      }));
      others.back()->wait_until_parked();
    }
    go_on.send(1);
    for (auto& t : others) t->join();
    EXPECT_EQ(calls, 3);
    EXPECT_TRUE(once.done());
  });
}

TEST(OnceMisuse, CallFromWithinItselfPanics) {
  Once once;
  EXPECT_THROW(once.call([&] { once.call([] {}); }), Panic);
  EXPECT_FALSE(once.done());
  once.call([&] { Once().call([] {}); });  // another one is fine
  once.call([] { ADD_FAILURE(); });
}

TEST(OnceMixed, PlainThreadsAndGoroutinesAgree) {
  test::run([] {
    for (int round = 0; round < 30; ++round) {
      Once once;
      int plain = 0;
      const auto ask = [&] {
        once.call([&] { ++plain; });
        EXPECT_EQ(plain, 1);
      };
      WaitGroup wg;
      for (int i = 0; i < 4; ++i) wg.go(ask);
      std::thread a(ask), b(ask);
      wg.wait();
      a.join();
      b.join();
    }
  });
}

TEST(OnceLazy, MakesItsValueWhenAskedFirst) {
  int made = 0;
  Lazy value([&] { return std::make_unique<std::string>(std::to_string(++made)); });
  EXPECT_FALSE(value.made());
  EXPECT_EQ(**value, "1");
  EXPECT_EQ(*value.get(), "1");
  EXPECT_EQ(value->get()->size(), 1u);
  EXPECT_TRUE(value.made());
}

TEST(OnceLazy, TriesAgainAfterAnException) {
  int tries = 0;
  Lazy value([&] {
    if (++tries < 3) throw std::runtime_error("not yet");
    return tries;
  });
  EXPECT_THROW(value.get(), std::runtime_error);
  EXPECT_THROW(*value, std::runtime_error);
  EXPECT_EQ(*value, 3);
}

}  // namespace
}  // namespace treadle
