#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include <treadle/context.h>
#include <treadle/go.h>
#include <treadle/wait_group.h>

#include "support/goroutine.h"

namespace treadle {
namespace {

using test::Task;
using namespace std::chrono_literals;

void expect_done(const Context& ctx, Errc error) {
  EXPECT_TRUE(ctx.done());
  EXPECT_EQ(ctx.error(), error);
}

void expect_not_done(const Context& ctx) {
  EXPECT_FALSE(ctx.done());
  EXPECT_FALSE(ctx.error());
  EXPECT_FALSE(ctx.cause());
}

TEST(ContextBackground, NeverEnds) {
  expect_not_done(background());
  EXPECT_TRUE(background().deadline().is_never());
  EXPECT_EQ(background(), Context());
}

TEST(ContextCancel, EndsTheContextOnce) {
  auto [ctx, cancel] = with_cancel(background());
  expect_not_done(ctx);
  EXPECT_TRUE(ctx.deadline().is_never());
  const Context copy = ctx;
  EXPECT_EQ(copy, ctx);
  cancel();
  expect_done(ctx, Errc::canceled);
  expect_done(copy, Errc::canceled);
  cancel(std::make_error_code(std::errc::io_error));
  EXPECT_EQ(ctx.cause(), Errc::canceled);
  ctx.wait();
}

TEST(ContextCancel, CauseIsKeptAndHandedDown) {
  auto [parent, cancel] = with_cancel(background());
  auto child = with_cancel(parent);
  auto grandchild = with_timeout(child.context, 1h);
  const auto cause = std::make_error_code(std::errc::no_space_on_device);
  cancel(cause);
  for (const Context& ctx : {parent, child.context, grandchild.context}) {
    expect_done(ctx, Errc::canceled);
    EXPECT_EQ(ctx.cause(), cause);
  }
  const auto late = with_cancel(child.context);
  expect_done(late.context, Errc::canceled);
  EXPECT_EQ(late.context.cause(), cause);
}

TEST(ContextCancel, OfAChildLeavesParentAndSiblings) {
  auto [parent, cancel_parent] = with_cancel(background());
  auto one = with_cancel(parent);
  auto two = with_cancel(parent);
  auto below = with_cancel(one.context);
  one.cancel();
  expect_done(one.context, Errc::canceled);
  expect_done(below.context, Errc::canceled);
  expect_not_done(parent);
  expect_not_done(two.context);
  cancel_parent();
  expect_done(two.context, Errc::canceled);
}

TEST(ContextCancel, HandleAloneKeepsTheContext) {
  std::optional<CancelFunc> cancel;
  std::optional<Context> child;
  {
    auto made = with_cancel(background());
    cancel.emplace(made.cancel);
    child.emplace(with_cancel(made.context).context);
  }
  expect_not_done(*child);
  (*cancel)();
  expect_done(*child, Errc::canceled);
}

TEST(ContextCancel, ForgottenContextsLeaveTheirParent) {
  auto [parent, cancel] = with_cancel(background());
  for (int i = 0; i < 10'000; ++i) {
    auto child = with_timeout(parent, 1h);
    if (i % 2) child.cancel();
  }
  cancel();
}

TEST(ContextCancel, WakesEveryWaiter) {
  test::run([] {
    auto [ctx, cancel] = with_cancel(background());
    auto child = with_cancel(ctx);
    std::vector<std::unique_ptr<Task>> waiters;
    for (int i = 0; i < 20; ++i)
      waiters.push_back(
          std::make_unique<Task>([wait_on = i % 2 ? ctx : child.context] { wait_on.wait(); }));
    for (auto& w : waiters) w->wait_until_parked();
    cancel();
  });
}

// A tree five deep, cancelled in the middle: what is above goes on, all below ends.
TEST(ContextTree, CancelReachesEveryDescendantAndNoAncestor) {
  std::vector<std::vector<CancelableContext>> layers;
  layers.push_back({with_cancel(background())});
  for (int depth = 0; depth < 4; ++depth) {
    std::vector<CancelableContext> next;
    for (auto& above : layers.back())
      for (int i = 0; i < 4; ++i) next.push_back(with_cancel(above.context));
    layers.push_back(std::move(next));
  }
  layers[2][5].cancel();
  for (std::size_t depth = 0; depth < layers.size(); ++depth) {
    std::size_t first = 5, count = 1;
    for (std::size_t d = 2; d < depth; ++d) first *= 4, count *= 4;
    for (std::size_t i = 0; i < layers[depth].size(); ++i) {
      const bool below = depth >= 2 && i >= first && i < first + count;
      ASSERT_EQ(layers[depth][i].context.done(), below) << depth << ' ' << i;
    }
  }
  layers[0][0].cancel();
  for (auto& layer : layers)
    for (auto& c : layer) ASSERT_TRUE(c.context.done());
}

// On a goroutine's small stack: neither ending nor freeing a long chain may recurse.
TEST(ContextTree, LongChainNeedsNoStack) {
  test::run([] {
    auto [root, cancel] = with_cancel(background());
    Context leaf = root;
    for (int i = 0; i < 50'000; ++i) leaf = with_cancel(leaf).context;
    expect_not_done(leaf);
    cancel();
    expect_done(leaf, Errc::canceled);
    leaf = {};
    Context chain;
    for (int i = 0; i < 50'000; ++i) chain = with_cancel(chain).context;
    chain = {};
  });
}

TEST(ContextDeadline, IsTheEarliestOfTheAncestors) {
  const Deadline early = Deadline::after(1h), late = Deadline::after(2h);
  const auto parent = with_deadline(background(), early);
  EXPECT_EQ(parent.context.deadline(), early);
  EXPECT_EQ(with_deadline(parent.context, late).context.deadline(), early);
  EXPECT_EQ(with_cancel(parent.context).context.deadline(), early);
  const auto other = with_deadline(background(), late);
  EXPECT_EQ(with_deadline(other.context, early).context.deadline(), early);
}

TEST(ContextDeadline, PassedOneEndsAtOnce) {
  for (const Duration d : {0ns, -1ns, -1'000'000'000ns}) {
    const auto made = with_timeout(background(), d);
    expect_done(made.context, Errc::timed_out);
    EXPECT_EQ(made.context.cause(), Errc::timed_out);
  }
}

TEST(ContextDeadline, EndsTheContextNotBefore) {
  test::run([] {
    const auto begin = Clock::now();
    auto [ctx, cancel] = with_timeout(background(), 5ms);
    auto child = with_cancel(ctx);
    child.context.wait();
    EXPECT_GE(Clock::now() - begin, 5ms);
    expect_done(ctx, Errc::timed_out);
    expect_done(child.context, Errc::timed_out);
    EXPECT_EQ(child.context.cause(), Errc::timed_out);
    cancel();
    EXPECT_EQ(ctx.error(), Errc::timed_out);
  });
}

// Short ones, one after the other: each wait must be ended by the timer and by nothing else, also
// when no clock has ticked since the last look at it.
TEST(ContextDeadline, AloneWakesItsWaiter) {
  test::run([] {
    for (int i = 0; i < 200; ++i) {
      const auto made = with_timeout(background(), 50us * (i % 8 + 1));
      made.context.wait();
      ASSERT_TRUE(made.context.done());
    }
  });
}

TEST(ContextDeadline, WakesManyWaitersAtOnce) {
  test::run([] {
    WaitGroup wg;
    auto [ctx, cancel] = with_timeout(background(), 2ms);
    for (int i = 0; i < 1000; ++i) {
      wg.add(1);
      go([&wg, wait_on = ctx] {
        wait_on.wait();
        wg.done();
      });
    }
    wg.wait();
  });
}

TEST(ContextDeadline, ManyEndTogether) {
  test::run([] {
    const Deadline at = Deadline::after(3ms);
    std::vector<CancelableContext> all;
    for (int i = 0; i < 500; ++i) all.push_back(with_deadline(background(), at));
    for (auto& c : all) c.context.wait();
    for (auto& c : all) EXPECT_EQ(c.context.error(), Errc::timed_out);
  });
}

TEST(ContextDeadline, CancelComesFirst) {
  test::run([] {
    auto [ctx, cancel] = with_timeout(background(), 1h);
    Task waiter([ctx] { ctx.wait(); });
    waiter.wait_until_parked();
    cancel();
    waiter.join();
    expect_done(ctx, Errc::canceled);
  });
}

TEST(ContextScopes, NestAndEnd) {
  test::run([] {
    EXPECT_EQ(current_context(), background());
    auto outer = with_cancel(background());
    {
      const ContextScope a(outer.context);
      EXPECT_EQ(current_context(), outer.context);
      {
        const auto inner = with_cancel(current_context());
        const ContextScope b(inner.context);
        EXPECT_EQ(current_context(), inner.context);
      }
      EXPECT_EQ(current_context(), outer.context);
      {
        const ContextScope none{background()};
        EXPECT_EQ(current_context(), background());
      }
    }
    EXPECT_EQ(current_context(), background());
  });
}

TEST(ContextScopes, BelongToTheGoroutine) {
  test::run([] {
    auto mine = with_cancel(background());
    const ContextScope scope(mine.context);
    Task([] { EXPECT_EQ(current_context(), background()); }).join();
    std::vector<std::unique_ptr<Task>> others;
    for (int i = 0; i < 8; ++i)
      others.push_back(std::make_unique<Task>([] {
        const auto own = with_cancel(background());
        const ContextScope inside(own.context);
        for (int k = 0; k < 50; ++k) {
          gosched();  // may go on on another thread
          EXPECT_EQ(current_context(), own.context);
        }
      }));
    others.clear();
    EXPECT_EQ(current_context(), mine.context);
  });
}

TEST(ContextScopes, AreLeftByExceptions) {
  test::run([] {
    try {
      const ContextScope scope(with_cancel(background()).context);
      throw 1;
    } catch (int) {
      EXPECT_EQ(current_context(), background());
    }
  });
}

TEST(ContextScopes, AreThereOnPlainThreads) {
  EXPECT_EQ(current_context(), background());
  const auto made = with_cancel(background());
  const ContextScope scope(made.context);
  EXPECT_EQ(current_context(), made.context);
  std::thread([] { EXPECT_EQ(current_context(), background()); }).join();
}

TEST(ContextScopes, LastHandleMayBeTheScopes) {
  test::run([] {
    const ContextScope scope(with_timeout(background(), 1h).context);
    EXPECT_FALSE(current_context().done());
    EXPECT_FALSE(current_context().deadline().is_never());
  });
}

}  // namespace
}  // namespace treadle
