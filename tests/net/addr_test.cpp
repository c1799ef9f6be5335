// pure: no goroutines
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <treadle/net/addr.h>
#include <memory>
#include <string>
#include <utility>

namespace treadle::net {
namespace {

std::string round_trip(std::string_view text) {
  const auto a = SocketAddress::parse(text);
  return a ? a->to_string() : "error: " + a.error().message();
}

TEST(AddrParse, LiteralsComeBackAsWritten) {
  for (const char* text : {"1.2.3.4:80", "0.0.0.0:0", "255.255.255.255:65535", "[::1]:80",
                           "[2001:db8::7]:443", "unix:/run/x.sock", "unix:@abstract"})
    EXPECT_EQ(round_trip(text), text);
}

TEST(AddrParse, EmptyHostIsEveryAddress) {
  const auto a = SocketAddress::parse(":8080");
  ASSERT_TRUE(a);
  EXPECT_EQ(a->family(), AF_INET6);
  EXPECT_EQ(a->host(), "::");
  EXPECT_EQ(a->port(), 8080);
}

TEST(AddrParse, BadTextIsInvalid) {
  for (const char* text : {"",
                           ":",
                           "1.2.3.4",
                           "1.2.3.4:",
                           "1.2.3.4:65536",
                           "1.2.3.4:-1",
                           "1.2.3.4:+1",
                           "1.2.3.4: 1",
                           "1.2.3.4:80x",
                           "1.2.3.4:000080",
                           "1.2.3:80",
                           "1.2.3.4.5:80",
                           "256.1.1.1:80",
                           "01.2.3.4:80",
                           "localhost:80",
                           "::1:80",
                           "[::1]",
                           "[::1]:",
                           "[::1:80",
                           "::1]:80",
                           "[]:80",
                           "[1.2.3.4]:80",
                           "[::g]:80",
                           "[fe80::1%]:80",
                           "[fe80::1%no-such-interface]:80",
                           "unix:",
                           "unix:@",
                           " 1.2.3.4:80"}) {
    const auto a = SocketAddress::parse(text);
    ASSERT_FALSE(a) << text;
    EXPECT_EQ(a.error(), Errc::invalid) << text;
  }
}

TEST(AddrParse, ZeroByteIsInvalid) {
  EXPECT_FALSE(SocketAddress::parse(std::string_view("1.2.3.4\0:80", 11)));
  EXPECT_FALSE(SocketAddress::parse(std::string_view("unix:/a\0b", 9)));
}

TEST(AddrParse, ZoneIsKept) {
  const auto a = SocketAddress::parse("[fe80::1%1]:80");
  ASSERT_TRUE(a);
  EXPECT_EQ(a->to_string(), "[fe80::1%1]:80");
  EXPECT_NE(*a, *SocketAddress::parse("[fe80::1%2]:80"));
}

TEST(AddrParse, UnixPathFillsTheSystemsRoomAndNoMore) {
  const std::size_t room = sizeof(sockaddr_un{}.sun_path);
  EXPECT_EQ(round_trip("unix:" + std::string(room - 1, 'x')), "unix:" + std::string(room - 1, 'x'));
  EXPECT_FALSE(SocketAddress::parse("unix:" + std::string(room, 'x')));
  EXPECT_EQ(round_trip("unix:@" + std::string(room - 1, 'x')),
            "unix:@" + std::string(room - 1, 'x'));
  EXPECT_FALSE(SocketAddress::parse("unix:@" + std::string(room, 'x')));
}

TEST(AddrValue, DefaultIsUnspecified) {
  const SocketAddress a;
  EXPECT_EQ(a.family(), AF_UNSPEC);
  EXPECT_EQ(a.port(), 0);
  EXPECT_EQ(a.to_string(), "");
  EXPECT_EQ(a, SocketAddress());
}

TEST(AddrValue, EqualWhenFamilyHostAndPortAre) {
  const auto parse = [](const char* text) { return *SocketAddress::parse(text); };
  EXPECT_EQ(parse("1.2.3.4:80"), parse("1.2.3.4:80"));
  EXPECT_NE(parse("1.2.3.4:80"), parse("1.2.3.4:81"));
  EXPECT_NE(parse("1.2.3.4:80"), parse("1.2.3.5:80"));
  EXPECT_EQ(parse("[::1]:80"), parse("[0:0:0:0:0:0:0:1]:80"));
  EXPECT_NE(parse("[::1]:80"), parse("[::2]:80"));
  EXPECT_NE(parse("unix:/a"), parse("unix:/b"));
  EXPECT_NE(parse("unix:/a"), parse("unix:@a"));
}

TEST(AddrValue, MappedIpv4IsIpv4) { EXPECT_EQ(round_trip("[::ffff:1.2.3.4]:80"), "1.2.3.4:80"); }

TEST(AddrValue, NativeOfBadLengthIsUnspecified) {
  const sockaddr_storage s{};
  const auto* native = reinterpret_cast<const sockaddr*>(&s);
  EXPECT_EQ(SocketAddress::from_native(native, 0).family(), AF_UNSPEC);
  EXPECT_EQ(SocketAddress::from_native(native, 1).family(), AF_UNSPEC);
  EXPECT_EQ(SocketAddress::from_native(native, 4096).family(), AF_UNSPEC);
  EXPECT_EQ(SocketAddress::from_native(nullptr, 16).family(), AF_UNSPEC);
}

// A path takes more room than the object has.
TEST(AddrValue, CopiesOfALongPathOutliveTheFirst) {
  const std::string text = "unix:/" + std::string(100, 'x');
  auto first = std::make_unique<SocketAddress>(*SocketAddress::parse(text));
  SocketAddress copy = *first;
  SocketAddress assigned = *SocketAddress::parse("1.2.3.4:80");
  assigned = *first;
  const SocketAddress taken = std::move(*first);
  EXPECT_EQ(first->to_string(), text) << "moving copies";
  first.reset();
  EXPECT_EQ(copy.to_string(), text);
  EXPECT_EQ(assigned, copy);
  EXPECT_EQ(taken, copy);
  copy = *SocketAddress::parse("[::1]:80");
  EXPECT_EQ(copy.to_string(), "[::1]:80");
  EXPECT_EQ(copy.native_size(), sizeof(sockaddr_in6));
  EXPECT_EQ(taken.to_string(), text);
}

TEST(AddrValue, IsNoLargerThanAConnectionCanBear) { EXPECT_LE(sizeof(SocketAddress), 48U); }

// Nothing says that the system reports a length of its type's.
TEST(AddrValue, LengthBeyondItsTypeDoesNoHarm) {
  sockaddr_storage s{};
  auto& in = reinterpret_cast<sockaddr_in&>(s);
  in.sin_family = AF_INET;
  in.sin_port = htons(80);
  in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const auto* native = reinterpret_cast<const sockaddr*>(&s);
  EXPECT_EQ(SocketAddress::from_native(native, sizeof s).to_string(), "127.0.0.1:80");
  auto& in6 = reinterpret_cast<sockaddr_in6&>(s);
  in6 = {};
  in6.sin6_family = AF_INET6;
  in6.sin6_port = htons(80);
  in6.sin6_addr.s6_addr[10] = in6.sin6_addr.s6_addr[11] = 0xff;
  in6.sin6_addr.s6_addr[15] = 1;
  EXPECT_EQ(SocketAddress::from_native(native, sizeof s).to_string(), "0.0.0.1:80");
}

TEST(AddrValue, UnnamedUnixSocketHasNoPath) {
  sockaddr_un un{};
  un.sun_family = AF_UNIX;
  const auto a = SocketAddress::from_native(reinterpret_cast<const sockaddr*>(&un), 2);
  EXPECT_EQ(a.family(), AF_UNIX);
  EXPECT_EQ(a.host(), "");
}

}  // namespace
}  // namespace treadle::net
