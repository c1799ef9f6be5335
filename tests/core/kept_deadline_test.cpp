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

using detail::end_kept_context;
using detail::expire_context;
using detail::move_kept_deadline;
using detail::with_kept_deadline;
using namespace std::chrono_literals;

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

TEST(KeptDeadline, IsRenewedOnlyWhereNobodyCouldTell) {
  test::run([] {
    using detail::renew_kept_context;
    const CancelableContext parent = with_cancel(background());
    const Deadline later = Deadline::after(2h);
    EXPECT_FALSE(renew_kept_context(background(), later));
    const Context made = with_kept_deadline(parent.context, Deadline::after(1h));
    EXPECT_TRUE(renew_kept_context(made, later));
    EXPECT_EQ(made.deadline(), later);
    {
      const Context handle = made;
      EXPECT_FALSE(renew_kept_context(made, Deadline::never()));
      EXPECT_EQ(made.deadline(), later);
    }
    {
      const Context child = with_cancel(made).context;
      EXPECT_FALSE(renew_kept_context(made, Deadline::never()));
    }
    EXPECT_TRUE(renew_kept_context(made, later));
    parent.cancel();
    EXPECT_FALSE(renew_kept_context(made, later));
    EXPECT_EQ(made.error(), Errc::canceled);
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

TEST(KeptDeadline, EndIsSeenByWhoeverCanLook) {
  test::run([] {
    const CancelableContext parent = with_cancel(background());
    Context made = with_kept_deadline(parent.context, Deadline::never());
    const Context handle = made;
    const Context child = with_cancel(made).context;
    end_kept_context(made);
    EXPECT_EQ(made.state(), nullptr);
    EXPECT_EQ(handle.error(), Errc::canceled);
    EXPECT_EQ(child.error(), Errc::canceled);
    EXPECT_FALSE(parent.context.done());
  });
}

TEST(KeptDeadline, EndStartsWhatWaitsForIt) {
  test::run([] {
    Context made = with_kept_deadline(background(), Deadline::never());
    auto called = make_chan<int>();
    (void)after_func(made, [called] { called.send(1); });
    end_kept_context(made);
    EXPECT_EQ(called.recv(), 1);
  });
}

// Nobody is left to see it: it is only let go of, also while its parent ends.
TEST(KeptDeadline, EndOfOneThatNobodyHoldsRacesWithItsParents) {
  test::run([] {
    for (int i = 0; i < 2000; ++i) {
      const CancelableContext parent = with_cancel(background());
      Context made = with_kept_deadline(parent.context, Deadline::never());
      WaitGroup done;
      done.add(1);
      go([&] {
        parent.cancel();
        done.done();
      });
      if (i % 2 == 0) gosched();
      end_kept_context(made);
      done.wait();
    }
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
