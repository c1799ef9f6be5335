// pure
#include "access_log_text.h"

#include <gtest/gtest.h>
#include <netinet/in.h>

#include <cstdint>
#include <string>

using namespace treadle::http::detail;
using treadle::net::SocketAddress;

namespace {

std::string text(const LogLine& line) { return {line.data(), line.size()}; }

template <class... Args>
std::string escaped(Args... args) {
  LogLine line;
  append_escaped(line, args...);
  return text(line);
}
template <class... Args>
std::string word(Args... args) {
  LogLine line;
  append_word(line, args...);
  return text(line);
}
template <class... Args>
std::string json(Args... args) {
  LogLine line;
  append_json_escaped(line, args...);
  return text(line);
}
std::string seconds(treadle::Duration d) {
  LogLine line;
  append_seconds(line, d);
  return text(line);
}
std::string host(const SocketAddress& address) {
  LogLine line;
  append_host(line, address);
  return text(line);
}
std::string whole(const SocketAddress& address) {
  LogLine line;
  append_address(line, address);
  return text(line);
}
SocketAddress parsed(std::string_view address) { return SocketAddress::parse(address).value(); }

std::string stripped(std::string_view url) {
  const auto [front, back] = without_userinfo(url);
  return std::string(front) + std::string(back);
}

}  // namespace

TEST(AccessLogText, EveryByteThatCouldForgeALineIsEscaped) {
  for (int c = 0; c < 256; ++c) {
    const std::string one(1, static_cast<char>(c));
    const bool plain = c >= 0x20 && c <= 0x7e && c != '"' && c != '\\';
    const std::string hex = fmt::format("\\x{:02x}", c);
    EXPECT_EQ(escaped("a" + one + "b"), plain ? "a" + one + "b" : "a" + hex + "b");
    EXPECT_EQ(word("a" + one + "b"), plain && c != ' ' ? "a" + one + "b" : "a" + hex + "b");
  }
  EXPECT_EQ(escaped("\r\n\"\\"), R"(\x0d\x0a\x22\x5c)");
}

TEST(AccessLogText, EmptyIsADash) {
  EXPECT_EQ(escaped(""), "-");
  EXPECT_EQ(word(""), "-");
  EXPECT_EQ(json(""), "");
}

TEST(AccessLogText, FieldsAreCut) {
  EXPECT_EQ(escaped("abcdef", 3U), "abc");
  EXPECT_EQ(escaped("\n\n\n", 2U), R"(\x0a\x0a)");
  EXPECT_EQ(escaped(std::string(9000, 'u')).size(), 2048U);
  EXPECT_EQ(json(std::string(9000, 'u')).size(), 2048U);
  EXPECT_EQ(word(std::string(9000, '\x01')).size(), 4 * 2048U);
}

