// pure
// The header section: line forms, names and values, Host, limits, Connection and Expect.
#include <gtest/gtest.h>

#include <string>

#include "parse_checks.h"

using namespace treadle::test;
namespace http = treadle::http;

namespace {

std::string with_host(std::string_view value) {
  return "GET / HTTP/1.1\r\nHost: " + std::string(value) + "\r\n\r\n";
}

// "keep" or "close" for a request of this version with these fields.
std::string connection_of(std::string_view version, std::string_view fields) {
  const std::string transcript = transcript_of("GET / " + std::string(version) + "\r\nHost: h\r\n" +
                                               std::string(fields) + "\r\n");
  return transcript.find(" keep") != std::string::npos    ? "keep"
         : transcript.find(" close") != std::string::npos ? "close"
                                                          : transcript;
}

}  // namespace

TEST(HeaderSection, ValuesComeWithoutSurroundingWhiteSpace) {
  EXPECT_EQ(
      transcript_of(with_fields("A:b\r\nC: d \r\nE:\t f\tg\t \r\nH:\r\nI: \t\r\nj: \"k\",  l\r\n")),
      "GET / path=/ query= host=h HTTP/1.1 keep [Host=h] [A=b] [C=d] [E=f\tg] [H=] [I=] "
      "[j=\"k\",  l] : \n");
  EXPECT_EQ(transcript_of(with_fields("A: \xc3\xa9\xff\r\n")),
            "GET / path=/ query= host=h HTTP/1.1 keep [Host=h] [A=\xc3\xa9\xff] : \n");
}

TEST(HeaderSection, TabsAroundFramingFieldsAreSpaces) {
  EXPECT_EQ(
      transcript_of("POST / HTTP/1.1\r\nHost:\th\t\r\nContent-Length:\t2\t\r\n\r\nok"),
      "POST / path=/ query= host=h HTTP/1.1 keep length=2 [Host=h] [Content-Length=2] : ok\n");
  EXPECT_EQ(transcript_of(
                "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding:\tchunked \t\r\n\r\n0\r\n\r\n"),
            "POST / path=/ query= host=h HTTP/1.1 keep chunked [Host=h] "
            "[Transfer-Encoding=chunked] : \n");
}

TEST(HeaderSection, BadNamesAre400) {
  for (const char* line :
       {": v\r\n", "a b: c\r\n", "a : c\r\n", "a\t: c\r\n", "a\r\n", "(a): b\r\n", "a@b: c\r\n",
        "a[0]: b\r\n", "\xc3\xa9: b\r\n", "a/b: c\r\n", "\"a\": b\r\n", "a;b: c\r\n", "a{}: c\r\n",
        "a\\: c\r\n", "a=b: c\r\n", "a,b: c\r\n", "Content-Length : 3\r\n",
        "Transfer-Encoding : chunked\r\n"}) {
    EXPECT_STATUS(400, with_fields(line));
  }
  EXPECT_STATUS(0, with_fields("!#$%&'*+-.^_`|~09azAZ: v\r\n"));
}

TEST(HeaderSection, ControlCharactersAre400) {
  for (int byte = 0; byte < 256; ++byte) {
    const bool legal = byte == '\t' || (byte >= 0x20 && byte != 0x7f);
    const std::string c(1, static_cast<char>(byte));
    EXPECT_STATUS(legal ? 0 : 400, with_fields("A: b" + c + "c\r\n"));
    EXPECT_STATUS(legal ? 0 : 400, with_fields("A:" + c + "\r\n"));
  }
}

TEST(HeaderSection, FoldedLinesAre400) {
  EXPECT_STATUS(400, with_fields("A: b\r\n c\r\n"));
  EXPECT_STATUS(400, with_fields("A: b\r\n\tc\r\n"));
  EXPECT_STATUS(400, with_fields("A: b\r\n \r\n"));
  EXPECT_STATUS(400, with_fields("A:\r\n b\r\n"));
  EXPECT_STATUS(400, with_fields("Transfer-Encoding:\r\n chunked\r\n"));
  EXPECT_STATUS(400, std::string("GET / HTTP/1.1\r\n Host: h\r\n\r\n"));
  EXPECT_STATUS(400, std::string("GET / HTTP/1.1\r\n\tHost: h\r\nHost: h\r\n\r\n"));
}

