// Contexts whose deadline is kept by whoever made them.
#include <treadle/detail/kept_deadline.h>

#include <gtest/gtest.h>

#include <treadle/go.h>
#include <treadle/timer.h>

#include "support/goroutine.h"

namespace treadle {
namespace {

using detail::expire_context;
using detail::move_kept_deadline;
using detail::with_kept_deadline;
using namespace std::chrono_literals;

TEST(KeptDeadline, IsStatedAndMoves) {
  test::run([] {
    const Deadline first = Deadline::after(1h);
    const CancelableContext made = with_kept_deadline(background(), first);
    EXPECT_EQ(made.context.deadline(), first);
    const Context child = with_cancel(made.context).context;
    EXPECT_EQ(child.deadline(), first);
    const Deadline later = Deadline::after(2h);
    move_kept_deadline(made.context, later);
    EXPECT_EQ(made.context.deadline(), later);
    EXPECT_EQ(child.deadline(), later);
    move_kept_deadline(made.context, Deadline::never());
    EXPECT_TRUE(child.deadline().is_never());
  });
}

TEST(KeptDeadline, DoesNotEndByItself) {
  test::run([] {
    const CancelableContext made = with_kept_deadline(background(), Deadline::after(1ms));
    ASSERT_TRUE(sleep(5ms));
    EXPECT_FALSE(made.context.done());
  });
}

TEST(KeptDeadline, ExpiringEndsItAndItsDescendantsWithTimedOut) {
  test::run([] {
    const CancelableContext made = with_kept_deadline(background(), Deadline::after(1h));
    const Context child = with_cancel(made.context).context;
    expire_context(made.context);
    EXPECT_EQ(made.context.error(), Errc::timed_out);
    EXPECT_EQ(child.error(), Errc::timed_out);
    made.cancel();
    EXPECT_EQ(made.context.error(), Errc::timed_out);
  });
}

TEST(KeptDeadline, EndsWithItsParentAndWhenCancelled) {
  test::run([] {
    const CancelableContext parent = with_cancel(background());
    const CancelableContext made = with_kept_deadline(parent.context, Deadline::never());
    parent.cancel();
    EXPECT_EQ(made.context.error(), Errc::canceled);
    const CancelableContext other = with_kept_deadline(background(), Deadline::never());
    other.cancel();
    EXPECT_EQ(other.context.error(), Errc::canceled);
  });
}

// A child's deadline lies behind what the keeper states when the child is made. The keeper then
// lifts its own: the child must not have relied on it.
TEST(KeptDeadline, ChildKeepsItsOwnDeadlineWhenTheKeepersIsLifted) {
  test::run([] {
    const CancelableContext made = with_kept_deadline(background(), Deadline::after(1ms));
    const CancelableContext child = with_timeout(made.context, 20ms);
    move_kept_deadline(made.context, Deadline::never());
    child.context.wait();
    EXPECT_EQ(child.context.error(), Errc::timed_out);
    EXPECT_FALSE(made.context.done());
  });
}

TEST(KeptDeadline, ParentsDeadlineStaysTheEarliest) {
  test::run([] {
    const Deadline certain = Deadline::after(1h);
    const CancelableContext parent = with_deadline(background(), certain);
    const CancelableContext made = with_kept_deadline(parent.context, Deadline::after(2h));
    EXPECT_EQ(made.context.deadline(), certain);
    move_kept_deadline(made.context, Deadline::never());
    EXPECT_EQ(made.context.deadline(), certain);
  });
}

}  // namespace
}  // namespace treadle
