// Virtual time: testing::run_virtual() and testing::wait().
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <treadle/blocking.h>
#include <treadle/chan.h>
#include <treadle/context.h>
#include <treadle/go.h>
#include <treadle/mutex.h>
#include <treadle/runtime.h>
#include <treadle/select.h>
#include <treadle/testing.h>
#include <treadle/timer.h>
#include <treadle/wait_group.h>

#include "core/pipe.h"
#include "support/goroutine.h"

namespace treadle {
namespace {

using namespace std::chrono_literals;
using treadle::testing::run_virtual;

// The text of the Panic that `f` throws.
template <class F>
std::string panic_of(F&& f) {
  try {
    f();
  } catch (const Panic& p) {
    return p.what();
  }
  return "no panic";
}

TEST(TestingVirtual, SleepTakesExactlyItsTimeAndNone) {
  const auto real = std::chrono::steady_clock::now();
  test::run([] {
    run_virtual([] {
      const auto begin = Clock::now();
      EXPECT_TRUE(sleep(24h));
      EXPECT_EQ(Clock::now() - begin, 24h);
      EXPECT_TRUE(sleep(1ns));
      EXPECT_EQ(Clock::now() - begin, 24h + 1ns);
    });
  });
  EXPECT_LT(std::chrono::steady_clock::now() - real, 1h);
}

TEST(TestingVirtual, EveryBubbleBeginsAtTheSameInstant) {
  test::run([] {
    TimePoint first, second;
    run_virtual([&] {
      first = Clock::now();
      EXPECT_TRUE(sleep(1s));
    });
    run_virtual([&] { second = Clock::now(); });
    EXPECT_EQ(first, second);
    EXPECT_NE(Clock::now(), second);
  });
}

TEST(TestingVirtual, WorksFromAPlainThread) {
  bool ran = false;
  run_virtual([&] {
    EXPECT_TRUE(in_goroutine());
    EXPECT_TRUE(sleep(1h));
    ran = true;
  });
  EXPECT_TRUE(ran);
}

TEST(TestingVirtual, SleepersWakeInTheOrderOfTheirTimes) {
  test::run([] {
    std::vector<int> order;
    run_virtual([&] {
      const auto begin = Clock::now();
      for (const int i : {3, 1, 5, 2, 4})
        go([&order, begin, i] {
          (void)sleep(std::chrono::minutes(i));
          EXPECT_EQ(Clock::now() - begin, std::chrono::minutes(i));
          order.push_back(i);  // one at a time: each has an instant of its own
        });
    });
    EXPECT_EQ(order, (std::vector{1, 2, 3, 4, 5}));
  });
}

TEST(TestingVirtual, ReturnsOnlyWhenTheLastGoroutineHasEnded) {
  test::run([] {
    std::atomic<int> ended{0};
    run_virtual([&] {
      for (int i = 0; i < 10; ++i)
        go([&] {
          go([&] {
            (void)sleep(2h);
            ++ended;
          });
          (void)sleep(1h);
          ++ended;
        });
    });
    EXPECT_EQ(ended, 20);
  });
}

TEST(TestingVirtual, TimeStandsStillWhileAGoroutineRuns) {
  test::run([] {
    run_virtual([] {
      std::atomic<bool> woken{false};
      go([&] {
        (void)sleep(1ns);
        woken = true;
      });
      const auto begin = Clock::now();
      for (int i = 0; i < 1000; ++i) gosched();
      EXPECT_FALSE(woken);
      EXPECT_EQ(Clock::now(), begin);
      (void)sleep(1ns);
      testing::wait();
      EXPECT_TRUE(woken);
    });
  });
}

TEST(TestingVirtual, ContextsExpireInVirtualTime) {
  test::run([] {
    run_virtual([] {
      const auto begin = Clock::now();
      const auto limit = with_timeout(background(), 5s);
      (void)sleep(5s - 1ns);
      testing::wait();
      EXPECT_FALSE(limit.context.done());
      (void)sleep(1ns);
      testing::wait();
      EXPECT_EQ(limit.context.error(), Errc::timed_out);

      const auto again = with_timeout(background(), 1h);
      const ContextScope scope(again.context);
      EXPECT_EQ(sleep(2h).error(), Errc::timed_out);
      EXPECT_EQ(Clock::now() - begin, 5s + 1h);
    });
  });
}

TEST(TestingVirtual, DeadlinesAndTheTimeLeftAreVirtual) {
  test::run([] {
    run_virtual([] {
      const auto d = Deadline::after(10s);
      EXPECT_EQ(d.remaining(), 10s);
      (void)sleep(4s);
      EXPECT_EQ(d.remaining(), 6s);
      EXPECT_FALSE(d.passed());
      (void)sleep(6s);
      EXPECT_TRUE(d.passed());
    });
  });
}

TEST(TestingVirtual, SelectTimesOutAtItsInstant) {
  test::run([] {
    run_virtual([] {
      auto ch = make_chan<int>();
      const auto begin = Clock::now();
      bool timed_out = false;
      select(on_recv(ch, [](int) { FAIL(); }), on_timeout(90s, [&] { timed_out = true; }));
      EXPECT_TRUE(timed_out);
      EXPECT_EQ(Clock::now() - begin, 90s);
    });
  });
}

TEST(TestingVirtual, LocksAndWaitGroupsAreDurable) {
  test::run([] {
    run_virtual([] {
      const auto begin = Clock::now();
      Mutex mutex;
      WaitGroup wg;
      wg.add(2);
      mutex.lock();
      go([&] {
        mutex.lock();
        EXPECT_EQ(Clock::now() - begin, 1h);
        mutex.unlock();
        wg.done();
      });
      go([&] {
        (void)sleep(3h);
        wg.done();
      });
      (void)sleep(1h);
      mutex.unlock();
      wg.wait();
      EXPECT_EQ(Clock::now() - begin, 3h);
    });
  });
}

TEST(TestingVirtualWait, SeesWhatOthersCanDoNowDone) {
  test::run([] {
    run_virtual([] {
      auto ch = make_chan<int>();
      int got = 0;
      for (int i = 0; i < 3; ++i)
        go([&got, ch] {
          for (const int v : ch) {
            for (int k = 0; k < 20; ++k) gosched();
            got += v;
          }
        });
      ch.send(1);
      testing::wait();
      EXPECT_EQ(got, 1);
      ch.send(10);
      testing::wait();
      EXPECT_EQ(got, 11);
      ch.close();
    });
  });
}

TEST(TestingVirtualWait, DoesNotMoveTheClock) {
  test::run([] {
    run_virtual([] {
      const auto begin = Clock::now();
      bool woken = false;
      go([&] {
        (void)sleep(1s);
        woken = true;
      });
      testing::wait();
      EXPECT_FALSE(woken);
      EXPECT_EQ(Clock::now(), begin);
      (void)sleep(2s);  // the other one writes to this frame
      EXPECT_TRUE(woken);
    });
  });
}

TEST(TestingVirtualWait, AloneReturnsAtOnce) {
  test::run([] { run_virtual([] { testing::wait(); }); });
}

TEST(TestingVirtualWait, SecondCallerPanics) {
  test::run([] {
    std::atomic<int> panics{0}, returned{0};
    run_virtual([&] {
      for (int i = 0; i < 2; ++i)
        go([&] {
          const std::string text = panic_of([] { testing::wait(); });
          text.find("waits already") != std::string::npos ? ++panics : ++returned;
        });
      for (int i = 0; i < 50; ++i) gosched();
    });
    EXPECT_EQ(panics + returned, 2);
    EXPECT_LE(panics, 1);
  });
}

TEST(TestingVirtualWait, OutsideABubblePanics) {
  test::run([] {
    EXPECT_NE(panic_of([] { testing::wait(); }).find("outside run_virtual"), std::string::npos);
  });
  EXPECT_NE(panic_of([] { testing::wait(); }).find("outside run_virtual"), std::string::npos);
}

TEST(TestingVirtual, NestedOnesPanic) {
  test::run([] {
    run_virtual([] {
      EXPECT_NE(panic_of([] { run_virtual([] {}); }).find("inside another bubble"),
                std::string::npos);
    });
  });
}

TEST(TestingVirtual, ExceptionOfTheBodyComesOut) {
  test::run([] {
    bool other_ended = false;
    EXPECT_THROW(run_virtual([&] {
                   go([&] {
                     (void)sleep(1h);
                     other_ended = true;
                   });
                   throw std::runtime_error("out");
                 }),
                 std::runtime_error);
    EXPECT_TRUE(other_ended);
  });
}

// Those that a deadlock leaves behind are woken at the end, so that the leak check is content.
TEST(TestingVirtualDeadlock, IsAPanicThatNamesTheBlocked) {
  test::run([] {
    Chan<int> left;
    const std::string text = panic_of([&] {
      run_virtual([&] {
        auto ch = make_chan<int>();
        left = ch;
        go([ch] { (void)ch.recv(); });
        (void)ch.recv();
      });
    });
    EXPECT_NE(text.find("run_virtual: deadlock"), std::string::npos) << text;
    EXPECT_NE(text.find("[chan receive]"), std::string::npos) << text;
    EXPECT_NE(text.find("testing_virtual_test.cpp"), std::string::npos) << text;
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 3) << text;
    left.close();
  });
}

TEST(TestingVirtualDeadlock, AlsoWhenTheBodyHasReturned) {
  test::run([] {
    auto left = std::make_shared<Chan<int>>();
    EXPECT_NE(panic_of([&] {
                run_virtual([left] {
                  *left = make_chan<int>();
                  go([ch = *left] { (void)ch.recv(); });
                  (void)sleep(1s);
                });
              }).find("deadlock"),
              std::string::npos);
    left->close();
    // What was abandoned does not disturb the next bubble.
    run_virtual([] { EXPECT_TRUE(sleep(1h)); });
  });
}

// The clock must not pass a wait that something outside is about to end.
TEST(TestingVirtualOutside, ChannelMadeOutsideHoldsTheClock) {
  test::run([] {
    auto outside = make_chan<int>();
    std::thread sender([outside] {
      std::this_thread::sleep_for(5ms);
      outside.send(1);
    });
    run_virtual([&] {
      std::atomic<bool> woken{false};
      go([&] {
        (void)sleep(1h);
        woken = true;
      });
      EXPECT_EQ(outside.recv(), 1);
      EXPECT_FALSE(woken);
      (void)sleep(2h);  // the other one writes to this frame
      EXPECT_TRUE(woken);
    });
    blocking_long([&] { sender.join(); });
  });
}

TEST(TestingVirtualOutside, SelectOnOneMadeOutsideHoldsTheClock) {
  test::run([] {
    auto outside = make_chan<int>();
    std::thread sender([outside] {
      std::this_thread::sleep_for(5ms);
      outside.send(1);
    });
    run_virtual([&] {
      const auto begin = Clock::now();
      bool got = false;
      select(on_recv(outside, [&](int) { got = true; }), on_timeout(1h, [] { FAIL(); }));
      EXPECT_TRUE(got);
      EXPECT_EQ(Clock::now(), begin);
    });
    blocking_long([&] { sender.join(); });
  });
}

TEST(TestingVirtualOutside, ContextMadeOutsideHoldsTheClock) {
  test::run([] {
    const auto outside = with_cancel(background());
    std::thread canceller([&] {
      std::this_thread::sleep_for(5ms);
      outside.cancel();
    });
    run_virtual([&] {
      const auto begin = Clock::now();
      const ContextScope scope(outside.context);
      EXPECT_EQ(sleep(1h).error(), Errc::canceled);
      EXPECT_EQ(Clock::now(), begin);
    });
    blocking_long([&] { canceller.join(); });
  });
}

TEST(TestingVirtualOutside, BlockedThreadHoldsTheClock) {
  test::run([] {
    run_virtual([] {
      const test::Pipe pipe;
      const auto begin = Clock::now();
      std::atomic<bool> read{false};
      go([&] {
        EXPECT_EQ(blocking([&] { return pipe.read_byte(); }), 'x');
        EXPECT_EQ(Clock::now(), begin);
        read = true;
      });
      pipe.write_byte('x');
      (void)sleep(1h);
      EXPECT_TRUE(read);
    });
  });
}

TEST(TestingVirtualOutside, OthersLiveInRealTimeMeanwhile) {
  test::run([] {
    std::atomic<bool> stop{false};
    test::Task other([&] {
      while (!stop) {
        const auto begin = Clock::now();
        (void)sleep(200us);
        const auto took = Clock::now() - begin;
        EXPECT_GE(took, 200us);
        EXPECT_LT(took, 1h);
      }
    });
    for (int i = 0; i < 50; ++i)
      run_virtual([] {
        for (int k = 0; k < 20; ++k) (void)sleep(100h);
      });
    stop = true;
  });
}

// Many bubbles at once, each with many sleepers: every instant is met, by everyone.
TEST(TestingVirtual, ManyBubblesAtOnce) {
  constexpr int kBubbles = 8, kSleepers = 20, kSteps = 20;
  test::run([] {
    std::vector<std::unique_ptr<test::Task>> tasks;
    for (int b = 0; b < kBubbles; ++b)
      tasks.push_back(std::make_unique<test::Task>([] {
        run_virtual([] {
          WaitGroup wg;
          auto ch = make_chan<Duration>(3);
          wg.add(kSleepers);
          const auto begin = Clock::now();
          for (int i = 1; i <= kSleepers; ++i)
            go([&, i] {
              for (int k = 1; k <= kSteps; ++k) {
                (void)sleep(i * 1s);
                EXPECT_EQ(Clock::now() - begin, k * i * 1s);
                ch.send(k * i * 1s);
              }
              wg.done();
            });
          Duration last{};
          for (int n = 0; n < kSleepers * kSteps; ++n) {
            const Duration at = ch.recv().value();
            EXPECT_GE(at, last);
            last = at;
          }
          wg.wait();
        });
      }));
    for (auto& t : tasks) t->join();
  });
}

// What a bubble leaves behind may go, or be looked at, later.
TEST(TestingVirtual, ContextsThatOutliveTheirBubbleAreHarmless) {
  test::run([] {
    Context kept;
    run_virtual([&] { kept = with_timeout(background(), 1h).context; });
    EXPECT_FALSE(kept.done());
    run_virtual([] { EXPECT_TRUE(sleep(2h)); });
    EXPECT_FALSE(kept.done());
    kept = {};
  });
}

}  // namespace
}  // namespace treadle