TEST(HeaderSection, LineEndsMustBeCrLf) {
  EXPECT_STATUS(400, with_fields("A: b\n"));
  EXPECT_STATUS(400, with_fields("A: b\nC: d\r\n"));
  EXPECT_STATUS(400, with_fields("A: b\rC: d\r\n"));
  EXPECT_STATUS(400, with_fields("A: b\r\r\n"));
  EXPECT_STATUS(400, with_fields("A: b\r\n\r\r\n"));
  EXPECT_STATUS(400, std::string("GET / HTTP/1.1\r\nHost: h\r\n\n"));
  EXPECT_STATUS(400, std::string("GET / HTTP/1.1\r\nHost: h\n\r\n"));
  EXPECT_STATUS(400, std::string("GET / HTTP/1.1\r\nHost: h\n\n"));
  EXPECT_STATUS(400, std::string("GET / HTTP/1.1\r\nHost: h\r\n\rGET /b HTTP/1.1\r\n\r\n"));
  EXPECT_STATUS(400, std::string("GET / HTTP/1.1\r\nHost: x\rTransfer-Encoding: chunked\r\n\r\n"));
}

TEST(HeaderSection, HostMustBeThereOnceInHttp11) {
  EXPECT_STATUS(400, std::string("GET / HTTP/1.1\r\n\r\n"));
  EXPECT_STATUS(400, std::string("GET http://a/ HTTP/1.1\r\n\r\n"));
  EXPECT_STATUS(400, std::string("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"));
  EXPECT_STATUS(400, std::string("GET / HTTP/1.1\r\nHost: a\r\nhOST: b\r\n\r\n"));
  EXPECT_STATUS(400, std::string("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"));
  EXPECT_STATUS(400, std::string("GET http://a/ HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"));
  EXPECT_STATUS(0, std::string("GET / HTTP/1.0\r\n\r\n"));
}

TEST(HeaderSection, HostMustBeAnAuthority) {
  for (const char* host :
       {"a", "example.org", "EXAMPLE.org:80", "127.0.0.1:8080", "[::1]", "[::1]:80",
        "[2001:db8::192.0.2.1]", "a-b_c.d~e", "a:", "xn--bcher-kva.example", "a."}) {
    EXPECT_STATUS(0, with_host(host));
  }
  for (const char* host :
       {"",          " ",          "a b",     "a,b",   "a, b",  "a/b",  "http://a", "u@a",
        "a:b",       "a:80:80",    "a:99999", ":80",   "[::1",  "::1",  "[::1]a",   "[:::1]",
        "[1.2.3.4]", "[::1%eth0]", "a%",      "a%4",   "\"a\"", "a\\b", "a?b",      "a#b",
        "<a>",       "\xc3\xa9",   "a:+80",   "a:8 0", "a%00b"}) {
    EXPECT_STATUS(400, with_host(host));
  }
}

TEST(HeaderSection, LimitOfFieldsIs431) {
  const http::ParserLimits limits{.headers = 3};
  EXPECT_EQ(status_of(with_fields("A: b\r\nC: d\r\n"), limits), 0);
  EXPECT_EQ(status_of(with_fields("A: b\r\nC: d\r\nE: f\r\n"), limits), 431);
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\nA:\r\nB:\r\nC:\r\nD:\r\n", limits), 431);
}

TEST(HeaderSection, LimitOfBytesIs431EvenBeforeTheEnd) {
  const std::string head = with_fields("A: 0123456789\r\nB: 0123456789\r\n");
  const http::ParserLimits fits{.head = head.size()};
  const http::ParserLimits less{.head = head.size() - 1};
  EXPECT_EQ(status_of(head, fits), 0);
  EXPECT_EQ(status_of(head, less), 431);
  EXPECT_EQ(status_of("\r\n\r\n" + head, fits), 0);
  EXPECT_EQ(status_of(head.substr(0, 40) + std::string(60, 'x'), fits), 431);
  // A limit within the request line is that line's.
  for (std::size_t max = 0; max < 60; ++max) {
    status_of(head, {.head = max});
    status_of(head, {.request_line = max});
    status_of(head, {.request_line = max, .head = max});
    status_of(head, {.request_line = max + 2, .head = max});
  }
}

