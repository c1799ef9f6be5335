// select over contexts.
#include <gtest/gtest.h>

#include <treadle/context.h>
#include <treadle/select.h>

#include "core/never.h"
#include "support/goroutine.h"

namespace treadle {
namespace {

using test::kNever;
using test::Task;
using namespace std::chrono_literals;

TEST(SelectContext, DoneIsReadyAtOnceOrWakes) {
  test::run([] {
    auto ch = make_chan<int>();
    auto [ctx, cancel] = with_cancel(background());
    auto [other, cancel_other] = with_cancel(background());
    Task selecting([&] {
      bool done = false;
      EXPECT_EQ(select(on_done(other, kNever), on_recv(ch, kNever), on_done(background(), kNever),
                       on_done(ctx, [&] { done = true; })),
                3u);
      EXPECT_TRUE(done);
      EXPECT_EQ(select(on_recv(ch, kNever), on_done(ctx)), 1u);
      EXPECT_EQ(select(on_done(ctx), on_default(kNever)), 0u);
    });
    selecting.wait_until_parked();
    cancel();
    selecting.join();
    EXPECT_FALSE(ch.try_send(1));
    cancel_other();
  });
}

TEST(SelectContext, ADeadlineOfTheContextCounts) {
  test::run([] {
    auto [ctx, cancel] = with_timeout(background(), 1ms);
    EXPECT_EQ(select(on_recv(make_chan<int>(), kNever), on_done(ctx)), 1u);
    EXPECT_EQ(ctx.error(), Errc::timed_out);
  });
}

TEST(SelectContext, OneContextMayStandInSeveralCases) {
  test::run([] {
    auto [ctx, cancel] = with_cancel(background());
    Task selecting([&] { EXPECT_LE(select(on_done(ctx), on_done(ctx), on_done(ctx)), 2u); });
    selecting.wait_until_parked();
    cancel();
  });
}

constexpr ContextKey<int> kKey;

TEST(SelectContext, OneWithAValueEndsWithItsParent) {
  test::run([] {
    auto [ctx, cancel] = with_cancel(background());
    Task selecting([&] {
      EXPECT_EQ(select(on_done(with_value(background(), kKey, 1), kNever),
                       on_done(with_value(ctx, kKey, 2))),
                1u);
    });
    selecting.wait_until_parked();
    cancel();
    selecting.join();
    // One that never ends is nothing to wait for.
    auto closed = make_chan<int>();
    closed.close();
    EXPECT_THROW(
        select(on_recv(closed, [](int) {}), on_done(with_value(background(), kKey, 1), kNever)),
        Panic);
  });
}

TEST(SelectContext, TheCurrentOneIsNotAskedUntold) {
  test::run([] {
    auto [ctx, cancel] = with_cancel(background());
    cancel();
    const ContextScope scope(ctx);
    EXPECT_EQ(select(on_recv(make_chan<int>(), kNever), on_timeout(1us)), 1u);
    EXPECT_EQ(select(on_recv(make_chan<int>(), kNever), on_done(current_context())), 1u);
  });
}

}  // namespace
}  // namespace treadle
