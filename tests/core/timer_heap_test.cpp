// pure: no goroutines
#include "runtime/timers.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <random>
#include <vector>

#include <treadle/runtime.h>

namespace treadle::rt {
namespace {

// A timer on a heap of its own, which notes when it was called.
struct Alarm {
  Timer timer;
  std::vector<std::int64_t> calls;
  std::int64_t again = kNever;  // what the next call answers

  explicit Alarm(TimerHeap& heap) {
    timer.heap.store(&heap);
    timer.arg = this;
    timer.fn = [](Timer* t, std::int64_t now, TimerWork&) {
      auto* self = static_cast<Alarm*>(t->arg);
      self->calls.push_back(now);
      return std::exchange(self->again, kNever);
    };
  }
};

class TimerHeapTest : public ::testing::Test {
 protected:
  // timer_arm() wakes the poller when the heap is not the caller's own, so there must be one.
  TimerHeapTest() { (void)max_procs(); }
  void run(std::int64_t now) {
    TimerWork work;
    heap_.run_due(now, work);
    EXPECT_TRUE(work.empty());
  }
  TimerHeap heap_;
};

TEST_F(TimerHeapTest, EmptyIsNeverDue) {
  EXPECT_EQ(heap_.next_when(), kNever);
  EXPECT_EQ(heap_.size(), 0u);
  run(kNever - 1);
}

TEST_F(TimerHeapTest, RunsWhatIsDueAndNotMore) {
  Alarm a(heap_), b(heap_), c(heap_);
  EXPECT_TRUE(timer_arm(b.timer, 20));
  EXPECT_TRUE(timer_arm(a.timer, 10));
  EXPECT_FALSE(timer_arm(c.timer, 30));
  EXPECT_EQ(heap_.next_when(), 10);
  run(9);
  EXPECT_TRUE(a.calls.empty());
  run(20);
  EXPECT_EQ(a.calls, std::vector<std::int64_t>{20});
  EXPECT_EQ(b.calls, std::vector<std::int64_t>{20});
  EXPECT_TRUE(c.calls.empty());
  EXPECT_EQ(heap_.next_when(), 30);
  EXPECT_TRUE(timer_remove(c.timer));
  EXPECT_EQ(heap_.next_when(), kNever);
}

TEST_F(TimerHeapTest, ArmingAgainMovesIt) {
  Alarm a(heap_), b(heap_);
  timer_arm(a.timer, 10);
  timer_arm(b.timer, 20);
  EXPECT_FALSE(timer_arm(a.timer, 30));
  EXPECT_EQ(heap_.next_when(), 20);
  EXPECT_TRUE(timer_arm(a.timer, 5));
  EXPECT_EQ(heap_.size(), 2u);
  run(10);
  EXPECT_EQ(a.calls.size(), 1u);
  EXPECT_TRUE(b.calls.empty());
  timer_remove(b.timer);
}

TEST_F(TimerHeapTest, OnlyEarlierDoesNotPutItOff) {
  Alarm a(heap_);
  timer_arm(a.timer, 10, true);
  EXPECT_FALSE(timer_arm(a.timer, 20, true));
  EXPECT_EQ(heap_.next_when(), 10);
  EXPECT_TRUE(timer_arm(a.timer, 7, true));
  EXPECT_EQ(heap_.next_when(), 7);
  run(7);
  EXPECT_TRUE(timer_arm(a.timer, 20, true));  // not queued: any time is earlier than none
  EXPECT_TRUE(timer_remove(a.timer));
}

TEST_F(TimerHeapTest, RemovedIsNotCalled) {
  Alarm a(heap_);
  EXPECT_FALSE(timer_remove(a.timer));
  timer_arm(a.timer, 10);
  EXPECT_TRUE(timer_remove(a.timer));
  EXPECT_FALSE(timer_remove(a.timer));
  run(100);
  EXPECT_TRUE(a.calls.empty());
  Timer never_armed;
  EXPECT_FALSE(timer_remove(never_armed));
}

TEST_F(TimerHeapTest, FunctionMayAskForAnotherCall) {
  Alarm a(heap_);
  timer_arm(a.timer, 10);
  a.again = 50;
  run(12);
  EXPECT_EQ(heap_.next_when(), 50);
  run(49);
  EXPECT_EQ(a.calls.size(), 1u);
  a.again = 55;  // due at the same look: called again at once
  run(60);
  EXPECT_EQ(a.calls.size(), 3u);
  EXPECT_EQ(heap_.next_when(), kNever);
}

TEST_F(TimerHeapTest, FunctionMayEndItsOwnLife) {
  struct Owned {
    Timer timer;
    bool* gone;
  };
  bool gone = false;
  auto* owned = new Owned{{}, &gone};
  owned->timer.heap.store(&heap_);
  owned->timer.arg = owned;
  owned->timer.fn = [](Timer* t, std::int64_t, TimerWork&) {
    auto* self = static_cast<Owned*>(t->arg);
    *self->gone = true;
    delete self;
    return kNever;
  };
  timer_arm(owned->timer, 1);
  run(1);
  EXPECT_TRUE(gone);
}

// Against a sorted list, which is slow and plainly right.
TEST_F(TimerHeapTest, BehavesAsASortedList) {
  std::mt19937 random(20250131);
  std::deque<Alarm> alarms;
  for (int i = 0; i < 200; ++i) alarms.emplace_back(heap_);
  std::map<Alarm*, std::int64_t> armed;
  std::int64_t now = 0;
  for (int step = 0; step < 50'000; ++step) {
    Alarm& a = alarms[random() % alarms.size()];
    switch (random() % 4) {
      case 0:
      case 1: {
        const std::int64_t when = now + static_cast<std::int64_t>(random() % 1000);
        const bool only_earlier = random() % 2;
        timer_arm(a.timer, when, only_earlier);
        const auto at = armed.find(&a);
        if (at == armed.end() || !only_earlier || when < at->second) armed[&a] = when;
        break;
      }
      case 2: EXPECT_EQ(timer_remove(a.timer), armed.erase(&a) == 1); break;
      default: {
        now += static_cast<std::int64_t>(random() % 20);
        run(now);
        for (auto& alarm : alarms) {
          const auto at = armed.find(&alarm);
          const bool due = at != armed.end() && at->second <= now;
          ASSERT_EQ(alarm.calls.size(), due ? 1u : 0u) << "step " << step;
          alarm.calls.clear();
          if (due) armed.erase(at);
        }
      }
    }
    std::int64_t first = kNever;
    for (const auto& [alarm, when] : armed) first = std::min(first, when);
    ASSERT_EQ(heap_.next_when(), first) << "step " << step;
    ASSERT_EQ(heap_.size(), armed.size());
  }
  for (auto& a : alarms) timer_remove(a.timer);
}

TEST_F(TimerHeapTest, CallsInTheOrderOfTheirTimes) {
  std::mt19937 random(7);
  static std::vector<std::int64_t> order;
  order.clear();
  std::deque<Alarm> alarms;
  for (int i = 0; i < 1000; ++i) {
    Alarm& a = alarms.emplace_back(heap_);
    a.timer.fn = [](Timer* t, std::int64_t, TimerWork&) {
      order.push_back(t->when);
      return kNever;
    };
    timer_arm(a.timer, static_cast<std::int64_t>(random() % 500));
  }
  run(499);
  EXPECT_EQ(order.size(), 1000u);
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
}

}  // namespace
}  // namespace treadle::rt
