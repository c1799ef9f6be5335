#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <treadle/chan.h>
#include <treadle/go.h>
#include <treadle/task_group.h>
#include <treadle/timer.h>

#include "support/goroutine.h"

namespace treadle {
namespace {

using test::Task;
using namespace std::chrono_literals;

TEST(TaskGroupWait, WithoutTasksIsNoError) {
  TaskGroup group;
  EXPECT_TRUE(group.wait());
  EXPECT_TRUE(group.wait());
}

TEST(TaskGroupWait, SeesWhatTheTasksWrote) {
  test::run([] {
    std::vector<int> results(100);
    TaskGroup group;
    for (std::size_t i = 0; i < results.size(); ++i)
      group.go([&, i] { results[i] = static_cast<int>(i); });
    ASSERT_TRUE(group.wait());
    for (std::size_t i = 0; i < results.size(); ++i) EXPECT_EQ(results[i], static_cast<int>(i));
  });
}

TEST(TaskGroupError, FirstOneIsReported) {
  test::run([] {
    TaskGroup group;
    auto first = make_chan<int>();
    group.go([&]() -> Result<void> {
      first.recv();
      return fail(Errc::eof);
    });
    group.go([]() -> Result<int> { return 1; });
    group.go([&]() -> Result<void> {
      group.context().wait();  // until the other one has failed
      return fail(Errc::closed);
    });
    first.send(1);
    EXPECT_EQ(group.wait().error(), Errc::eof);
    EXPECT_EQ(group.wait().error(), Errc::eof);
  });
}

TEST(TaskGroupError, CancelsTheOthersWithItsCause) {
  test::run([] {
    TaskGroup group;
    std::atomic<int> canceled{0};
    for (int i = 0; i < 5; ++i)
      group.go([&] {
        EXPECT_EQ(sleep(1h).error(), Errc::canceled);  // the group's Context is the current one
        EXPECT_EQ(current_context(), group.context());
        EXPECT_EQ(current_context().cause(), Errc::not_found);
        ++canceled;
      });
    group.go([]() -> Result<void> { return fail(Errc::not_found); });
    EXPECT_EQ(group.wait().error(), Errc::not_found);
    EXPECT_EQ(canceled, 5);
  });
}

TEST(TaskGroupException, IsCarriedToTheWaiter) {
  test::run([] {
    TaskGroup group;
    group.go([] { throw std::runtime_error("from a task"); });
    group.go([] { EXPECT_FALSE(sleep(1h)); });  // cancelled by the exception
    for (int i = 0; i < 2; ++i) {
      try {
        (void)group.wait();
        ADD_FAILURE() << "no exception";
      } catch (const std::runtime_error& e) {
        EXPECT_STREQ(e.what(), "from a task");
      }
    }
  });
}

TEST(TaskGroupException, CountsMoreThanAnError) {
  test::run([] {
    TaskGroup group;
    group.go([]() -> Result<void> { return fail(Errc::eof); });
    group.go([&] {
      group.context().wait();
      throw std::runtime_error("late");
    });
    EXPECT_THROW((void)group.wait(), std::runtime_error);
  });
}

TEST(TaskGroupParent, EndsWithIt) {
  test::run([] {
    auto [parent, cancel] = with_cancel(background());
    TaskGroup group(parent);
    group.go([]() -> Result<void> { return sleep(1h); });
    cancel();
    EXPECT_EQ(group.wait().error(), Errc::canceled);
  });
}

TEST(TaskGroupParent, IsTheCurrentContextByDefault) {
  test::run([] {
    const ContextScope scope(with_timeout(background(), 5ms).context);
    TaskGroup group;
    group.go([]() -> Result<void> { return sleep(1h); });
    EXPECT_EQ(group.wait().error(), Errc::timed_out);
    EXPECT_EQ(current_context().error(), Errc::timed_out);
  });
}

TEST(TaskGroupParent, IsNotCancelledByTheGroup) {
  test::run([] {
    auto [parent, cancel] = with_cancel(background());
    TaskGroup group(parent);
    group.go([]() -> Result<void> { return fail(Errc::eof); });
    EXPECT_FALSE(group.wait());
    EXPECT_TRUE(group.context().done());
    EXPECT_FALSE(parent.done());
  });
}

TEST(TaskGroupNested, OuterFailureEndsTheInnerTasks) {
  test::run([] {
    TaskGroup outer;
    auto started = make_chan<int>();
    outer.go([&]() -> Result<void> {
      TaskGroup inner;
      for (int i = 0; i < 3; ++i)
        inner.go([&]() -> Result<void> {
          started.send(1);
          return sleep(1h);
        });
      return inner.wait();
    });
    for (int i = 0; i < 3; ++i) started.recv();
    outer.go([]() -> Result<void> { return fail(Errc::eof); });
    EXPECT_EQ(outer.wait().error(), Errc::eof);
  });
}

TEST(TaskGroupNested, TasksMayAddTasks) {
  test::run([] {
    std::atomic<int> n{0};
    TaskGroup group;
    group.go([&] {
      for (int i = 0; i < 10; ++i)
        group.go([&] {
          group.go([&] { ++n; });
          gosched();
        });
    });
    EXPECT_TRUE(group.wait());
    EXPECT_EQ(n, 10);
  });
}

TEST(TaskGroupLimit, BoundsHowManyRun) {
  test::run([] {
    constexpr int kLimit = 3;
    std::atomic<int> running{0}, done{0};
    TaskGroup group;
    group.set_limit(kLimit);
    for (int i = 0; i < 50; ++i)
      group.go([&] {
        EXPECT_LE(++running, kLimit);
        gosched();
        --running;
        ++done;
      });
    EXPECT_TRUE(group.wait());
    EXPECT_EQ(done, 50);
  });
}

TEST(TaskGroupLimit, TryGoFailsWhileAllPlacesAreTaken) {
  test::run([] {
    TaskGroup group;
    group.set_limit(2);
    auto stop = make_chan<int>();
    for (int i = 0; i < 2; ++i) EXPECT_TRUE(group.try_go([=] { stop.recv(); }));
    EXPECT_FALSE(group.try_go([] { ADD_FAILURE(); }));
    Task blocked([&] { group.go([] {}); });
    blocked.wait_until_parked();
    EXPECT_FALSE(blocked.done());
    stop.send(1);
    blocked.join();
    stop.close();
    EXPECT_TRUE(group.wait());
    EXPECT_TRUE(group.try_go([] {}));
  });
}

TEST(TaskGroupLimit, WithoutOneTryGoAlwaysStarts) {
  test::run([] {
    std::atomic<int> n{0};
    TaskGroup group;
    for (int i = 0; i < 100; ++i) EXPECT_TRUE(group.try_go([&] { ++n; }));
    EXPECT_TRUE(group.wait());
    EXPECT_EQ(n, 100);
  });
}

TEST(TaskGroupLimit, NonsenseOrLateOnePanics) {
  test::run([] {
    TaskGroup group;
    EXPECT_THROW(group.set_limit(0), Panic);
    EXPECT_THROW(group.set_limit(-1), Panic);
    auto stop = make_chan<int>();
    group.go([=] { stop.recv(); });
    EXPECT_THROW(group.set_limit(1), Panic);
    stop.close();
    EXPECT_TRUE(group.wait());
    group.set_limit(1);
  });
}

TEST(TaskGroupEnd, WaitsSoThatReferencesAreSafe) {
  test::run([] {
    std::atomic<int> n{0};
    {
      TaskGroup group;
      for (int i = 0; i < 20; ++i)
        group.go([&] {
          gosched();
          EXPECT_FALSE(current_context().done());  // not cancelled by a plain end of the scope
          ++n;
        });
    }
    EXPECT_EQ(n, 20);
  });
}

TEST(TaskGroupEnd, ByAnExceptionCancelsFirst) {
  test::run([] {
    std::atomic<bool> ended{false};
    EXPECT_THROW(
        {
          TaskGroup group;
          group.go([&] {
            EXPECT_EQ(sleep(1h).error(), Errc::canceled);
            ended = true;
          });
          throw std::runtime_error("scope");
        },
        std::runtime_error);
    EXPECT_TRUE(ended);
  });
}

TEST(TaskGroupEnd, TasksAreDestroyedBeforeTheWaitReturns) {
  test::run([] {
    for (int round = 0; round < 300; ++round) {
      auto held = std::make_shared<int>(0);
      TaskGroup group;
      for (int i = 0; i < 3; ++i) group.go([held = std::as_const(held)] { gosched(); });
      EXPECT_TRUE(group.wait());
      EXPECT_EQ(held.use_count(), 1);
    }
  });
}

TEST(TaskGroupCancel, IsNoErrorByItself) {
  test::run([] {
    TaskGroup group;
    group.go([&] { group.context().wait(); });
    group.cancel();
    EXPECT_TRUE(group.wait());
  });
}

TEST(TaskGroupThread, MayOwnAGroup) {
  std::atomic<int> n{0};
  TaskGroup group;
  group.set_limit(2);
  for (int i = 0; i < 20; ++i)
    group.go([&]() -> Result<void> {
      if (++n == 20) return fail(Errc::eof);
      return {};
    });
  EXPECT_EQ(group.wait().error(), Errc::eof);
}

struct ThrowsWhenCopied {
  ThrowsWhenCopied() = default;
  ThrowsWhenCopied(const ThrowsWhenCopied&) { throw std::runtime_error("copy"); }
  void operator()() const {}
};

TEST(TaskGroupCopy, ThatThrowsLeavesNothingBehind) {
  test::run([] {
    TaskGroup group;
    group.set_limit(1);
    const ThrowsWhenCopied f;
    EXPECT_THROW(group.go(f), std::runtime_error);
    EXPECT_TRUE(group.try_go([] {}));  // its place is free again
    EXPECT_TRUE(group.wait());
    WaitGroup wg;
    EXPECT_THROW(wg.go(f), std::runtime_error);
    wg.wait();
  });
}

}  // namespace
}  // namespace treadle
