// pure: no goroutines
#include "runtime/runq.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace treadle::rt {
namespace {

using Queue = RunQueue<const int*, 4>;

// Access to the counters, so that they can start near the end of their range.
template <auto kHead, auto kTail>
struct Counters {
  friend void start_at(Queue& q, std::uint32_t n) {
    (q.*kHead).store(n);
    (q.*kTail).store(n);
  }
};
void start_at(Queue& q, std::uint32_t n);
template struct Counters<&Queue::head_, &Queue::tail_>;

constexpr int kItems[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

class RunqAt : public ::testing::TestWithParam<std::uint32_t> {
 protected:
  RunqAt() { start_at(q_, GetParam()); }
  void push(std::initializer_list<int> items) {
    for (int i : items) ASSERT_TRUE(q_.push(&kItems[i]));
  }
  void expect(std::initializer_list<int> items) {
    for (int i : items) ASSERT_EQ(q_.pop(), &kItems[i]);
    ASSERT_EQ(q_.pop(), nullptr);
  }
  Queue q_;
};
INSTANTIATE_TEST_SUITE_P(Runq, RunqAt,
                         ::testing::Values(0u, 1u, 3u, 0x7fffffffu, 0xfffffffcu, 0xfffffffdu,
                                           0xfffffffeu, 0xffffffffu));

TEST_P(RunqAt, FirstInIsFirstOut) {
  push({1, 2, 3});
  expect({1, 2, 3});
  push({4, 5, 6, 7});
  expect({4, 5, 6, 7});
}

TEST_P(RunqAt, FullRefusesAndKeepsWhatItHas) {
  push({0, 1, 2, 3});
  EXPECT_EQ(q_.size(), 4u);
  EXPECT_FALSE(q_.push(&kItems[9]));
  EXPECT_EQ(q_.pop(), &kItems[0]);
  push({4});
  EXPECT_FALSE(q_.push(&kItems[9]));
  expect({1, 2, 3, 4});
}

TEST_P(RunqAt, SizeIsExactForTheOwner) {
  EXPECT_TRUE(q_.empty());
  for (std::uint32_t n = 1; n <= 4; ++n) {
    push({static_cast<int>(n)});
    EXPECT_EQ(q_.size(), n);
    EXPECT_FALSE(q_.empty());
  }
  while (q_.pop()) {
  }
  EXPECT_TRUE(q_.empty());
}

TEST_P(RunqAt, HalfOfAFullOneIsTheOlderHalf) {
  push({0, 1, 2, 3});
  const int* half[2] = {};
  ASSERT_EQ(q_.pop_half(half), 2u);
  EXPECT_EQ(half[0], &kItems[0]);
  EXPECT_EQ(half[1], &kItems[1]);
  expect({2, 3});
}

TEST_P(RunqAt, HalfIsOfferedOnlyWhenFull) {
  push({0, 1, 2});
  const int* half[2] = {};
  EXPECT_EQ(q_.pop_half(half), 0u);
  expect({0, 1, 2});
}

TEST_P(RunqAt, ThiefTakesTheOlderHalfRoundedUp) {
  for (int n = 0; n <= 4; ++n) {
    for (int i = 0; i < n; ++i) push({i});
    Queue to;
    start_at(to, 0xfffffffeu);
    const int stolen = (n + 1) / 2;
    const int* got = q_.steal_into(to);
    if (n == 0) {
      EXPECT_EQ(got, nullptr);
      continue;
    }
    EXPECT_EQ(got, &kItems[stolen - 1]);
    for (int i = 0; i < stolen - 1; ++i) EXPECT_EQ(to.pop(), &kItems[i]);
    EXPECT_EQ(to.pop(), nullptr);
    for (int i = stolen; i < n; ++i) EXPECT_EQ(q_.pop(), &kItems[i]);
    EXPECT_TRUE(q_.empty());
  }
}

// One owner that pushes, pops and spills, and thieves that steal from it and from each other.
// Every item must come out exactly once.
void hammer(int thieves, int items, std::uint32_t start) {
  std::vector<int> values(static_cast<std::size_t>(items));
  std::vector<std::atomic<int>> seen(values.size());
  std::vector<Queue> queues(static_cast<std::size_t>(thieves) + 1);
  for (auto& q : queues) start_at(q, start);
  const auto take = [&](const int* item) {
    seen[static_cast<std::size_t>(item - values.data())].fetch_add(1, std::memory_order_relaxed);
  };
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int t = 1; t <= thieves; ++t)
    threads.emplace_back([&, t] {
      Queue& mine = queues[static_cast<std::size_t>(t)];
      for (std::size_t victim = 0; !stop;) {
        victim = (victim + 1) % queues.size();
        if (&queues[victim] == &mine) continue;
        const int* item = queues[victim].steal_into(mine);
        if (!item) continue;
        take(item);
        while ((item = mine.pop())) {
          take(item);
          if (*item % 5 == 0) std::this_thread::yield();  // leaves the rest to other thieves
        }
      }
    });
  Queue& own = queues[0];
  for (int i = 0; i < items; ++i) {
    values[static_cast<std::size_t>(i)] = i;
    const int* item = &values[static_cast<std::size_t>(i)];
    while (!own.push(item)) {
      const int* half[2];
      const std::uint32_t n = own.pop_half(half);
      for (std::uint32_t k = 0; k < n; ++k) take(half[k]);
    }
    if (i % 3 == 0)
      if (const int* popped = own.pop()) take(popped);
  }
  while (const int* item = own.pop()) take(item);
  stop = true;
  for (auto& t : threads) t.join();
  for (auto& q : queues)
    while (const int* item = q.pop()) take(item);
  for (std::size_t i = 0; i < seen.size(); ++i) ASSERT_EQ(seen[i], 1) << "item " << i;
}

TEST(RunqRace, EveryItemComesOutOnce) {
  hammer(1, 100'000, 0);
  hammer(3, 100'000, 0xffffff00u);
}

TEST(RunqRace, ManyShortLivesAcrossTheWrap) {
  for (std::uint32_t i = 0; i < 30; ++i) hammer(2, 200, 0xffffff80u + i);
}

}  // namespace
}  // namespace treadle::rt
