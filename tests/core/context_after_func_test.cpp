#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <thread>
#include <vector>

#include <treadle/chan.h>
#include <treadle/context.h>
#include <treadle/go.h>
#include <treadle/runtime.h>

#include "support/goroutine.h"

namespace treadle {
namespace {

using test::Task;
using namespace std::chrono_literals;

TEST(ContextAfterFunc, IsCalledOnceAfterCancel) {
  test::run([] {
    auto [ctx, cancel] = with_cancel(background());
    auto called = make_chan<int>(2);
    const StopFunc stop = after_func(ctx, [called] { called.send(1); });
    EXPECT_FALSE(called.try_recv());
    cancel();
    cancel();
    called.recv();
    EXPECT_FALSE(stop());
    EXPECT_FALSE(called.try_recv());
  });
}

TEST(ContextAfterFunc, IsCalledAfterTheDeadlineAndThroughAncestors) {
  test::run([] {
    auto called = make_chan<int>(2);
    const auto parent = with_timeout(background(), 1ms);
    const auto child = with_cancel(parent.context);
    after_func(child.context, [called] { called.send(1); });
    after_func(without_cancel(child.context), [called] { called.send(2); });
    EXPECT_EQ(called.recv(), 1);
    EXPECT_FALSE(called.try_recv());
  });
}

TEST(ContextAfterFunc, OfADoneContextIsCalledAtOnce) {
  test::run([] {
    auto [ctx, cancel] = with_cancel(background());
    cancel();
    auto called = make_chan<int>();
    const StopFunc stop = after_func(ctx, [called] { called.send(1); });
    EXPECT_FALSE(stop());
    called.recv();
  });
}

TEST(ContextAfterFunc, IsNotCalledAfterStop) {
  test::run([] {
    auto [ctx, cancel] = with_cancel(background());
    std::atomic<int> calls{0};
    const StopFunc stop = after_func(ctx, [&] { ++calls; });
    const StopFunc copy = stop;
    EXPECT_TRUE(stop());
    EXPECT_FALSE(stop());
    EXPECT_FALSE(copy());
    auto after = make_chan<int>();
    after_func(ctx, [after] { after.send(1); });
    cancel();
    after.recv();
    EXPECT_EQ(calls, 0);
    EXPECT_FALSE(StopFunc()());
  });
}

TEST(ContextAfterFunc, RunsInAGoroutineOfItsOwn) {
  test::run([] {
    auto [ctx, cancel] = with_cancel(background());
    const ContextScope scope(ctx);
    auto go_on = make_chan<int>();
    auto id = make_chan<std::uint64_t>();
    after_func(ctx, [=] {
      go_on.recv();
      EXPECT_EQ(current_context(), background());
      id.send(goroutine_id());
    });
    cancel();  // does not wait for it
    go_on.send(1);
    EXPECT_NE(id.recv(), goroutine_id());
  });
}

TEST(ContextAfterFunc, OfABackgroundIsNeverCalled) {
  auto held = std::make_shared<int>(1);
  {
    const StopFunc stop = after_func(background(), [held] { ADD_FAILURE(); });
    EXPECT_EQ(held.use_count(), 2);
    EXPECT_TRUE(stop());
    EXPECT_FALSE(stop());
  }
  EXPECT_EQ(held.use_count(), 1);
}

TEST(ContextAfterFunc, GoesWithAContextThatCanNoLongerEnd) {
  auto held = std::make_shared<int>(1);
  {
    const auto made = with_cancel(background());
    after_func(made.context, [held] { ADD_FAILURE(); });
    after_func(made.context, [held] { ADD_FAILURE(); });
    EXPECT_EQ(held.use_count(), 3);
  }
  EXPECT_EQ(held.use_count(), 1);
}

TEST(ContextAfterFunc, IsDestroyedAfterItsCall) {
  test::run([] {
    auto held = std::make_shared<int>(1);
    auto [ctx, cancel] = with_cancel(background());
    StopFunc stop = after_func(ctx, [held] {});
    cancel();
    stop = {};
    while (held.use_count() != 1) gosched();
    // Stopped: with the last handle.
    auto other = with_cancel(background());
    stop = after_func(other.context, [held] {});
    EXPECT_TRUE(stop());
    stop = {};
    EXPECT_EQ(held.use_count(), 1);
  });
}

TEST(ContextAfterFunc, CallableMayBeLargeAlignedAndMoveOnly) {
  test::run([] {
    struct alignas(128) Wide {
      std::uint64_t words[64];
    };
    auto called = make_chan<std::uintptr_t>();
    auto [ctx, cancel] = with_cancel(background());
    after_func(ctx, [called, wide = Wide{{1, 2, 3}}, owned = std::make_unique<int>(4)] {
      EXPECT_EQ(wide.words[2], 3u);
      EXPECT_EQ(*owned, 4);
      called.send(reinterpret_cast<std::uintptr_t>(&wide) % 128);
    });
    cancel();
    EXPECT_EQ(called.recv(), 0u);
  });
}

TEST(ContextAfterFunc, CallableThatCannotBeCopiedInLeavesNothingBehind) {
  struct Throws {
    Throws() = default;
    Throws(const Throws&) { throw std::runtime_error("no copy"); }
    void operator()() const {}
  };
  const Throws f;
  auto [ctx, cancel] = with_cancel(background());
  EXPECT_THROW(after_func(ctx, f), std::runtime_error);
  cancel();
}

TEST(ContextAfterFunc, WorksOnPlainThreads) {
  auto [ctx, cancel] = with_cancel(background());
  auto called = make_chan<bool>();
  after_func(ctx, [called] { called.send(in_goroutine()); });
  std::thread([&] { cancel(); }).join();
  EXPECT_EQ(called.recv(), true);
}

// Either stop() prevents it or it runs; never both, never neither.
TEST(ContextAfterFunc, StopAndEndHaveOneWinner) {
  test::run([] {
    for (int i = 0; i < 500; ++i) {
      auto [ctx, cancel] = with_cancel(background());
      auto called = make_chan<int>(1);
      const StopFunc stop = after_func(ctx, [called] { called.send(1); });
      std::atomic<int> stopped{0};
      {
        Task a([&] { stopped += stop(); });
        Task b([&] { stopped += stop(); });
        Task c([&] { cancel(); });
      }
      ASSERT_LE(stopped, 1);
      if (stopped == 0) {
        called.recv();
      } else {
        gosched();
        ASSERT_FALSE(called.try_recv());
      }
    }
  });
}

TEST(ContextAfterFunc, ManyOfOneContextAreAllCalled) {
  test::run([] {
    auto [ctx, cancel] = with_timeout(background(), 1ms);
    std::atomic<int> calls{0};
    for (int i = 0; i < 1000; ++i) after_func(ctx, [&] { ++calls; });
    while (calls != 1000) gosched();
  });
}

TEST(ContextAfterFuncCause, OfATimeoutIsGivenWhenTheTimePasses) {
  test::run([] {
    const auto cause = std::make_error_code(std::errc::host_unreachable);
    const auto made = with_timeout(background(), 1ms, cause);
    const auto child = with_timeout(made.context, 1h, std::make_error_code(std::errc::io_error));
    child.context.wait();
    EXPECT_EQ(made.context.error(), Errc::timed_out);
    EXPECT_EQ(made.context.cause(), cause);
    EXPECT_EQ(child.context.error(), Errc::timed_out);
    EXPECT_EQ(child.context.cause(), cause);
  });
}

TEST(ContextAfterFuncCause, OfATimeoutIsNotGivenByACancel) {
  const auto cause = std::make_error_code(std::errc::host_unreachable);
  const auto other = std::make_error_code(std::errc::io_error);
  auto a = with_timeout(background(), 1h, cause), b = with_timeout(background(), 1h, cause);
  EXPECT_FALSE(a.context.cause());
  a.cancel();
  b.cancel(other);
  EXPECT_EQ(a.context.cause(), Errc::canceled);
  EXPECT_EQ(b.context.cause(), other);
}

TEST(ContextAfterFuncCause, OfAPassedDeadlineIsGivenAtOnce) {
  const auto cause = std::make_error_code(std::errc::host_unreachable);
  EXPECT_EQ(with_timeout(background(), 0ns, cause).context.cause(), cause);
  EXPECT_EQ(with_deadline(background(), Deadline::after(-1s), cause).context.cause(), cause);
  // The parent's deadline comes first: so does its cause.
  const auto parent = with_timeout(background(), 0ns);
  EXPECT_EQ(with_timeout(parent.context, 1h, cause).context.cause(), Errc::timed_out);
}

}  // namespace
}  // namespace treadle