TEST(AccessLogText, JsonEscapesAreThoseOfRfc8259) {
  EXPECT_EQ(json(R"(a"b\c/d)"), R"(a\"b\\c/d)");
  EXPECT_EQ(json(std::string_view("\0\x1f\x7f\n", 4)), R"(\u0000\u001f\u007f\u000a)");
  EXPECT_EQ(json("\u00e9 \u20ac \U0001f600 \u202e"), R"(\u00e9 \u20ac \ud83d\ude00 \u202e)");
  EXPECT_EQ(json("\U0010ffff"), R"(\udbff\udfff)");
}

TEST(AccessLogText, WhatIsNotUtf8IsReplacedByteByByte) {
  EXPECT_EQ(json("a\xff"), R"(a\ufffd)");
  EXPECT_EQ(json("\x80z"), R"(\ufffdz)");
  EXPECT_EQ(json("\xc3"), R"(\ufffd)");                                // ends early
  EXPECT_EQ(json("\xc3("), R"(\ufffd()");                              // its second byte is none
  EXPECT_EQ(json("\xc0\xaf"), R"(\ufffd\ufffd)");                      // overlong
  EXPECT_EQ(json("\xe0\x80\xaf"), R"(\ufffd\ufffd\ufffd)");            // overlong
  EXPECT_EQ(json("\xed\xa0\x80"), R"(\ufffd\ufffd\ufffd)");            // a surrogate
  EXPECT_EQ(json("\xf4\x90\x80\x80"), R"(\ufffd\ufffd\ufffd\ufffd)");  // past the last
  EXPECT_EQ(json("\xf8\x88\x80\x80\x80"), R"(\ufffd\ufffd\ufffd\ufffd\ufffd)");
}

TEST(AccessLogText, JsonIsNotCutWithinACharacter) {
  EXPECT_EQ(json("ab\u20ac", 5U), R"(ab\u20ac)");
  EXPECT_EQ(json("ab\u20ac", 4U), "ab");
  EXPECT_EQ(json("ab\u20ac", 3U), "ab");
  EXPECT_EQ(json("a\U0001f600", 4U), "a");
  // Bytes that continue nothing may be cut anywhere.
  EXPECT_EQ(json("\x80\x80\x80\x80\x80\x80", 5U), R"(\ufffd\ufffd\ufffd\ufffd\ufffd)");
  EXPECT_EQ(json("\x80\x80", 1U), R"(\ufffd)");
}

TEST(AccessLogText, SecondsHaveSixDecimals) {
  using namespace std::chrono_literals;
  EXPECT_EQ(seconds(0ns), "0.000000");
  EXPECT_EQ(seconds(999ns), "0.000000");
  EXPECT_EQ(seconds(1us), "0.000001");
  EXPECT_EQ(seconds(123456us), "0.123456");
  EXPECT_EQ(seconds(3601s + 20ms), "3601.020000");
  EXPECT_EQ(seconds(-5s), "0.000000");
}

TEST(AccessLogText, AddressesAreWrittenAsEverywhere) {
  for (const char* address : {"0.0.0.0:0", "255.255.255.255:65535", "192.0.2.7:80", "[::1]:443",
                              "[2001:db8::8:800:200c:417a]:8080", "[fe80::1%1]:9", ":80"}) {
    EXPECT_EQ(host(parsed(address)), parsed(address).host());
    EXPECT_EQ(whole(parsed(address)), parsed(address).to_string());
  }
  EXPECT_EQ(host({}), "-");
  EXPECT_EQ(whole({}), "-");
}

// Every pattern of zero groups, which is what decides about the colons.
TEST(AccessLogText, Ipv6IsAsTheSystemWritesIt) {
  for (unsigned pattern = 0; pattern < 256; ++pattern) {
    sockaddr_in6 in6{};
    in6.sin6_family = AF_INET6;
    for (unsigned i = 0; i < 8; ++i) {
      if ((pattern >> i & 1) == 0) continue;
      const unsigned value = 0xfedcU >> (4 * ((i + pattern) % 4));
      in6.sin6_addr.s6_addr[2 * i] = static_cast<std::uint8_t>(value >> 8);
      in6.sin6_addr.s6_addr[2 * i + 1] = static_cast<std::uint8_t>(value);
    }
    const auto address =
        SocketAddress::from_native(reinterpret_cast<const sockaddr*>(&in6), sizeof in6);
    EXPECT_EQ(host(address), address.host());
  }
}

// At every place of the eight that are looked at together, and behind every other byte.
TEST(AccessLogText, UnsafeBytesAreFoundAtEveryPlace) {
  for (std::size_t at = 0; at < 19; ++at) {
    for (int c = 0; c < 256; ++c) {
      std::string bytes(19, '~');
      bytes[at] = static_cast<char>(c);
      const bool plain = c >= 0x20 && c <= 0x7e && c != '"' && c != '\\';
      EXPECT_EQ(escaped(bytes) == bytes, plain) << at << " " << c;
      EXPECT_EQ(word(bytes) == bytes, plain && c != ' ') << at << " " << c;
      EXPECT_EQ(json(bytes) == bytes, plain) << at << " " << c;
    }
  }
}

TEST(AccessLogText, UnixPathsAreEscapedSinceClientsChooseThem) {
  EXPECT_EQ(host(parsed("unix:/run/a b\n\"")), R"(unix:/run/a\x20b\x0a\x22)");
  EXPECT_EQ(whole(parsed("unix:@name")), "unix:@name");
  const sa_family_t unnamed = AF_UNIX;
  EXPECT_EQ(
      host(SocketAddress::from_native(reinterpret_cast<const sockaddr*>(&unnamed), sizeof unnamed)),
      "unix:");
}

TEST(AccessLogText, UserinfoIsCutFromUrls) {
  const std::pair<const char*, const char*> table[] = {
      {"", ""},
      {"http://h/", "http://h/"},
      {"http://user:secret@h/p?q#f", "http://h/p?q#f"},
      {"https://user@h", "https://h"},
      {"https://a@b:secret@h/x", "https://h/x"},
      {"//user:secret@h/", "//h/"},
      {"user:secret@h/", "h/"},
      {"http:user:secret@h/", "h/"},
      {"http:\\\\user:secret@h\\", "h\\"},
      {"http://user:se\\cret@h/", "http://h/"},
      {"http://user:secret@", "http://"},
      // Beyond the host an @ is as good as any other character.
      {"http://h/@p", "http://h/@p"},
      {"http://h?user@x", "http://h?user@x"},
      {"http://h#user@x", "http://h#user@x"},
      {"/path/@x//y@z", "/path/@x//y@z"},
      {"/?u=http://a:b@c/", "/?u=http://a:b@c/"},
      {"mailto:me@h", "h"},
  };
  for (const auto& [url, shown] : table) EXPECT_EQ(stripped(url), shown) << url;
}
