// The table behind rate_limit(), and what it counts as one client.
#include "rate_table.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <string>

#include <treadle/go.h>
#include <treadle/result.h>
#include <treadle/wait_group.h>

#include "support/goroutine.h"

using namespace treadle::http;
using namespace std::chrono_literals;
using treadle::Duration;
using treadle::Panic;
using treadle::Rate;
using treadle::TimePoint;

namespace {

const TimePoint kStart{1h};

std::string key_of(std::string_view address) {
  const auto parsed = treadle::net::SocketAddress::parse(address);
  EXPECT_TRUE(parsed) << address;
  return std::string(ClientKey(*parsed).view());
}

}  // namespace

TEST(RateTable, ABurstPassesAndThenTheRateHolds) {
  RateTable table(Rate::per_second(10), 3, 100);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(table.take("a", kStart), 0s) << i;
  EXPECT_EQ(table.take("a", kStart), 100ms);
  EXPECT_EQ(table.take("a", kStart + 40ms), 60ms);
  EXPECT_EQ(table.take("b", kStart), 0s);
  EXPECT_EQ(table.take("a", kStart + 100ms), 0s);
  EXPECT_EQ(table.take("a", kStart + 100ms), 100ms);
  // Full again, and no fuller.
  for (int i = 0; i < 3; ++i) EXPECT_EQ(table.take("a", kStart + 10s), 0s) << i;
  EXPECT_EQ(table.take("a", kStart + 10s), 100ms);
}

TEST(RateTable, TimeThatGoesBackwardsForgivesNothing) {
  RateTable table(Rate::per_second(1), 1, 100);
  EXPECT_EQ(table.take("a", kStart), 0s);
  EXPECT_EQ(table.take("a", kStart - 1s), 2s);
}

TEST(RateTable, WhatIsNearestToFullGivesWay) {
  // One set of eight.
  RateTable table(Rate::every(1min), 2, 8);
  for (int i = 0; i < 8; ++i) EXPECT_EQ(table.take(std::to_string(i), kStart), 0s);
  for (int i = 1; i < 8; ++i) EXPECT_EQ(table.take(std::to_string(i), kStart), 0s);
  EXPECT_EQ(table.take("new", kStart), 0s);  // takes the place of 0, which had used the least
  for (int i = 1; i < 8; ++i) EXPECT_EQ(table.take(std::to_string(i), kStart), 1min) << i;
  EXPECT_EQ(table.take("new", kStart), 0s);
  EXPECT_EQ(table.take("new", kStart), 1min);
}

TEST(RateTable, InfiniteRatesAllowAll) {
  RateTable table(Rate::infinite(), 1, 1);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(table.take("a", kStart), 0s);
}

TEST(RateTable, NonsensePanics) {
  EXPECT_THROW(RateTable(Rate{}, 1, 1), Panic);
  EXPECT_THROW(RateTable(Rate::per_second(-1), 1, 1), Panic);
  EXPECT_THROW(RateTable(Rate{__builtin_nan("")}, 1, 1), Panic);
  EXPECT_THROW(RateTable(Rate::per_second(1), 0, 1), Panic);
  EXPECT_THROW(RateTable(Rate::per_second(1), 1, 0), Panic);
  EXPECT_THROW(RateTable(Rate::per_second(1e-9), 100, 1), Panic);
}

TEST(RateTable, ConcurrentTakersGetTheBurstAndNoMore) {
  treadle::test::run([] {
    constexpr int kTakers = 8;
    constexpr int kTries = 500;
    RateTable table(Rate::every(1h), 100, 64);
    std::atomic<int> taken{0};
    treadle::WaitGroup done;
    for (int t = 0; t < kTakers; ++t) {
      done.add(1);
      treadle::go([&] {
        for (int i = 0; i < kTries; ++i) {
          if (table.take("one", kStart) == 0s) taken.fetch_add(1);
          if (table.take(i % 2 == 0 ? "two" : "three", kStart) == 0s) taken.fetch_add(1);
          treadle::gosched();
        }
        done.done();
      });
    }
    done.wait();
    EXPECT_EQ(taken.load(), 300);
  });
}

TEST(RateTable, ClientsAreAddressesAndNetworks) {
  EXPECT_EQ(key_of("192.0.2.1:80"), key_of("192.0.2.1:81"));
  EXPECT_NE(key_of("192.0.2.1:80"), key_of("192.0.2.2:80"));
  EXPECT_EQ(key_of("[2001:db8:1:2::1]:80"), key_of("[2001:db8:1:2:ffff:ffff:ffff:ffff]:9"));
  EXPECT_NE(key_of("[2001:db8:1:2::1]:80"), key_of("[2001:db8:1:3::1]:80"));
  EXPECT_EQ(key_of("unix:/a"), key_of("unix:/b"));
  EXPECT_NE(key_of("unix:/a"), key_of("0.0.0.0:0"));
  EXPECT_NE(key_of("[::]:0"), key_of("0.0.0.0:0"));
}
