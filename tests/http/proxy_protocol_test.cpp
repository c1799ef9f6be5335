#include "proxy_protocol.h"

#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "crc32c.h"
#include "support/faulty_conn.h"
#include "support/goroutine.h"
#include "support/pipe_conn.h"

using namespace treadle;
using namespace treadle::http;
using namespace std::string_literals;

namespace {

std::string big_endian(std::size_t value, int bytes) {
  std::string out;
  for (int i = bytes - 1; i >= 0; --i) out.push_back(static_cast<char>(value >> (8 * i)));
  return out;
}

std::string tlv(char type, const std::string& value) {
  return type + big_endian(value.size(), 2) + value;
}

std::string binary(int version_and_command, int family_and_transport, const std::string& rest) {
  return "\r\n\r\n\0\r\nQUIT\n"s + static_cast<char>(version_and_command) +
         static_cast<char>(family_and_transport) + big_endian(rest.size(), 2) + rest;
}

const std::string kIpv4Part = "\x01\x02\x03\x04\x0a\x00\x00\x01\x30\x39\x01\xbb"s;
const std::string kIpv6Part =
    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07"s + std::string(15, '\0') + "\x01\x30\x39\x01\xbb"s;
std::string unix_field(const std::string& path) { return path + std::string(108 - path.size(), 0); }

// Version 2 over TCP and IPv4, with TLVs.
std::string with_tlvs(const std::string& tlvs) { return binary(0x21, 0x11, kIpv4Part + tlvs); }

// The same with a checksum as the last extension.
std::string with_checksum(const std::string& tlvs) {
  std::string header = with_tlvs(tlvs + tlv('\x03', "\0\0\0\0"s));
  Crc32c crc;
  crc.add(header);
  header.replace(header.size() - 4, 4, big_endian(crc.value(), 4));
  return header;
}

std::string line(const std::string& text) { return "PROXY " + text + "\r\n"; }

// "source > destination", "own addresses", "more", or the error.
std::string header_in(std::string_view bytes) {
  const ProxyParse p = parse_proxy_header(bytes);
  switch (p.status) {
    case ParseStatus::need_more: return "more";
    case ParseStatus::error: return p.error.message();
    case ParseStatus::complete: break;
  }
  if (!p.header.proxied) return "own addresses";
  return p.header.source.to_string() + " > " + p.header.destination.to_string();
}

struct Case {
  std::string bytes;
  std::string outcome;
};

std::vector<Case> valid() {
  return {
      {line("TCP4 1.2.3.4 10.0.0.1 12345 443"), "1.2.3.4:12345 > 10.0.0.1:443"},
      {line("TCP4 0.0.0.0 255.255.255.255 0 65535"), "0.0.0.0:0 > 255.255.255.255:65535"},
      {line("TCP6 2001:db8::7 ::1 12345 443"), "[2001:db8::7]:12345 > [::1]:443"},
      {line("TCP6 2001:DB8:0:0:0:0:0:7 :: 1 2"), "[2001:db8::7]:1 > [::]:2"},
      {line("TCP6 ::ffff:1.2.3.4 ::1 1 2"), "1.2.3.4:1 > [::1]:2"},
      {line("TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
            "65535 65535"),
       "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535 > "
       "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"},
      {line("UNKNOWN"), "own addresses"},
      {line("UNKNOWN "), "own addresses"},
      {line("UNKNOWN \x01 whatever 1.2.3.4"), "own addresses"},
      {line("UNKNOWN " + std::string(107 - 16, 'f')), "own addresses"},
      {with_tlvs(""), "1.2.3.4:12345 > 10.0.0.1:443"},
      {binary(0x21, 0x12, kIpv4Part), "1.2.3.4:12345 > 10.0.0.1:443"},
      {binary(0x21, 0x21, kIpv6Part), "[2001:db8::7]:12345 > [::1]:443"},
      {binary(0x21, 0x31, unix_field("/a") + unix_field("/b")), "unix:/a > unix:/b"},
      {binary(0x21, 0x31, unix_field("\0a"s) + unix_field("")), "unix:@a > unix:"},
      {binary(0x21, 0x31, std::string(108, 'x') + std::string(108, 'y')),
       "unix:" + std::string(108, 'x') + " > unix:" + std::string(108, 'y')},
      {binary(0x21, 0x00, ""), "own addresses"},
      {binary(0x21, 0x00, "anything"), "own addresses"},
      {binary(0x21, 0x10, ""), "own addresses"},
      {binary(0x20, 0x00, ""), "own addresses"},
      {binary(0x20, 0x11, kIpv4Part), "own addresses"},
      {binary(0x20, 0xff, "anything"), "own addresses"},
      {with_tlvs(tlv('\x04', "") + tlv('\xe0', "custom")), "1.2.3.4:12345 > 10.0.0.1:443"},
      {with_checksum(tlv('\x04', "padding")), "1.2.3.4:12345 > 10.0.0.1:443"},
      {binary(0x21, 0x11, kIpv4Part + tlv('\x04', std::string(4096 - 16 - 12 - 3, 'x'))),
       "1.2.3.4:12345 > 10.0.0.1:443"},
  };
}

constexpr const char* kMissing = "no PROXY header";
constexpr const char* kLength = "PROXY header: line longer than 107 bytes";
constexpr const char* kEnd = "PROXY header: line does not end with CR LF";
constexpr const char* kProtocol = "PROXY header: neither TCP4, TCP6 nor UNKNOWN";
constexpr const char* kFields = "PROXY header: not four fields with a space before each";
constexpr const char* kAddress = "PROXY header: malformed address";
constexpr const char* kPort = "PROXY header: malformed port";
constexpr const char* kVersion = "PROXY header: version is neither 1 nor 2";
constexpr const char* kCommand = "PROXY header: unknown command";
constexpr const char* kFamily = "PROXY header: unknown address family or transport";
constexpr const char* kShort = "PROXY header: too short for its addresses";
constexpr const char* kTooLong = "PROXY header: longer than 4096 bytes";
constexpr const char* kTlv = "PROXY header: malformed extension";
constexpr const char* kChecksum = "PROXY header: wrong checksum";

std::vector<Case> broken_lines() {
  return {
      {"G", kMissing},
      {"GET / HTTP/1.1\r\n", kMissing},
      {"POST / HTTP/1.1\r\n", kMissing},
      {"PRI * HTTP/2.0\r\n", kMissing},
      {"proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n", kMissing},
      {"PROXYTCP4", kMissing},
      {"PROXY\r\n", kMissing},
      {"\x16\x03\x01", kMissing},
      {" PROXY UNKNOWN\r\n", kMissing},
      {line(""), kProtocol},
      {line("TCP"), kProtocol},
      {line("TCP5 1.2.3.4 1.2.3.4 1 2"), kProtocol},
      {line("tcp4 1.2.3.4 1.2.3.4 1 2"), kProtocol},
      {line(" TCP4 1.2.3.4 1.2.3.4 1 2"), kProtocol},
      {line("TCP4\t1.2.3.4 1.2.3.4 1 2"), kProtocol},
      {line("UNKNOWNS"), kProtocol},
      {line("UDP4 1.2.3.4 1.2.3.4 1 2"), kProtocol},
      {"PROXY HTTP/1.1 no line end", kProtocol},
      {line("\0\0\0\0TCP4 1.2.3.4 1.2.3.4 1 2"s), kProtocol},
      {line("TCP4 1.2.3.4 1.2.3.4 1"), kFields},
      {line("TCP4 1.2.3.4"), kFields},
      {line("TCP4 "), kFields},
      {line("TCP4 1.2.3.4 1.2.3.4 1 2 3"), kFields},
      {line("TCP4 1.2.3.4 1.2.3.4 1 2 "), kFields},
      {line("TCP4  1.2.3.4 1.2.3.4 1 2"), kFields},
      {line("TCP4 1.2.3.4  1.2.3.4 1 2"), kFields},
      {line("TCP4 1.2.3.4 1.2.3.4 1  2"), kFields},
      {line("TCP4 1.2.3 1.2.3.4 1 2"), kAddress},
      {line("TCP4 1.2.3.4.5 1.2.3.4 1 2"), kAddress},
      {line("TCP4 1.2.3.256 1.2.3.4 1 2"), kAddress},
      {line("TCP4 01.2.3.4 1.2.3.4 1 2"), kAddress},
      {line("TCP4 1.2.3.4 1.2.3.00 1 2"), kAddress},
      {line("TCP4 0x1.2.3.4 1.2.3.4 1 2"), kAddress},
      {line("TCP4 +1.2.3.4 1.2.3.4 1 2"), kAddress},
      {line("TCP4 1.2.3.4\0 1.2.3.4 1 2"s), kAddress},
      {line("TCP4 localhost 1.2.3.4 1 2"), kAddress},
      {line("TCP4 ::1 ::1 1 2"), kAddress},
      {line("TCP6 1.2.3.4 1.2.3.4 1 2"), kAddress},
      {line("TCP6 ::1 1.2.3.4 1 2"), kAddress},
      {line("TCP6 [::1] ::1 1 2"), kAddress},
      {line("TCP6 fe80::1%1 ::1 1 2"), kAddress},
      {line("TCP6 1::2::3 ::1 1 2"), kAddress},
      {line("TCP6 12345::1 ::1 1 2"), kAddress},
      {line("TCP6 1:2:3:4:5:6:7:8:9 ::1 1 2"), kAddress},
      {line("TCP4 1.2.3.4 1.2.3.4 65536 2"), kPort},
      {line("TCP4 1.2.3.4 1.2.3.4 1 99999999999"), kPort},
      {line("TCP4 1.2.3.4 1.2.3.4 01 2"), kPort},
      {line("TCP4 1.2.3.4 1.2.3.4 1 00"), kPort},
      {line("TCP4 1.2.3.4 1.2.3.4 -1 2"), kPort},
      {line("TCP4 1.2.3.4 1.2.3.4 1 2x"), kPort},
      {line("TCP4 1.2.3.4 1.2.3.4 1 0x2"), kPort},
      {"PROXY UNKNOWN\n", kEnd},
      {"PROXY UNKNOWN\n\r\n", kEnd},
      {"PROXY UNKNOWN\rX", kEnd},
      {"PROXY UNKNOWN \r \r\n", kEnd},
      {"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n", kEnd},
      {"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\r\n", kEnd},
      {line("UNKNOWN " + std::string(107 - 15, 'f')), kLength},
      {"PROXY UNKNOWN " + std::string(200, 'f'), kLength},
      {"PROXY TCP4 " + std::string(200, '1'), kLength},
  };
}

std::vector<Case> broken_binaries() {
  std::string wrong_sum = with_checksum("");
  wrong_sum[16] = '\x05';  // of the source address
  return {
      {"\r\n\r\nX", kMissing},
      {"\r\n\r\n\0\r\nQUIX\n"s, kMissing},
      {binary(0x11, 0x11, kIpv4Part), kVersion},
      {binary(0x31, 0x11, kIpv4Part), kVersion},
      {binary(0x01, 0x11, kIpv4Part), kVersion},
      {binary(0x22, 0x11, kIpv4Part), kCommand},
      {binary(0x2f, 0x11, kIpv4Part), kCommand},
      {binary(0x21, 0x41, kIpv4Part), kFamily},
      {binary(0x21, 0xf1, kIpv4Part), kFamily},
      {binary(0x21, 0x13, kIpv4Part), kFamily},
      {binary(0x21, 0x0f, kIpv4Part), kFamily},
      {binary(0x21, 0x11, ""), kShort},
      {binary(0x21, 0x11, kIpv4Part.substr(1)), kShort},
      {binary(0x21, 0x21, kIpv6Part.substr(1)), kShort},
      {binary(0x21, 0x31, std::string(215, 'x')), kShort},
      {binary(0x21, 0x11, std::string(4081, 'x')), kTooLong},
      {binary(0x20, 0x00, std::string(65535, 'x')), kTooLong},
      {with_tlvs("\x04"), kTlv},
      {with_tlvs("\x04\0"s), kTlv},
      {with_tlvs("\x04\0\x01"s), kTlv},
      {with_tlvs(tlv('\x04', "x") + "\xe0\xff\xff"s), kTlv},
      {with_tlvs(tlv('\x03', "\0\0\0"s)), kTlv},
      {with_tlvs(tlv('\x03', "\0\0\0\0"s)), kChecksum},
      {wrong_sum, kChecksum},
      {with_checksum("").replace(13, 1, "\x12"), kChecksum},
      {with_tlvs(tlv('\x20', "\x01\0\0\0"s)), kTlv},
      {with_tlvs(tlv('\x20', "\x01\0\0\0\0\x21\0"s)), kTlv},
      {with_tlvs(tlv('\x20', "\x01\0\0\0\0\x21\0\x09TLS"s)), kTlv},
  };
}

std::vector<Case> broken() {
  std::vector<Case> all = broken_lines();
  for (Case& c : broken_binaries()) all.push_back(std::move(c));
  return all;
}

}  // namespace

