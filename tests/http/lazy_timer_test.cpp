#include "lazy_timer.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include <treadle/chan.h>
#include <treadle/go.h>

#include "support/goroutine.h"

namespace treadle::http::detail {
namespace {

using namespace std::chrono_literals;

// A timer whose owner calls a function, and which ends as it goes.
class TestTimer {
 public:
  using Expired = std::function<void(LazyTimer::Tag)>;
  explicit TestTimer(Expired expired) : owner_(std::make_shared<Owner>()) {
    owner_->expired = std::move(expired);
  }
  ~TestTimer() { stop(); }
  TestTimer(const TestTimer&) = delete;
  TestTimer& operator=(const TestTimer&) = delete;

  void set(Deadline d, LazyTimer::Tag tag) { owner_->timer.set(d, tag); }
  void again(Deadline d, LazyTimer::Tag tag) { owner_->timer.again(d, tag); }
  void clear() { owner_->timer.clear(); }
  Deadline deadline() const { return owner_->timer.deadline(); }
  void stop() { owner_->timer.stop(); }
  void wait_for_call() { owner_->timer.wait_for_call(); }

 private:
  struct Owner final : LazyTimer::Owner, std::enable_shared_from_this<Owner> {
    void deadline_passed(LazyTimer::Tag tag) override { expired(tag); }
    std::shared_ptr<void> hold() override { return shared_from_this(); }
    Expired expired;
    LazyTimer timer{*this};
  };
  const std::shared_ptr<Owner> owner_;
};

// Gives what expires to a channel.
struct Told {
  Chan<LazyTimer::Tag> tags = make_chan<LazyTimer::Tag>(100'000);
  TestTimer timer{[tags = tags](LazyTimer::Tag tag) { tags.send(tag); }};
};

TEST(LazyTimer, CallsOnceWithTheTagAndNotBefore) {
  test::run([] {
    Told told;
    const TimePoint begin = Clock::now();
    told.timer.set(Deadline::after(20ms), 7);
    EXPECT_EQ(told.tags.recv(), 7U);
    EXPECT_GE(Clock::now() - begin, 20ms);
    EXPECT_TRUE(told.timer.deadline().is_never());
    (void)sleep(30ms);
    EXPECT_EQ(told.tags.size(), 0U);
  });
}

TEST(LazyTimer, DeadlinePutOffIsKept) {
  test::run([] {
    Told told;
    const TimePoint begin = Clock::now();
    told.timer.set(Deadline::after(10ms), 1);
    told.timer.set(Deadline::after(60ms), 2);
    EXPECT_EQ(told.tags.recv(), 2U);
    EXPECT_GE(Clock::now() - begin, 60ms);
    EXPECT_EQ(told.tags.size(), 0U);
  });
}

TEST(LazyTimer, DeadlineBroughtForwardIsKept) {
  test::run([] {
    Told told;
    told.timer.set(Deadline::after(1h), 1);
    told.timer.set(Deadline::after(10ms), 2);
    EXPECT_EQ(told.tags.recv(), 2U);
  });
}

TEST(LazyTimer, ClearedDeadlineDoesNotCallAndTheNextOneDoes) {
  test::run([] {
    Told told;
    told.timer.set(Deadline::after(10ms), 1);
    told.timer.clear();
    (void)sleep(30ms);
    EXPECT_EQ(told.tags.size(), 0U);
    told.timer.set(Deadline::after(5ms), 2);
    EXPECT_EQ(told.tags.recv(), 2U);
  });
}

TEST(LazyTimer, CallMaySetAnother) {
  test::run([] {
    auto tags = make_chan<LazyTimer::Tag>(10);
    std::optional<TestTimer> timer;
    timer.emplace([&timer, tags](LazyTimer::Tag tag) {
      tags.send(tag);
      if (tag < 3) timer->again(Deadline::after(5ms), tag + 1);
    });
    timer->set(Deadline::after(5ms), 1);
    for (LazyTimer::Tag tag = 1; tag <= 3; ++tag) EXPECT_EQ(tags.recv(), tag);
    timer->wait_for_call();
  });
}

TEST(LazyTimer, PastDeadlineCallsAtOnce) {
  test::run([] {
    Told told;
    told.timer.set(Deadline::after(0ns), 5);
    EXPECT_EQ(told.tags.recv(), 5U);
  });
}

TEST(LazyTimer, NothingIsCalledAfterItsEnd) {
  test::run([] {
    const auto calls = std::make_shared<std::atomic<int>>(0);
    {
      TestTimer timer([calls](LazyTimer::Tag) { calls->fetch_add(1); });
      timer.set(Deadline::after(5ms), 1);
    }
    (void)sleep(30ms);
    EXPECT_EQ(calls->load(), 0);
    EXPECT_EQ(calls.use_count(), 1) << "the closure is still there";
  });
}

// The owner of the timer may go by the call's own hand.
TEST(LazyTimer, CallMayDestroyIt) {
  test::run([] {
    struct Owner {
      std::optional<TestTimer> timer;
    };
    auto over = make_chan<int>(1);
    auto owner = std::make_shared<Owner>();
    std::weak_ptr<Owner> weak = owner;
    owner->timer.emplace([kept = owner, over](LazyTimer::Tag) mutable {
      kept->timer->stop();
      kept.reset();
      over.send(1);
    });
    owner->timer->set(Deadline::after(5ms), 1);
    owner.reset();
    EXPECT_EQ(over.recv(), 1);
    while (!weak.expired()) gosched();
  });
}

// As a server uses it: a deadline for each request, almost none of which pass. None may be slept
// over, and none may be taken for another request's.
TEST(LazyTimer, RaceOfRequestsLosesNoDeadline) {
  test::run([] {
    std::atomic<LazyTimer::Tag> current{0};
    std::atomic<int> wrong{0};
    auto expired = make_chan<LazyTimer::Tag>(1000);
    TestTimer timer([&, expired](LazyTimer::Tag tag) {
      // A deadline that was cleared just now may still be told of, but only of its own request or
      // one before it, never of one to come.
      if (tag > current.load()) wrong.fetch_add(1);
      expired.send(tag);
    });
    int passed = 0;
    for (LazyTimer::Tag tag = 1; tag <= 3000; ++tag) {
      current.store(tag);
      if (tag % 100 == 0) {  // this one takes too long
        timer.set(Deadline::after(1ms), tag);
        for (;;) {
          const auto got = expired.recv();
          ASSERT_TRUE(got);
          if (*got == tag) break;
        }
        ++passed;
      } else {
        timer.set(Deadline::after(tag % 3 == 0 ? 2ms : 50ms), tag);
        if (tag % 7 == 0) gosched();
        timer.clear();
      }
    }
    EXPECT_EQ(passed, 30);
    EXPECT_EQ(wrong.load(), 0);
    timer.wait_for_call();
  });
}

}  // namespace
}  // namespace treadle::http::detail
