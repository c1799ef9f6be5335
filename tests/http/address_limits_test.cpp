#include "address_limits.h"

#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include <treadle/go.h>
#include <treadle/runtime.h>
#include <treadle/wait_group.h>

#include "support/goroutine.h"

using namespace treadle;
using http::AddressLimits;

namespace {

net::SocketAddress address(const std::string& text) {
  return net::SocketAddress::parse(text).value();
}

}  // namespace

TEST(AddressLimits, OneClientHasSoManyAndNoMore) {
  AddressLimits limits(2);
  EXPECT_TRUE(limits.try_add(address("1.2.3.4:1")));
  EXPECT_TRUE(limits.try_add(address("1.2.3.4:2")));
  EXPECT_FALSE(limits.try_add(address("1.2.3.4:3")));
  EXPECT_TRUE(limits.try_add(address("1.2.3.5:3")));
  limits.remove(address("1.2.3.4:1"));
  EXPECT_TRUE(limits.try_add(address("1.2.3.4:9")));
  EXPECT_FALSE(limits.try_add(address("1.2.3.4:9")));
}

TEST(AddressLimits, WhoWasTurnedAwayIsNotCounted) {
  AddressLimits limits(1);
  EXPECT_TRUE(limits.try_add(address("1.2.3.4:1")));
  for (int i = 0; i < 10; ++i) EXPECT_FALSE(limits.try_add(address("1.2.3.4:1")));
  limits.remove(address("1.2.3.4:1"));
  EXPECT_EQ(limits.clients(), 0U);
  EXPECT_TRUE(limits.try_add(address("1.2.3.4:1")));
}

TEST(AddressLimits, Ipv6CountsByItsSlash64) {
  AddressLimits limits(1);
  EXPECT_TRUE(limits.try_add(address("[2001:db8:0:1::1]:1")));
  EXPECT_FALSE(limits.try_add(address("[2001:db8:0:1:ffff:ffff:ffff:ffff]:1")));
  EXPECT_TRUE(limits.try_add(address("[2001:db8:0:2::1]:1")));
  // Mapped into IPv6, an IPv4 address is what it is.
  EXPECT_TRUE(limits.try_add(address("1.2.3.4:1")));
  EXPECT_FALSE(limits.try_add(address("[::ffff:1.2.3.4]:1")));
  EXPECT_TRUE(limits.try_add(address("[102:304::]:1")));
}

TEST(AddressLimits, UnixSocketsAreNotCounted) {
  AddressLimits limits(1);
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(limits.try_add(address("unix:/x")));
    EXPECT_TRUE(limits.try_add({}));
  }
  limits.remove(address("unix:/x"));
  EXPECT_EQ(limits.clients(), 0U);
}

TEST(AddressLimits, NothingIsLeftOfClientsThatHaveGone) {
  AddressLimits limits(3);
  std::vector<net::SocketAddress> all;
  for (int i = 0; i < 20'000; ++i)
    all.push_back(address(std::to_string(i >> 16) + ".1." + std::to_string(i >> 8 & 255) + "." +
                          std::to_string(i & 255) + ":1"));
  for (int round = 0; round < 2; ++round) {
    for (const auto& a : all) ASSERT_TRUE(limits.try_add(a));
    EXPECT_EQ(limits.clients(), all.size());
    for (const auto& a : all) limits.remove(a);
    EXPECT_EQ(limits.clients(), 0U);
    EXPECT_LE(limits.buckets(), 16 * 128U);  // the tables have shrunk, too
  }
}

// Never more than the limit at once, and in the end nobody is left, whoever races with whom.
TEST(AddressLimits, CountsAreExactUnderRaces) {
  test::run([] {
    constexpr std::size_t kLimit = 3;
    constexpr int kClients = 4;
    AddressLimits limits(kLimit);
    std::vector<std::atomic<std::size_t>> open(kClients);
    std::atomic<int> turned_away{0};
    WaitGroup done;
    for (int g = 0; g < 16; ++g) {
      done.add(1);
      go([&, g] {
        for (int i = 0; i < 2000; ++i) {
          const int c = (g + i) % kClients;
          const auto a = address("10.0.0." + std::to_string(c) + ":1");
          if (!limits.try_add(a)) {
            ++turned_away;
            gosched();
            continue;
          }
          EXPECT_LE(++open[static_cast<std::size_t>(c)], kLimit);
          if (i % 3 == 0) gosched();
          --open[static_cast<std::size_t>(c)];
          limits.remove(a);
        }
        done.done();
      });
    }
    done.wait();
    EXPECT_EQ(limits.clients(), 0U);
    EXPECT_GT(turned_away, 0);
  });
}