TEST(ProxyProtocol, ValidHeadersNameTheAddresses) {
  for (const auto& [bytes, outcome] : valid()) {
    EXPECT_EQ(header_in(bytes), outcome) << bytes;
    const ProxyParse p = parse_proxy_header(bytes + "GET / HTTP/1.1\r\n\r\n");
    EXPECT_EQ(p.status, ParseStatus::complete) << bytes;
    EXPECT_EQ(p.size, bytes.size()) << bytes;
    EXPECT_EQ(p.header.version, bytes[0] == 'P' ? 1 : 2);
  }
}

TEST(ProxyProtocol, WhateverDeviatesIsRefused) {
  for (const auto& [bytes, outcome] : broken()) EXPECT_EQ(header_in(bytes), outcome) << bytes;
}

// At every prefix of a valid header it asks for more, and never for more than the header has.
TEST(ProxyProtocol, ItNeverAsksForMoreThanTheHeaderHas) {
  for (const auto& [bytes, outcome] : valid()) {
    for (std::size_t n = 0; n < bytes.size(); ++n) {
      const ProxyParse p = parse_proxy_header(std::string_view(bytes).substr(0, n));
      ASSERT_EQ(p.status, ParseStatus::need_more) << bytes << " " << n;
      ASSERT_GT(p.size, 0U) << bytes << " " << n;
      ASSERT_LE(p.size, bytes.size() - n) << bytes << " " << n;
    }
  }
}

