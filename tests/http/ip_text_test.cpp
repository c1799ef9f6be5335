// pure
#include "ip_text.h"

#include <gtest/gtest.h>

#include <string>

using treadle::http::IpText;
using treadle::http::parse_ip;
using treadle::http::parse_port;

namespace {

std::string address_in(std::string_view text, IpText kind = IpText::either) {
  const auto address = parse_ip(text, 80, kind);
  return address ? address->to_string() : "no";
}

}  // namespace

TEST(IpText, AddressesOfTheKindAskedForAreRead) {
  EXPECT_EQ(address_in("192.0.2.7"), "192.0.2.7:80");
  EXPECT_EQ(address_in("2001:db8::7"), "[2001:db8::7]:80");
  EXPECT_EQ(address_in("::ffff:192.0.2.7"), "192.0.2.7:80");
  EXPECT_EQ(address_in("192.0.2.7", IpText::v4), "192.0.2.7:80");
  EXPECT_EQ(address_in("192.0.2.7", IpText::v6), "no");
  EXPECT_EQ(address_in("::1", IpText::v6), "[::1]:80");
  EXPECT_EQ(address_in("::1", IpText::v4), "no");
}

TEST(IpText, NothingElseIs) {
  using namespace std::string_view_literals;
  for (const std::string_view text :
       {""sv,          "1"sv,
        "1.2.3"sv,     "1.2.3.4.5"sv,
        "1.2.3.256"sv, "01.2.3.4"sv,
        "1.2.3.4 "sv,  " 1.2.3.4"sv,
        "1.2.3.4\0"sv, "1.2.3.-4"sv,
        "0x1.2.3.4"sv, "localhost"sv,
        "[::1]"sv,     "::1%1"sv,
        "1::2::3"sv,   ":"sv,
        ":::"sv,       "12345::"sv,
        "::1/64"sv,    "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000"sv})
    EXPECT_EQ(address_in(text), "no") << text;
}

TEST(IpText, PortsArePlainNumbers) {
  EXPECT_EQ(parse_port("0"), 0);
  EXPECT_EQ(parse_port("65535"), 65535);
  for (const char* text :
       {"", "65536", "-1", "+1", "01", "00", " 1", "1 ", "1x", "0x1", "99999999999999999999"})
    EXPECT_EQ(parse_port(text), std::nullopt) << text;
}
