// after(), after_func() and Timer.
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <treadle/chan.h>
#include <treadle/context.h>
#include <treadle/go.h>
#include <treadle/labels.h>
#include <treadle/result.h>
#include <treadle/runtime.h>
#include <treadle/select.h>
#include <treadle/ticker.h>
#include <treadle/wait_group.h>

#include "support/goroutine.h"

namespace treadle {
namespace {

using test::Task;
using namespace std::chrono_literals;

// Yields until `met`; the test's watchdog ends it when that never comes.
template <class F>
void await(F&& met) {
  while (!met()) (void)sleep(50us);
}

TEST(After, SendsTheTimeOnceAndNotBefore) {
  test::run([] {
    const auto begin = Clock::now();
    const auto channel = after(2ms);
    const auto at = channel.recv();
    ASSERT_TRUE(at);
    EXPECT_GE(*at - begin, 2ms);
    EXPECT_GE(Clock::now(), *at);
    EXPECT_FALSE(channel.try_recv());
  });
}

TEST(After, ZeroAndNegativeArriveAtOnce) {
  test::run([] {
    for (const Duration d : {0ns, -1ns, -1'000'000'000ns, Duration::min()}) {
      EXPECT_TRUE(after(d).recv());
      EXPECT_TRUE(Timer(d).channel().recv());
      auto called = make_chan<int>();
      after_func(d, [called] { called.send(1); });
      called.recv();
    }
  });
}

TEST(After, TooLongForTheClockNeverArrives) {
  test::run([] {
    const auto far = after(Duration::max());
    const Timer timer(Duration::max() - 1ns);
    auto called = make_chan<int>(1);
    const Timer func = after_func(Duration::max(), [called] { called.send(1); });
    EXPECT_TRUE(after(1ms).recv());
    EXPECT_FALSE(far.try_recv());
    EXPECT_TRUE(timer.stop());
    EXPECT_TRUE(func.stop());
    EXPECT_FALSE(called.try_recv());
  });
}

TEST(After, LooksUnbuffered) {
  test::run([] {
    const Timer timer(0ns);
    EXPECT_TRUE(timer.channel().recv());
    timer.reset(0ns);
    (void)sleep(1ms);
    EXPECT_EQ(timer.channel().size(), 0u);
    EXPECT_EQ(timer.channel().capacity(), 0u);
    EXPECT_TRUE(timer.channel().recv());
  });
}

TEST(After, ArrivesInTheOrderOfTheTimes) {
  test::run([] {
    // Armed in disorder, all on one heap; received by one goroutine for each.
    const int order[] = {5, 3, 6, 6, 6, 1, 1, 2, 7, 9, 4, 8, 0};
    auto arrived = make_chan<std::pair<int, TimePoint>>();
    const auto begin = Clock::now();
    for (const int slot : order)
      go([=] {
        const auto at = after(begin + slot * 2ms - Clock::now()).recv();
        arrived.send({slot, *at});
      });
    for (std::size_t i = 0; i < std::size(order); ++i) {
      const auto got = arrived.recv();
      EXPECT_GE(got->second - begin, got->first * 2ms);
    }
  });
}

TEST(After, IsPartOfASelect) {
  test::run([] {
    auto never = make_chan<int>();
    bool timed_out = false;
    const auto timeout = after(1ms);
    select(on_recv(never, [](int) { ADD_FAILURE(); }),
           on_recv(timeout, [&](TimePoint) { timed_out = true; }));
    EXPECT_TRUE(timed_out);
  });
}

TEST(After, WorksOnPlainThreads) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i)
    threads.emplace_back([] {
      const auto begin = Clock::now();
      EXPECT_GE(*after(1ms).recv() - begin, 1ms);
      auto called = make_chan<bool>();
      after_func(100us, [called] { called.send(in_goroutine()); });
      EXPECT_EQ(called.recv(), true);
      const Timer timer(1h);
      EXPECT_TRUE(timer.reset(1ms));
      EXPECT_TRUE(timer.channel().recv());
      EXPECT_FALSE(timer.stop());
    });
  for (auto& t : threads) t.join();
}

TEST(AfterFunc, MayArmItselfAgain) {
  test::run([] {
    auto done = make_chan<int>();
    struct Chain {
      int left;
      Chan<int> done;
      void operator()() const {
        if (left == 0)
          done.send(1);
        else
          after_func(100us, Chain{left - 1, done});
      }
    };
    after_func(0ns, Chain{10, done});
    done.recv();
  });
}

TEST(AfterFunc, RunsInAGoroutineOfItsOwnWithoutContext) {
  test::run([] {
    auto [ctx, cancel] = with_cancel(background());
    const ContextScope scope(ctx);
    auto id = make_chan<std::uint64_t>();
    after_func(1us, [id] {
      EXPECT_EQ(current_context(), background());
      (void)sleep(1us);  // it may park
      id.send(goroutine_id());
    });
    EXPECT_NE(id.recv(), goroutine_id());
  });
}

TEST(AfterFunc, OfAContextThatHasEndedInheritsNoLabels) {
  test::run([] {
    const LabelScope labels{{"mine", "1"}};
    const auto made = with_cancel(background());
    made.cancel();
    auto found = make_chan<std::string>();
    after_func(made.context, [found] { found.send(goroutine_label("mine")); });
    EXPECT_EQ(found.recv(), "");
    EXPECT_EQ(goroutine_label("mine"), "1");
  });
}

// Timers are run by whichever goroutine enters the runtime when they are due.
TEST(AfterFunc, InheritsNoLabels) {
  test::run([] {
    const LabelScope labels{{"mine", "1"}};
    auto found = make_chan<std::string>();
    for (int i = 0; i < 20; ++i) {
      const auto made = with_timeout(background(), 50us);
      after_func(50us, [found] { found.send(goroutine_label("mine")); });
      after_func(made.context, [found] { found.send(goroutine_label("mine")); });
      // Without a park, so that the labelled goroutine itself is asked to see to its timers.
      const auto until = Clock::now() + 100us;
      while (Clock::now() < until) (void)runtime_stats();
      EXPECT_EQ(found.recv(), "");
      EXPECT_EQ(found.recv(), "");
      EXPECT_EQ(goroutine_label("mine"), "1");
    }
  });
}

TEST(AfterFunc, StoppedIsNotCalled) {
  test::run([] {
    std::atomic<int> calls{0};
    const Timer far = after_func(1h, [&] { ++calls; });
    EXPECT_TRUE(far.stop());
    EXPECT_FALSE(far.stop());
    const Timer near = after_func(1us, [&] { ++calls; });
    await([&] { return calls == 1; });
    EXPECT_FALSE(near.stop());
    EXPECT_FALSE(far.channel());
  });
}

TEST(AfterFunc, ResetRunsItAgain) {
  test::run([] {
    auto called = make_chan<int>();
    const Timer timer = after_func(1us, [called] { called.send(1); });
    called.recv();
    EXPECT_FALSE(timer.reset(1us));
    called.recv();
    EXPECT_FALSE(timer.reset(1h));
    EXPECT_TRUE(timer.reset(1us));
    called.recv();
    EXPECT_FALSE(timer.stop());
    EXPECT_FALSE(timer.reset(1h));
    EXPECT_TRUE(timer.stop());
    EXPECT_FALSE(timer.reset(0ns));
    called.recv();
  });
}

TEST(AfterFunc, CallableDiesWithTheLastThatNeedsIt) {
  test::run([] {
    auto held = std::make_shared<int>(1);
    auto called = make_chan<int>();
    // Dropped while it runs: the heap keeps it until the call is over.
    after_func(1us, [held, called] { called.send(1); });
    called.recv();
    await([&] { return held.use_count() == 1; });
    {
      const Timer stopped = after_func(1h, [held] {});
      EXPECT_TRUE(stopped.stop());
      EXPECT_EQ(held.use_count(), 2);  // it may be reset
    }
    EXPECT_EQ(held.use_count(), 1);
    const Timer expired = after_func(1us, [held, called] { called.send(1); });
    called.recv();
    EXPECT_EQ(held.use_count(), 2);
  });
}

TEST(AfterFunc, CallableMayBeLargeAlignedAndMoveOnly) {
  test::run([] {
    struct alignas(128) Wide {
      std::uint64_t words[64];
    };
    auto called = make_chan<std::uintptr_t>();
    after_func(1us, [called, wide = Wide{{1, 2, 3}}, owned = std::make_unique<int>(4)] {
      EXPECT_EQ(wide.words[2], 3u);
      EXPECT_EQ(*owned, 4);
      called.send(reinterpret_cast<std::uintptr_t>(&wide) % 128);
    });
    EXPECT_EQ(called.recv(), 0u);
    struct Throws {
      Throws() = default;
      Throws(const Throws&) { throw std::runtime_error("no copy"); }
      void operator()() const {}
    };
    const Throws f;
    EXPECT_THROW(after_func(1us, f), std::runtime_error);
  });
}

TEST(AfterTimer, StopPreventsTheValue) {
  test::run([] {
    const Timer timer(1h);
    EXPECT_TRUE(timer.stop());
    EXPECT_FALSE(timer.stop());
    EXPECT_FALSE(timer.channel().try_recv());
    EXPECT_FALSE(timer.reset(1us));
    EXPECT_TRUE(timer.channel().recv());
    EXPECT_FALSE(timer.stop());
  });
}

// A value that was sent but not received goes back, and the timer counts as running.
TEST(AfterTimer, StopAndResetTakeBackTheValue) {
  test::run([] {
    for (int i = 0; i < 50; ++i) {
      const Timer timer(0ns);
      const auto expired = after(20us);  // armed later, due later: then the first one has fired
      EXPECT_TRUE(expired.recv());
      EXPECT_TRUE(timer.stop());
      EXPECT_FALSE(timer.channel().try_recv());
      timer.reset(0ns);
      EXPECT_TRUE(after(20us).recv());
      EXPECT_TRUE(timer.reset(1h));
      EXPECT_FALSE(timer.channel().try_recv());
    }
  });
}

// Whenever stop() or reset() comes, before, amid or after the expiry: nothing old is received.
TEST(AfterTimer, NoStaleValueWhileItExpires) {
  test::run([] {
    for (int i = 0; i < 3000; ++i) {
      const Timer timer(1us * (i % 40));
      for (int spin = 0; spin < i % 97; ++spin) (void)Clock::now();
      if (i % 5 == 0) gosched();
      if (i % 2) {
        EXPECT_TRUE(timer.stop());
        ASSERT_FALSE(timer.channel().try_recv());
        gosched();
        ASSERT_FALSE(timer.channel().try_recv());
      } else {
        const auto restarted = Clock::now();
        EXPECT_TRUE(timer.reset(30us));
        const auto at = timer.channel().recv();
        ASSERT_GE(*at - restarted, 30us);
        ASSERT_FALSE(timer.channel().try_recv());
        EXPECT_FALSE(timer.stop());
      }
    }
  });
}

TEST(AfterTimer, ResetMovesItEarlierAndLater) {
  test::run([] {
    const Timer timer(1h);
    const auto begin = Clock::now();
    EXPECT_TRUE(timer.reset(1ms));
    EXPECT_GE(*timer.channel().recv() - begin, 1ms);
    EXPECT_FALSE(timer.reset(1ms));
    const auto later = Clock::now();
    EXPECT_TRUE(timer.reset(5ms));
    EXPECT_GE(*timer.channel().recv() - later, 5ms);
  });
}

TEST(AfterTimer, MovedEarlierWakesASleepingProcess) {
  test::run([] {
    for (int i = 0; i < 20; ++i) {
      const Timer timer(1h);
      Task waiter([&] { EXPECT_TRUE(timer.channel().recv()); });
      waiter.wait_until_parked();
      EXPECT_TRUE(timer.reset(100us));
      waiter.join();
    }
  });
}

TEST(AfterTimer, HandlesAreCounted) {
  test::run([] {
    Timer a(1h);
    const Timer b = a;
    EXPECT_EQ(a, b);
    EXPECT_NE(a, Timer(1h));
    const auto channel = a.channel();
    a = {};
    EXPECT_TRUE(b.stop());
    EXPECT_FALSE(channel.try_recv());
    // The channel alone keeps the timer going, and a timer goes with its channel.
    std::optional<Timer> timer(std::in_place, 1ms);
    const auto alone = timer->channel();
    timer.reset();
    EXPECT_TRUE(alone.recv());
  });
}

TEST(AfterTimer, ClosedChannelIsLeftAlone) {
  test::run([] {
    const Timer timer(1us);
    timer.channel().close();  // nobody should, but nothing breaks
    (void)sleep(1ms);
    timer.reset(1us);
    (void)sleep(1ms);
    timer.stop();
  });
}

TEST(AfterTimer, OfNothingPanicsWithItsName) {
  const Timer none;
  EXPECT_FALSE(none);
  EXPECT_FALSE(none.channel());
  try {
    none.stop();
    FAIL();
  } catch (const Panic& p) {
    EXPECT_STREQ(p.what(), "treadle::Timer: stop of a Timer that was never started");
  }
  EXPECT_THROW(none.reset(1s), Panic);
}

TEST(AfterTimer, StoppedAndResetFromEverywhereAtOnce) {
  test::run([] {
    for (int round = 0; round < 30; ++round) {
      const Timer timer(50us);
      std::atomic<int> calls{0};
      const Timer func = after_func(50us, [&] { ++calls; });
      std::atomic<int> expected{1};
      {
        std::vector<std::unique_ptr<Task>> tasks;
        for (int i = 0; i < 4; ++i)
          tasks.push_back(std::make_unique<Task>([&, i] {
            for (int k = 0; k < 100; ++k) {
              if ((i + k) % 3 == 0) {
                timer.stop();
                expected -= func.stop();
              } else {
                timer.reset(1us * (k % 30));
                expected += !func.reset(1us * (k % 30));
              }
              if (k % 10 == 0) gosched();
            }
          }));
      }
      timer.stop();
      expected -= func.stop();
      EXPECT_FALSE(timer.channel().try_recv());
      await([&] { return calls == expected; });
    }
  });
}

}  // namespace
}  // namespace treadle