// A prefix of a broken header is refused or asked for more, never taken; and refused for good.
TEST(ProxyProtocol, BrokenHeadersAreNeverTakenInPart) {
  for (const auto& [bytes, outcome] : broken()) {
    ParseStatus last = ParseStatus::need_more;
    for (std::size_t n = 0; n < bytes.size(); ++n) {
      const ParseStatus now = parse_proxy_header(std::string_view(bytes).substr(0, n)).status;
      ASSERT_NE(now, ParseStatus::complete) << bytes << " " << n;
      ASSERT_FALSE(last == ParseStatus::error && now != ParseStatus::error) << bytes << " " << n;
      last = now;
    }
  }
}

TEST(ProxyProtocol, TlsOfTheClientIsTold) {
  const std::string ssl = "\x01\0\0\0\0"s + tlv('\x21', "TLSv1.3") + tlv('\x22', "name") +
                          tlv('\x23', "TLS_AES_128_GCM_SHA256");
  const ProxyHeader header = parse_proxy_header(with_tlvs(tlv('\x20', ssl))).header;
  EXPECT_TRUE(header.tls);
  EXPECT_EQ(header.tls_version, "TLSv1.3");
  EXPECT_EQ(header.tls_cipher, "TLS_AES_128_GCM_SHA256");
  EXPECT_FALSE(parse_proxy_header(with_tlvs(tlv('\x20', "\x02\0\0\0\0"s))).header.tls);
  EXPECT_FALSE(parse_proxy_header(with_tlvs("")).header.tls);
}

