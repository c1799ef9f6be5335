// pure: one winner for each response.
#include "response_claim.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace treadle::http::detail {
namespace {

using State = ResponseClaim::State;

TEST(ResponseClaim, HandlerCommitsWhatIsOpenOnce) {
  ResponseClaim claim;
  EXPECT_EQ(claim.state(), State::idle);
  EXPECT_FALSE(claim.commit());
  claim.begin();
  EXPECT_EQ(claim.state(), State::open);
  EXPECT_TRUE(claim.commit());
  EXPECT_FALSE(claim.commit());
  EXPECT_FALSE(claim.lost());
  EXPECT_EQ(claim.end(), State::committed);
  EXPECT_EQ(claim.state(), State::idle);
}

TEST(ResponseClaim, DeadlineTakesWhatIsOpen) {
  ResponseClaim claim;
  claim.begin();
  EXPECT_TRUE(claim.try_time_out(claim.look()));
  EXPECT_TRUE(claim.lost());
  EXPECT_FALSE(claim.commit());
  EXPECT_FALSE(claim.begin_interim());
  EXPECT_EQ(claim.end(), State::timed_out);
}

TEST(ResponseClaim, DeadlineCutsWhatHasBegun) {
  ResponseClaim claim;
  claim.begin();
  ASSERT_TRUE(claim.commit());
  EXPECT_FALSE(claim.try_time_out(claim.look()));
  EXPECT_TRUE(claim.try_cut(claim.look()));
  EXPECT_TRUE(claim.lost());
  EXPECT_EQ(claim.end(), State::cut);
}

TEST(ResponseClaim, InterimResponseIsCutOrEnds) {
  ResponseClaim claim;
  claim.begin();
  ASSERT_TRUE(claim.begin_interim());
  EXPECT_FALSE(claim.try_time_out(claim.look()));
  EXPECT_TRUE(claim.end_interim());
  EXPECT_EQ(claim.state(), State::open);
  ASSERT_TRUE(claim.begin_interim());
  EXPECT_TRUE(claim.try_cut(claim.look()));
  EXPECT_FALSE(claim.end_interim());
}

TEST(ResponseClaim, WhatWasSeenOfOneRequestDoesNotCountForTheNext) {
  ResponseClaim claim;
  claim.begin();
  const ResponseClaim::Ticket seen = claim.look();
  claim.end();
  claim.begin();
  EXPECT_NE(ResponseClaim::number(seen), ResponseClaim::number(claim.look()));
  EXPECT_FALSE(claim.try_time_out(seen));
  EXPECT_EQ(claim.state(), State::open);
}

TEST(ResponseClaim, NumbersGoOnThroughManyRequests) {
  ResponseClaim claim;
  claim.begin();
  std::uint32_t last = ResponseClaim::number(claim.look());
  for (int i = 0; i < 1000; ++i) {
    claim.end();
    claim.begin();
    const std::uint32_t now = ResponseClaim::number(claim.look());
    ASSERT_EQ(now, last + 1);
    last = now;
  }
}

// Each request has one winner, whoever comes when.
TEST(ResponseClaim, RaceHasOneWinner) {
  ResponseClaim claim;
  std::atomic<int> round{0};
  std::atomic<int> taken{0};
  std::atomic<bool> stop{false};
  std::thread deadline([&] {
    int seen = 0;
    while (!stop.load()) {
      const int now = round.load();
      if (now == seen) continue;
      seen = now;
      if (claim.try_time_out(claim.look())) taken.fetch_add(1);
    }
  });
  int won = 0;
  int lost = 0;
  for (int i = 0; i < 100'000; ++i) {
    claim.begin();
    round.fetch_add(1);
    for (int spin = i % 40; spin > 0; --spin) std::atomic_signal_fence(std::memory_order_seq_cst);
    const bool mine = claim.commit();
    const State end = claim.end();
    ASSERT_EQ(end, mine ? State::committed : State::timed_out);
    ++(mine ? won : lost);
  }
  stop.store(true);
  deadline.join();
  EXPECT_EQ(taken.load(), lost);
  EXPECT_EQ(won + lost, 100'000);
}

}  // namespace
}  // namespace treadle::http::detail
