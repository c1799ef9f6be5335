#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include <treadle/chan.h>
#include <treadle/labels.h>
#include <treadle/runtime.h>
#include <treadle/task.h>

#include "support/goroutine.h"

namespace treadle {
namespace {

TEST(TaskJoin, GivesTheValue) {
  test::run([] {
    Task<int> one = spawn([] { return 41 + 1; });
    EXPECT_EQ(one.join(), 42);
    Task<void> nothing = spawn([] {});
    nothing.join();
    auto text = spawn([s = std::string("moved in")]() mutable { return std::move(s); });
    EXPECT_EQ(text.join(), "moved in");
  });
}

TEST(TaskJoin, MovesWhatCannotBeCopied) {
  test::run([] {
    auto task = spawn([p = std::make_unique<int>(7)]() mutable { return std::move(p); });
    const std::unique_ptr<int> back = task.join();
    EXPECT_EQ(*back, 7);
  });
}

TEST(TaskJoin, RethrowsTheException) {
  test::run([] {
    auto task = spawn([]() -> int { throw std::runtime_error("out of the task"); });
    try {
      (void)task.join();
      FAIL();
    } catch (const std::runtime_error& e) {
      EXPECT_STREQ(e.what(), "out of the task");
    }
    EXPECT_FALSE(task.valid());
    auto panics = spawn([] {
      Chan<int> c = make_chan<int>();
      c.close();
      c.close();
    });
    EXPECT_THROW(panics.join(), Panic);
  });
}

TEST(TaskJoin, WaitsForOneThatParks) {
  test::run([] {
    auto gate = make_chan<int>();
    auto task = spawn([gate] { return gate.recv().value_or(-1); });
    EXPECT_FALSE(task.done());
    test::Task joiner([&] { EXPECT_EQ(task.join(), 5); });
    joiner.wait_until_parked();
    gate.send(5);
    joiner.join();
  });
}

TEST(TaskJoin, FromPlainThreads) {
  const auto before = runtime_stats().goroutines;
  auto gate = make_chan<int>();
  auto task = spawn([gate] { return gate.recv().value_or(-1); });
  std::thread sender([gate] { gate.send(9); });
  EXPECT_EQ(task.join(), 9);
  sender.join();
  test::expect_goroutines(before);
}

TEST(TaskJoin, CallableIsGoneBeforeJoinReturns) {
  test::run([] {
    for (int i = 0; i < 500; ++i) {
      auto held = std::make_shared<int>(1);
      auto task = spawn([held] { gosched(); });
      task.join();
      ASSERT_EQ(held.use_count(), 1);
    }
  });
}

TEST(TaskJoin, CallableThatCannotBeMovedIsGoneToo) {
  test::run([] {
    for (int i = 0; i < 500; ++i) {
      const auto held = std::make_shared<int>(1);
      auto task = spawn([held] { (void)held; });  // its captured copy is const
      task.join();
      ASSERT_EQ(held.use_count(), 1);
    }
  });
}

TEST(TaskJoin, EmptyOneIsMisuse) {
  test::run([] {
    Task<int> empty;
    EXPECT_THROW((void)empty.join(), Panic);
    EXPECT_THROW((void)empty.done(), Panic);
    auto task = spawn([] { return 1; });
    Task<int> moved = std::move(task);
    EXPECT_FALSE(task.valid());
    EXPECT_THROW((void)task.join(), Panic);
    EXPECT_EQ(moved.join(), 1);
    EXPECT_THROW((void)moved.join(), Panic);
  });
}

TEST(TaskJoin, ByItselfIsMisuse) {
  test::run([] {
    auto handle = make_chan<std::shared_ptr<Task<void>>>(1);
    auto said = make_chan<std::string>(1);
    auto task = std::make_shared<Task<void>>();
    *task = spawn([handle, said] {
      auto self = *handle.recv();
      try {
        self->join();
      } catch (const Panic& e) {
        said.send(e.what());
      }
    });
    handle.send(task);
    EXPECT_EQ(said.recv(), "treadle::Task::join: a goroutine cannot join itself");
    task->join();
  });
}

TEST(TaskJoinContext, EndsWithIt) {
  test::run([] {
    auto gate = make_chan<int>();
    auto task = spawn([gate] { return gate.recv().value_or(-1); });
    auto [ctx, cancel] = with_cancel(background());
    test::Task joiner([&] { EXPECT_EQ(task.join(ctx).error(), Errc::canceled); });
    joiner.wait_until_parked();
    cancel();
    joiner.join();
    EXPECT_EQ(task.join(ctx).error(), Errc::canceled);  // done before it waits
    EXPECT_EQ(task.join(with_timeout(background(), std::chrono::milliseconds(1)).context).error(),
              Errc::timed_out);
    gate.send(3);
    EXPECT_EQ(task.join(background()), 3);  // it can still be joined
  });
}

TEST(TaskJoinContext, ExceptionsAndVoidComeThrough) {
  test::run([] {
    auto nothing = spawn([] {});
    EXPECT_TRUE(nothing.join(background()).has_value());
    auto throws = spawn([] { throw std::logic_error("x"); });
    EXPECT_THROW((void)throws.join(background()), std::logic_error);
  });
}

// Cancellation against completion: whoever comes first, nothing is lost and nothing dangles.
TEST(TaskJoinContext, CrossedByTheEnd) {
  test::run([] {
    int joined = 0;
    for (int i = 0; i < 2000; ++i) {
      auto [ctx, cancel] = with_cancel(background());
      auto gate = make_chan<int>();
      auto task = spawn([gate] { return gate.recv().value_or(-1); });
      go([stop = cancel] { stop(); });
      go([gate] { gate.send(1); });
      if (task.join(ctx)) {
        ++joined;
      } else {
        EXPECT_EQ(task.join(), 1);
        ++joined;
      }
    }
    EXPECT_EQ(joined, 2000);
  });
}

TEST(TaskDone, TurnsTrueWithTheEnd) {
  test::run([] {
    auto gate = make_chan<int>();
    auto task = spawn([gate] { (void)gate.recv(); });
    EXPECT_FALSE(task.done());
    gate.close();
    while (!task.done()) gosched();
    task.join();
  });
}

TEST(TaskDrop, RunsOnByItself) {
  test::run([] {
    auto out = make_chan<int>();
    {
      auto dropped = spawn([out] {
        out.send(1);
        return std::string(1000, 'x');
      });
    }
    EXPECT_EQ(out.recv(), 1);
    auto replaced = spawn([out] { out.send(2); });
    replaced = spawn([] {});
    EXPECT_EQ(out.recv(), 2);
    replaced.join();
    auto finished = spawn([] { return std::string(1000, 'y'); });
    while (!finished.done()) gosched();
  });
}

// What is logged goes to standard error, whichever of the two sides comes last.
TEST(TaskDrop, LostExceptionIsLogged) {
  testing::internal::CaptureStderr();
  test::run([] {
    auto after = spawn([] { throw std::runtime_error("dropped after it ended"); });
    while (!after.done()) gosched();
    after.detach();
    auto gate = make_chan<int>();
    auto before = spawn([gate] {
      (void)gate.recv();
      throw std::runtime_error("dropped before it ended");
    });
    before.detach();
    gate.close();
    auto odd = spawn([] { throw 5; });
    while (!odd.done()) gosched();
  });
  const std::string log = testing::internal::GetCapturedStderr();
  for (const char* part :
       {"nobody collected: dropped after it ended", "nobody collected: dropped before it ended",
        "of unknown type", "task_test.cpp:"})
    EXPECT_NE(log.find(part), std::string::npos) << part << "\n" << log;
}

TEST(TaskDrop, CollectedExceptionIsNot) {
  testing::internal::CaptureStderr();
  test::run([] {
    auto task = spawn([] { throw std::runtime_error("collected"); });
    EXPECT_THROW(task.join(), std::runtime_error);
  });
  EXPECT_EQ(testing::internal::GetCapturedStderr().find("nobody collected"), std::string::npos);
}

TEST(TaskSpawn, ThrowingCopyLeavesNothingBehind) {
  struct Throws {
    Throws() = default;
    Throws(const Throws&) { throw std::runtime_error("copy"); }
    void operator()() const { FAIL(); }
  };
  test::run([] {
    const auto before = runtime_stats().goroutines;
    const Throws callable;
    for (int i = 0; i < 100; ++i) EXPECT_THROW((void)spawn(callable), std::runtime_error);
    EXPECT_EQ(runtime_stats().goroutines, before);
  });
}

TEST(TaskSpawn, LargeCallablesArriveWhole) {
  test::run([] {
    std::array<std::uint8_t, 20'000> data;
    data.fill(3);
    auto task = spawn([data] {
      int sum = 0;
      for (auto b : data) sum += b;
      return sum;
    });
    EXPECT_EQ(task.join(), 60'000);
  });
}

TEST(TaskSpawn, TakesOptions) {
  test::run([] {
    auto task = spawn([] { return goroutine_name() + "/" + goroutine_label("k"); },
                      {.name = "worker", .labels = {{"k", "v"}}});
    EXPECT_EQ(task.join(), "worker/v");
    EXPECT_THROW((void)spawn([] {}, {.stack_size = 1}), Panic);
    EXPECT_THROW((void)spawn([] {}, {.stack_size = std::size_t{65} << 20}), Panic);
    try {
      go([] {}, {.stack_size = 65535});
      FAIL();
    } catch (const Panic& e) {
      EXPECT_NE(std::string(e.what()).find("65535"), std::string::npos);
    }
    auto sized = spawn([] { return 1; }, {.stack_size = 100'000});
    EXPECT_EQ(sized.join(), 1);
  });
}

TEST(TaskMany, ManyJoinedByMany) {
  test::run([] {
    std::vector<Task<int>> tasks;
    for (int i = 0; i < 1000; ++i)
      tasks.push_back(spawn([i] {
        auto inner = spawn([i] {
          if (i % 3 == 0) gosched();
          return i;
        });
        return inner.join() + 1;
      }));
    for (int i = 0; i < 1000; ++i) EXPECT_EQ(tasks[static_cast<std::size_t>(i)].join(), i + 1);
  });
}

}  // namespace
}  // namespace treadle