// The check value of the polynomial, and 32 zeros from RFC 3720 B.4.
TEST(ProxyProtocol, ChecksumIsCrc32c) {
  Crc32c check;
  check.add("123456789");
  EXPECT_EQ(check.value(), 0xe3069283U);
  Crc32c zeros;
  zeros.add(std::string(32, '\0'));
  EXPECT_EQ(zeros.value(), 0x8a9136aaU);
}

TEST(ProxyProtocol, ReadingStopsAtItsEnd) {
  test::run([] {
    for (const auto& [bytes, outcome] : valid()) {
      auto [ours, theirs] = test::make_pipe();
      ASSERT_TRUE(theirs->write_all(bytes + "rest"));
      const auto header = read_proxy_header(*ours);
      ASSERT_TRUE(header) << header.error().message() << bytes;
      std::array<std::byte, 16> rest;
      ASSERT_EQ(ours->read(rest).value_or(0), 4U) << bytes;
    }
  });
}

TEST(ProxyProtocol, HeaderMayBeSplitAnywhere) {
  test::run([] {
    for (const auto& [bytes, outcome] : valid()) {
      if (bytes.size() > 300) continue;
      for (std::size_t at = 1; at <= bytes.size(); ++at) {
        auto [ours, theirs] = test::make_pipe();
        ASSERT_TRUE(theirs->write_all(bytes + "r"));
        test::FaultyConn conn(std::move(ours));
        // The first `at` bytes come one by one, and what follows as asked for.
        conn.read_in_pieces(std::vector<std::size_t>(at, 1));
        const auto header = read_proxy_header(conn);
        ASSERT_TRUE(header) << header.error().message() << bytes << " " << at;
        ASSERT_EQ(conn.bytes_read(), bytes.size()) << bytes << " " << at;
      }
    }
  });
}

