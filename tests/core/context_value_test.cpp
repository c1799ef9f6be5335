#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <treadle/chan.h>
#include <treadle/context.h>
#include <treadle/go.h>

#include "runtime/context_state.h"
#include "runtime/sched.h"
#include "runtime/syscall.h"
#include "support/goroutine.h"

namespace treadle {
namespace {

using test::Task;
using namespace std::chrono_literals;

inline constexpr ContextKey<std::string> kName;
inline constexpr ContextKey<std::string> kOther;
inline constexpr ContextKey<int> kNumber;

TEST(ContextValue, NearestOneIsFound) {
  EXPECT_EQ(background().value(kName), nullptr);
  const Context one = with_value(background(), kName, "one");
  EXPECT_EQ(*one.value(kName), "one");
  EXPECT_EQ(one.value(kOther), nullptr);
  EXPECT_EQ(one.value(kNumber), nullptr);
  const Context two = with_value(one, kOther, "two");
  const Context three = with_value(with_cancel(two).context, kNumber, 3);
  const Context again = with_value(with_timeout(three, 1h).context, kName, "again");
  EXPECT_EQ(*again.value(kName), "again");
  EXPECT_EQ(*again.value(kOther), "two");
  EXPECT_EQ(*again.value(kNumber), 3);
  EXPECT_EQ(*three.value(kName), "one");
  EXPECT_EQ(one.value(kNumber), nullptr);
}

TEST(ContextValue, IsSharedAndNeverCopied) {
  const ContextKey<std::unique_ptr<int>> key;
  const Context made = with_value(background(), key, std::make_unique<int>(7));
  const auto* at = made.value(key);
  EXPECT_EQ(**at, 7);
  EXPECT_EQ(with_cancel(made).context.value(key), at);
  EXPECT_EQ(Context(made).value(key), at);
  EXPECT_EQ(without_cancel(with_cancel(made).context).value(key), at);
}

TEST(ContextValue, EndsWithItsParent) {
  auto [parent, cancel] = with_timeout(background(), 1h);
  const Context carried = with_value(with_value(parent, kNumber, 1), kName, "x");
  EXPECT_FALSE(carried.done());
  EXPECT_FALSE(carried.error());
  EXPECT_EQ(carried.deadline(), parent.deadline());
  const auto below = with_cancel(carried);
  const auto cause = std::make_error_code(std::errc::io_error);
  cancel(cause);
  for (const Context& ctx : {carried, below.context, with_value(carried, kNumber, 2)}) {
    EXPECT_TRUE(ctx.done());
    EXPECT_EQ(ctx.error(), Errc::canceled);
    EXPECT_EQ(ctx.cause(), cause);
    ctx.wait();
  }
}

TEST(ContextValue, OfTheBackgroundNeverEnds) {
  const Context ctx = with_value(background(), kNumber, 1);
  EXPECT_FALSE(ctx.done());
  EXPECT_FALSE(ctx.error());
  EXPECT_FALSE(ctx.cause());
  EXPECT_TRUE(ctx.deadline().is_never());
  auto below = with_cancel(ctx);
  below.cancel();
  EXPECT_TRUE(below.context.done());
  EXPECT_FALSE(ctx.done());
}

TEST(ContextValue, IsThereThroughTheCurrentContext) {
  test::run([] {
    const ContextScope scope(with_value(background(), kName, "request 7"));
    gosched();
    EXPECT_EQ(*current_context().value(kName), "request 7");
    Task([] { EXPECT_EQ(current_context().value(kName), nullptr); }).join();
  });
}

// Counts itself, and may park on its way out: its destructor must not run inside the runtime.
struct Counted {
  std::atomic<int>* live;
  Chan<int> gone;
  explicit Counted(std::atomic<int>& n, Chan<int> to = {}) : live(&n), gone(std::move(to)) { ++n; }
  Counted(Counted&& o) noexcept : live(o.live), gone(std::move(o.gone)) { ++*live; }
  ~Counted() {
    --*live;
    if (gone) gone.send(1);
  }
};
inline constexpr ContextKey<Counted> kCounted;

TEST(ContextValue, DiesWithTheLastHandleThatLeadsToIt) {
  std::atomic<int> live{0};
  Context below;
  {
    const Context made = with_value(background(), kCounted, Counted(live));
    EXPECT_EQ(live, 1);
    below = with_value(with_cancel(made).context, kNumber, 1);
  }
  EXPECT_EQ(live, 1);
  below = without_cancel(below);
  EXPECT_EQ(live, 1);
  below = {};
  EXPECT_EQ(live, 0);
}

// The runtime's own reference is the last: the deadline has collected the context, and the handles
// go before it is ended, which happens inside the guard.
TEST(ContextValue, DestructorRunsOutsideTheRuntimeWhenATimerLetsGoLast) {
  test::run([] {
    std::atomic<int> live{0};
    auto gone = make_chan<int>();
    rt::TimerWork work;
    {
      Context parent = with_value(background(), kCounted, Counted(live));
      // The constructor's temporaries send nothing: only the kept one has the channel.
      parent = with_value(parent, kCounted, [&] {
        Counted c(live);
        c.gone = gone;
        return c;
      }());
      const auto child = with_timeout(parent, 1h);
      auto* state = static_cast<rt::CancelState*>(child.context.state());
      rt::on_context_deadline(&state->timer, 0, work);
    }
    ASSERT_NE(work.expired_contexts, nullptr);
    {
      rt::Entry entry;
      rt::finish_timer_work(entry.m(), work);  // would park for ever in the destructor
    }
    gone.recv();
    while (live != 0) gosched();
  });
}

TEST(ContextValue, LongChainNeedsNoStack) {
  test::run([] {
    std::atomic<int> live{0};
    Context chain = with_value(background(), kNumber, 7);
    for (int i = 0; i < 20'000; ++i)
      chain = with_value(with_cancel(chain).context, kCounted, Counted(live));
    EXPECT_EQ(*chain.value(kNumber), 7);
    EXPECT_EQ(live, 20'000);
    chain = {};
    EXPECT_EQ(live, 0);
  });
}

TEST(ContextValue, IsReadByManyAtOnce) {
  const Context ctx =
      with_value(with_value(with_cancel(background()).context, kNumber, 5), kName, "n");
  std::vector<std::thread> readers;
  for (int i = 0; i < 4; ++i)
    readers.emplace_back([&] {
      for (int k = 0; k < 2000; ++k) {
        const Context mine = with_value(ctx, kOther, std::to_string(k));
        ASSERT_EQ(*mine.value(kNumber), 5);
        ASSERT_EQ(*mine.value(kOther), std::to_string(k));
        ASSERT_EQ(*ctx.value(kName), "n");
      }
    });
  for (auto& r : readers) r.join();
}

TEST(ContextValueWithoutCancel, KeepsTheValuesOnly) {
  auto [parent, cancel] = with_timeout(with_value(background(), kName, "kept"), 1h);
  const Context detached = without_cancel(parent);
  EXPECT_TRUE(detached.deadline().is_never());
  cancel();
  EXPECT_TRUE(parent.done());
  EXPECT_FALSE(detached.done());
  EXPECT_FALSE(detached.error());
  EXPECT_FALSE(detached.cause());
  EXPECT_EQ(*detached.value(kName), "kept");
  auto below = with_cancel(detached);
  EXPECT_FALSE(below.context.done());
  EXPECT_EQ(*below.context.value(kName), "kept");
  below.cancel();
  EXPECT_TRUE(below.context.done());
  EXPECT_FALSE(detached.done());
}

TEST(ContextValueWithoutCancel, OfACancelledOneIsAlive) {
  auto [parent, cancel] = with_cancel(with_value(background(), kNumber, 1));
  cancel();
  EXPECT_FALSE(without_cancel(parent).done());
  EXPECT_FALSE(with_timeout(without_cancel(parent), 1h).context.done());
}

TEST(ContextValueWithoutCancel, WithoutValuesIsTheBackground) {
  EXPECT_EQ(without_cancel(background()), background());
  EXPECT_EQ(without_cancel(with_cancel(background()).context), background());
}

TEST(ContextValueWithoutCancel, LetsIOAndSleepGoOn) {
  test::run([] {
    auto [ctx, cancel] = with_cancel(with_value(background(), kNumber, 1));
    cancel();
    const ContextScope scope(ctx);
    EXPECT_EQ(sleep(1h).error(), Errc::canceled);
    const ContextScope cleaning_up(without_cancel(current_context()));
    EXPECT_TRUE(sleep(1us));
  });
}

}  // namespace
}  // namespace treadle