TEST(HeaderSection, DefaultLimitsAre32KAnd100Fields) {
  StreamParser fields, bytes, fits;
  std::string many;
  for (int i = 0; i < 100; ++i) many += "A: b\r\n";
  fields.feed(with_fields(many));
  EXPECT_EQ(fields.status(), 431);
  bytes.feed(with_fields("A: " + std::string(32 * 1024, 'b') + "\r\n"));
  EXPECT_EQ(bytes.status(), 431);
  fits.feed(with_fields("A: " + std::string(32 * 1024 - 40, 'b') + "\r\n"));
  EXPECT_EQ(fits.status(), 0);
}

TEST(HeaderSection, ConnectionDecidesWhetherItIsKept) {
  EXPECT_EQ(connection_of("HTTP/1.1", ""), "keep");
  EXPECT_EQ(connection_of("HTTP/1.1", "Connection: close\r\n"), "close");
  EXPECT_EQ(connection_of("HTTP/1.1", "Connection: Close\t\r\n"), "close");
  EXPECT_EQ(connection_of("HTTP/1.1", "Connection: foo ,\tCLOSE\r\n"), "close");
  EXPECT_EQ(connection_of("HTTP/1.1", "Connection: foo\r\nConnection: close\r\n"), "close");
  EXPECT_EQ(connection_of("HTTP/1.1", "Connection: keep-alive, close\r\n"), "close");
  EXPECT_EQ(connection_of("HTTP/1.1", "Connection: closed\r\n"), "keep");
  EXPECT_EQ(connection_of("HTTP/1.1", "Proxy-Connection: close\r\n"), "keep");
  EXPECT_EQ(connection_of("HTTP/1.0", ""), "close");
  EXPECT_EQ(connection_of("HTTP/1.0", "Connection: keep-alive\r\n"), "keep");
  EXPECT_EQ(connection_of("HTTP/1.0", "Connection: Keep-Alive, close\r\n"), "close");
  EXPECT_EQ(connection_of("HTTP/1.0", "Proxy-Connection: keep-alive\r\n"), "close");
}

TEST(HeaderSection, UpgradesAreIgnored) {
  EXPECT_EQ(transcript_of("POST / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: h2c\r\n"
                          "Content-Length: 2\r\n\r\nokGET /b HTTP/1.1\r\nHost: h\r\n\r\n"),
            "POST / path=/ query= host=h HTTP/1.1 keep length=2 [Host=h] [Connection=upgrade] "
            "[Upgrade=h2c] [Content-Length=2] : ok\n"
            "GET /b path=/b query= host=h HTTP/1.1 keep [Host=h] : \n");
  EXPECT_EQ(transcript_of(with_fields("Upgrade: websocket\r\nConnection: Upgrade\r\n") +
                          with_line("GET /b HTTP/1.1")),
            "GET / path=/ query= host=h HTTP/1.1 keep [Host=h] [Upgrade=websocket] "
            "[Connection=Upgrade] : \n"
            "GET /b path=/b query= host=h HTTP/1.1 keep [Host=h] : \n");
  EXPECT_EQ(transcript_of("POST / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: x\r\n"
                          "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
            "POST / path=/ query= host=h HTTP/1.1 keep chunked [Host=h] [Connection=upgrade] "
            "[Upgrade=x] [Transfer-Encoding=chunked] : ok\n");
}

TEST(HeaderSection, OnlyContinueMayBeExpected) {
  const auto post = [](std::string_view version, std::string_view fields) {
    return "POST / " + std::string(version) + "\r\nHost: h\r\nContent-Length: 1\r\n" +
           std::string(fields) + "\r\nx";
  };
  const auto expects = [&](std::string_view version, std::string_view fields) {
    return transcript_of(post(version, fields)).find(" expects") != std::string::npos;
  };
  EXPECT_TRUE(expects("HTTP/1.1", "Expect: 100-continue\r\n"));
  EXPECT_TRUE(expects("HTTP/1.1", "expect: 100-Continue\r\n"));
  EXPECT_FALSE(expects("HTTP/1.0", "Expect: 100-continue\r\n"));
  EXPECT_FALSE(expects("HTTP/1.1", "Expect:\r\n"));
  EXPECT_STATUS(417, post("HTTP/1.1", "Expect: 200-ok\r\n"));
  EXPECT_STATUS(417, post("HTTP/1.1", "Expect: 100-continue, x\r\n"));
  EXPECT_STATUS(417, post("HTTP/1.1", "Expect: 100-continue\r\nExpect: x\r\n"));
  // Nothing to wait for.
  EXPECT_EQ(transcript_of(with_fields("Expect: 100-continue\r\n")).find(" expects"),
            std::string::npos);
}