TEST(ProxyProtocol, ReadingSaysWhatIsWrong) {
  test::run([] {
    for (const auto& [bytes, outcome] : broken()) {
      auto [ours, theirs] = test::make_pipe();
      ASSERT_TRUE(theirs->write_all(bytes));
      ASSERT_TRUE(theirs->shutdown_write());
      const auto header = read_proxy_header(*ours);
      ASSERT_FALSE(header) << bytes;
      // What is wrong only in bytes that a smaller request did not fetch ends with them.
      EXPECT_EQ(header.error().message(), outcome) << bytes;
    }
  });
}

TEST(ProxyProtocol, PeerThatLeavesOrIsSilentIsNoHeader) {
  test::run([] {
    for (const std::string& begun : {""s, "PROXY TCP4 1"s, "\r\n\r\n"s}) {
      auto [ours, theirs] = test::make_pipe();
      ASSERT_TRUE(theirs->write_all(begun));
      ours->set_read_deadline(Deadline::after(std::chrono::milliseconds(1)));
      EXPECT_EQ(read_proxy_header(*ours).error(), treadle::Errc::timed_out);
      ours->set_read_deadline(Deadline::never());
      theirs->close();
      EXPECT_EQ(read_proxy_header(*ours).error(), treadle::Errc::eof);
    }
  });
}
