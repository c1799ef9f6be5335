// Contexts whose deadline is kept by whoever made them.
#include <treadle/detail/kept_deadline.h>

#include <gtest/gtest.h>

#include <treadle/chan.h>
#include <treadle/go.h>
#include <treadle/timer.h>
#include <treadle/wait_group.h>

#include "support/goroutine.h"

namespace treadle {
namespace {

using detail::expire_context;
using detail::move_kept_deadline;
using detail::with_kept_deadline;
using namespace std::chrono_literals;

constexpr ContextKey<int> kTag;

TEST(KeptDeadline, IsStatedAndMoves) {
  test::run([] {
    const Deadline first = Deadline::after(1h);
    const Context made = with_kept_deadline(background(), first);
    EXPECT_EQ(made.deadline(), first);
    const Context child = with_cancel(made).context;
    EXPECT_EQ(child.deadline(), first);
    const Deadline later = Deadline::after(2h);
    move_kept_deadline(made, later);
    EXPECT_EQ(made.deadline(), later);
    EXPECT_EQ(child.deadline(), later);
    move_kept_deadline(made, Deadline::never());
    EXPECT_TRUE(child.deadline().is_never());
  });
}

TEST(KeptDeadline, IsSeenByHandlesChildrenWaitsAndItsEnd) {
  test::run([] {
    using detail::kept_context_unseen;
    const CancelableContext parent = with_cancel(background());
    const Context made = with_kept_deadline(parent.context, Deadline::after(1h));
    EXPECT_EQ(detail::kept_context_handles(made), 1U);
    EXPECT_TRUE(kept_context_unseen(made, 1));
    {
      const Context handle = made;
      EXPECT_EQ(detail::kept_context_handles(made), 2U);
      EXPECT_FALSE(kept_context_unseen(made, 1));
      EXPECT_TRUE(kept_context_unseen(made, 2));
    }
    {
      const Context child = with_cancel(made).context;
      EXPECT_FALSE(kept_context_unseen(made, 1));
      EXPECT_FALSE(kept_context_unseen(made, 2));  // it stands in the list, too
    }
    {
      const Context child = with_value(made, kTag, 1);
      EXPECT_FALSE(kept_context_unseen(made, 1));
    }
    const StopFunc call = after_func(made, [] {});
    EXPECT_FALSE(kept_context_unseen(made, 2));
    EXPECT_TRUE(call());
    EXPECT_FALSE(kept_context_unseen(made, 1));  // its handle
    parent.cancel();
    EXPECT_FALSE(kept_context_unseen(made, 2));
  });
}

TEST(KeptDeadline, DoesNotEndByItself) {
  test::run([] {
    const Context made = with_kept_deadline(background(), Deadline::after(1ms));
    ASSERT_TRUE(sleep(5ms));
    EXPECT_FALSE(made.done());
  });
}

TEST(KeptDeadline, ExpiringEndsItAndItsDescendantsWithTimedOut) {
  test::run([] {
    const Context made = with_kept_deadline(background(), Deadline::after(1h));
    const Context child = with_cancel(made).context;
    expire_context(made);
    EXPECT_EQ(made.error(), Errc::timed_out);
    EXPECT_EQ(child.error(), Errc::timed_out);
    CancelFunc{made}();
    EXPECT_EQ(made.error(), Errc::timed_out);
  });
}

TEST(KeptDeadline, EndsWithItsParentAndWhenCancelled) {
  test::run([] {
    const CancelableContext parent = with_cancel(background());
    const Context made = with_kept_deadline(parent.context, Deadline::never());
    parent.cancel();
    EXPECT_EQ(made.error(), Errc::canceled);
    const Context other = with_kept_deadline(background(), Deadline::never());
    CancelFunc{other}();
    EXPECT_EQ(other.error(), Errc::canceled);
  });
}

// A child's deadline lies behind what the keeper states when the child is made. The keeper then
// lifts its own: the child must not have relied on it.
TEST(KeptDeadline, ChildKeepsItsOwnDeadlineWhenTheKeepersIsLifted) {
  test::run([] {
    const Context made = with_kept_deadline(background(), Deadline::after(1ms));
    const CancelableContext child = with_timeout(made, 20ms);
    move_kept_deadline(made, Deadline::never());
    child.context.wait();
    EXPECT_EQ(child.context.error(), Errc::timed_out);
    EXPECT_FALSE(made.done());
  });
}

TEST(KeptDeadline, ParentsDeadlineStaysTheEarliest) {
  test::run([] {
    const Deadline certain = Deadline::after(1h);
    const CancelableContext parent = with_deadline(background(), certain);
    const Context made = with_kept_deadline(parent.context, Deadline::after(2h));
    EXPECT_EQ(made.deadline(), certain);
    move_kept_deadline(made, Deadline::never());
    EXPECT_EQ(made.deadline(), certain);
  });
}

TEST(KeptDeadline, BorrowedScopeIsTheCurrentContext) {
  test::run([] {
    const Context made = with_kept_deadline(background(), Deadline::never());
    {
      const detail::BorrowedContextScope scope(made);
      EXPECT_EQ(current_context().state(), made.state());
      expire_context(made);
      EXPECT_EQ(treadle::sleep(1h).error(), Errc::timed_out);
    }
    EXPECT_EQ(current_context().state(), nullptr);
  });
}

}  // namespace
}  // namespace treadle
