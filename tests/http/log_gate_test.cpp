// pure
#include "log_gate.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <optional>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using treadle::Clock;
using treadle::TimePoint;
using treadle::http::LogGate;

TEST(LogGate, OnePassesInEachInterval) {
  LogGate gate;
  const TimePoint start = Clock::now();
  EXPECT_EQ(gate.pass(start), 0U);
  EXPECT_EQ(gate.pass(start), std::nullopt);
  EXPECT_EQ(gate.pass(start + 999ms), std::nullopt);
  EXPECT_EQ(gate.pass(start + 1s), 2U);
  EXPECT_EQ(gate.pass(start + 1s), std::nullopt);
  EXPECT_EQ(gate.pass(start + 1h), 1U);
  EXPECT_EQ(gate.pass(start + 2h), 0U);
}

TEST(LogGate, FirstPassesHoweverEarlyTheClock) {
  LogGate gate;
  EXPECT_TRUE(gate.pass(TimePoint{}));
}

TEST(LogGate, OfManyThreadsOnePassesAndNoneIsForgotten) {
  LogGate gate(1min);
  const TimePoint start = Clock::now();
  constexpr int kCalls = 1000;
  std::atomic<int> passed{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < kCalls; ++i) passed += gate.pass(start) ? 1 : 0;
    });
  }
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(passed, 1);
  EXPECT_EQ(gate.pass(start + 1min), 4U * kCalls - 1);
}
