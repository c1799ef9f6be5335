// pure
#include "request_id.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "chars.h"

using treadle::http::choose_request_id;
using treadle::http::RequestId;
using treadle::http::valid_request_id;

TEST(RequestId, IdsAreHexAndValidThemselves) {
  const RequestId id = RequestId::make();
  EXPECT_EQ(id.view().size(), 32U);
  EXPECT_TRUE(std::ranges::all_of(id.view(),
                                  [](char c) { return treadle::http::chars::hex_value(c) >= 0; }));
  EXPECT_TRUE(valid_request_id(id.view()));
}

TEST(RequestId, NoTwoAreAlikeOnAnyThread) {
  constexpr int kThreads = 4;
  constexpr int kEach = 20'000;
  std::vector<std::vector<std::string>> made(kThreads);
  std::vector<std::thread> threads;
  for (auto& mine : made)
    threads.emplace_back([&mine] {
      for (int i = 0; i < kEach; ++i) mine.emplace_back(RequestId::make().view());
    });
  for (std::thread& t : threads) t.join();
  std::set<std::string> all;
  for (const auto& mine : made) all.insert(mine.begin(), mine.end());
  EXPECT_EQ(all.size(), static_cast<std::size_t>(kThreads * kEach));
  // The first half is the process's.
  EXPECT_EQ(all.begin()->substr(0, 16), all.rbegin()->substr(0, 16));
}

// Neighbours share no more digits than chance would have it.
TEST(RequestId, CountIsHidden) {
  std::string last(RequestId::make().view().substr(16));
  int same = 0;
  constexpr int kIds = 1000;
  for (int i = 0; i < kIds; ++i) {
    const std::string next(RequestId::make().view().substr(16));
    for (std::size_t d = 0; d < next.size(); ++d) same += next[d] == last[d] ? 1 : 0;
    last = next;
  }
  EXPECT_NEAR(same, kIds, kIds / 2);  // 16 digits, one in 16 alike
}

TEST(RequestId, OnlyPlainIdsAreValid) {
  for (const char* id : {"a", "A-Z_0.9", "....", "4f1c"}) EXPECT_TRUE(valid_request_id(id)) << id;
  EXPECT_TRUE(valid_request_id(std::string(128, 'x')));
  EXPECT_FALSE(valid_request_id(std::string(129, 'x')));
  EXPECT_FALSE(valid_request_id(""));
  for (int c = 0; c < 256; ++c) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                       c == '.' || c == '_' || c == '-';
    EXPECT_EQ(valid_request_id(std::string("a") + static_cast<char>(c)), plain) << c;
  }
}

TEST(RequestId, ValidIdIsKeptAndAnyOtherReplaced) {
  std::string id;
  choose_request_id(id, "from-proxy.1");
  EXPECT_EQ(id, "from-proxy.1");
  for (const char* bad : {"", "a b", "a\"b", "a,b"}) {
    choose_request_id(id, bad);
    EXPECT_EQ(id.size(), 32U) << bad;
    EXPECT_TRUE(valid_request_id(id));
  }
}
