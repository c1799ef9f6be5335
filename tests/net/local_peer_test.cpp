#include "local_peer.h"

#include <gtest/gtest.h>

#include <string_view>

namespace treadle::net {
namespace {

SocketAddress address(std::string_view text) { return SocketAddress::parse(text).value(); }

bool here(std::string_view remote, std::string_view local) {
  return is_on_this_machine(address(remote), address(local));
}

TEST(LocalPeer, LoopbackAndOnesOwnAddressAreHere) {
  EXPECT_TRUE(here("127.0.0.1:1", "127.0.0.1:2"));
  EXPECT_TRUE(here("127.9.8.7:1", "127.0.0.1:2"));
  EXPECT_TRUE(here("[::1]:1", "[::1]:2"));
  EXPECT_TRUE(here("192.0.2.7:1", "192.0.2.7:2"));
  EXPECT_TRUE(here("[2001:db8::7]:1", "[2001:db8::7]:2"));
  EXPECT_TRUE(here("[::ffff:127.0.0.1]:1", "127.0.0.1:2"));
}

TEST(LocalPeer, OthersAreNot) {
  EXPECT_FALSE(here("192.0.2.7:1", "192.0.2.8:1"));
  EXPECT_FALSE(here("128.0.0.1:1", "127.0.0.1:1"));
  EXPECT_FALSE(here("[2001:db8::7]:1", "[2001:db8::8]:1"));
  EXPECT_FALSE(here("[2001:db8::7]:1", "192.0.2.7:1"));
  EXPECT_FALSE(here("192.0.2.7:1", "[2001:db8::7]:1"));
  EXPECT_FALSE(here("unix:/a", "unix:/a"));
  EXPECT_FALSE(is_on_this_machine(SocketAddress(), SocketAddress()));
}

}  // namespace
}  // namespace treadle::net
