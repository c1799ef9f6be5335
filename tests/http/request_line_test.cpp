// pure
// The request line: methods, targets, versions, and what is no request at all.
#include <gtest/gtest.h>

#include <string>

#include "method.h"
#include "parse_checks.h"
#include "target.h"

using namespace treadle::test;
namespace http = treadle::http;

TEST(RequestLine, MethodTargetVersionAreRead) {
  EXPECT_EQ(transcript_of(with_line("GET /a/b%20c?x=1&y HTTP/1.1")),
            "GET /a/b%20c?x=1&y path=/a/b%20c query=x=1&y host=h HTTP/1.1 keep [Host=h] : \n");
  EXPECT_EQ(transcript_of("GET / HTTP/1.0\r\n\r\n"),
            "GET / path=/ query= host= HTTP/1.0 close : \n");
}

TEST(RequestLine, EveryMethodOfLlhttpButConnectIsKnown) {
  for (const char* method : {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE",
                             "M-SEARCH", "UNSUBSCRIBE", "MKACTIVITY", "PROPFIND"}) {
    EXPECT_EQ(http::known_method(method), method);
    EXPECT_STATUS(0, with_line(std::string(method) + " / HTTP/1.1"));
  }
  EXPECT_STATUS(501, with_line("CONNECT example.org:443 HTTP/1.1"));
}

TEST(RequestLine, UnknownMethodsAre501) {
  for (const char* method :
       {"get", "QUERY", "FOO", "GETT", "G", "SETUP", "DESCRIBE", "ABCDEFGHIJKLM"}) {
    EXPECT_STATUS(501, with_line(std::string(method) + " / HTTP/1.1"));
  }
  // A method that cannot end well is not waited for.
  EXPECT_STATUS(501, std::string(20, 'A'));
}

TEST(RequestLine, OtherProtocolsAreRefusedAtTheirFirstBytes) {
  EXPECT_STATUS(400, std::string("\x16\x03\x01", 3));                   // TLS
  EXPECT_STATUS(505, std::string("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));  // HTTP/2
  EXPECT_STATUS(505, std::string("PRI "));
  EXPECT_STATUS(501, std::string("SSH-2.0-OpenSSH_9.2p1\r\n"));
  EXPECT_STATUS(400, std::string("\0\0\0\x2f", 4));
  EXPECT_STATUS(400, std::string("\x05\x01", 2));  // SOCKS
  EXPECT_STATUS(400, std::string("\"GET / HTTP/1.1"));
}

TEST(RequestLine, SpacingIsExact) {
  for (const char* line :
       {"GET  / HTTP/1.1", "GET /  HTTP/1.1", "GET / HTTP/1.1 ", " GET / HTTP/1.1",
        "GET\t/ HTTP/1.1", "GET /\tHTTP/1.1", "GET / HTTP/1.1\t", "GET", "GET ", "GET /", "GET / ",
        "GET /a b HTTP/1.1", "GET /HTTP/1.1", "GET / HTTP/1.1 x", "\tGET / HTTP/1.1"}) {
    EXPECT_STATUS(400, with_line(line));
  }
}

TEST(RequestLine, VersionsOtherThanOneAre505) {
  for (const char* version :
       {"HTTP/0.9", "HTTP/2.0", "HTTP/3.0", "HTTP/1.2", "HTTP/1.9", "HTTP/9.9"}) {
    EXPECT_STATUS(505, with_line("GET / " + std::string(version)));
  }
}

TEST(RequestLine, MalformedVersionsAre400) {
  for (const char* version : {"http/1.1", "HTTP/1", "HTTP/1.", "HTTP/1.10", "HTTP/11", "HTTP/1,1",
                              "HTTP/01.1", "HTTP/1.1x", "HTP/1.1", "ICE/1.0", "RTSP/1.0",
                              "HTTP/a.b", "HTTP/-1.1", "HTTP 1.1", "HTTPS/1.1"}) {
    EXPECT_STATUS(400, with_line("GET / " + std::string(version)));
  }
}

TEST(RequestLine, LineEndsMustBeCrLf) {
  EXPECT_STATUS(400, std::string("GET / HTTP/1.1\nHost: h\r\n\r\n"));
  EXPECT_STATUS(400, std::string("GET / HTTP/1.1\n\n"));
  EXPECT_STATUS(400, std::string("GET / HTTP/1.1\r\r\nHost: h\r\n\r\n"));
  EXPECT_STATUS(400, std::string("GET / HTTP/1.1\rHost: h\r\n\r\n"));
  EXPECT_STATUS(400, std::string("GET /\r HTTP/1.1\r\nHost: h\r\n\r\n"));
  EXPECT_STATUS(400, with_line(std::string("GET /\0 HTTP/1.1", 15)));
}

TEST(RequestLine, TwoEmptyLinesBeforeARequestAreDropped) {
  const std::string request = with_line("GET / HTTP/1.1");
  EXPECT_STATUS(0, "\r\n" + request);
  EXPECT_STATUS(0, "\r\n\r\n" + request);
  EXPECT_STATUS(400, "\r\n\r\n\r\n" + request);
  EXPECT_STATUS(400, "\n" + request);
  EXPECT_STATUS(400, "\r" + request);
  EXPECT_STATUS(400, "\r\r\n" + request);
  EXPECT_STATUS(400, "\r\n\n" + request);
  // They are gone at once, so that the connection counts as idle again.
  StreamParser parser;
  parser.feed("\r\n");
  EXPECT_EQ(parser.unread(), 0u);
  parser.feed("\r\n" + request);
  EXPECT_EQ(parser.requests(), 1u);
}

TEST(RequestLine, TargetsOfAllFormsAreTakenApart) {
  EXPECT_EQ(transcript_of(with_line("OPTIONS * HTTP/1.1")),
            "OPTIONS * path=* query= host=h HTTP/1.1 keep [Host=h] : \n");
  EXPECT_EQ(transcript_of(with_line("GET http://example.org:8080/a?b HTTP/1.1")),
            "GET http://example.org:8080/a?b path=/a query=b host=example.org:8080 HTTP/1.1 keep "
            "[Host=h] : \n");
  EXPECT_EQ(transcript_of(with_line("GET HTTPS://[::1] HTTP/1.1")),
            "GET HTTPS://[::1] path=/ query= host=[::1] HTTP/1.1 keep [Host=h] : \n");
  EXPECT_EQ(transcript_of(with_line("OPTIONS http://a HTTP/1.1")),
            "OPTIONS http://a path=* query= host=a HTTP/1.1 keep [Host=h] : \n");
  EXPECT_EQ(transcript_of(with_line("OPTIONS http://a? HTTP/1.1")),
            "OPTIONS http://a? path=/ query= host=a HTTP/1.1 keep [Host=h] : \n");
  EXPECT_EQ(transcript_of(with_line("GET http://a?q HTTP/1.1")),
            "GET http://a?q path=/ query=q host=a HTTP/1.1 keep [Host=h] : \n");
  EXPECT_EQ(transcript_of(with_line("GET //a//b HTTP/1.1")),
            "GET //a//b path=//a//b query= host=h HTTP/1.1 keep [Host=h] : \n");
}

TEST(RequestLine, TargetsThatAreNoPathsAre400) {
  for (const char* target : {"a",
                             "a/b",
                             "*",
                             "**",
                             "example.org:80",
                             "ftp://a/",
                             "http:/a",
                             "http:a",
                             "http//a",
                             "://a/",
                             "http:///a",
                             "http://",
                             "http://u@h/",
                             "http://u:p@h/",
                             "http://h:x/",
                             "http://h:65536/",
                             "http://h:-1/",
                             "http://[::1/",
                             "http://[]/",
                             "http://[::1]x/",
                             "http://[v1.a]/",
                             "http://[fe80::1%25e]/",
                             "http://a,b/",
                             "http://a b/",
                             "http://:80/",
                             "http://%zz/",
                             "http://a%00/",
                             "javascript:alert(1)",
                             "?x",
                             "#x"}) {
    EXPECT_STATUS(400, with_line("GET " + std::string(target) + " HTTP/1.1"));
  }
  EXPECT_STATUS(400, with_line("OPTIONS *x HTTP/1.1"));
  EXPECT_STATUS(400, with_line("OPTIONS ** HTTP/1.1"));
}

TEST(RequestLine, CharactersThatUrisLackAre400) {
  for (const char c : std::string("#\"<>\\^`{}\x7f\x80\xc3\xff\x01\x1f")) {
    EXPECT_STATUS(400, with_line("GET /a" + std::string(1, c) + "b HTTP/1.1"));
    EXPECT_STATUS(400, with_line("GET /a?" + std::string(1, c) + "b HTTP/1.1"));
  }
  for (const char c : std::string("|[]")) {
    EXPECT_STATUS(400, with_line("GET /a" + std::string(1, c) + "b HTTP/1.1"));
  }
  for (const char c : std::string("-._~!$&'()*+,;=:@/?|[]")) {
    EXPECT_STATUS(0, with_line("GET /a?" + std::string(1, c) + "b HTTP/1.1"));
  }
}

TEST(RequestLine, MalformedEscapesAre400) {
  for (const char* target : {"/%", "/%4", "/%zz", "/%4g", "/%g4", "/a%", "/?%", "/?%x1", "/%%41",
                             "/%00", "/a%00b", "/%u0041"}) {
    EXPECT_STATUS(400, with_line("GET " + std::string(target) + " HTTP/1.1"));
  }
  EXPECT_STATUS(0, with_line("GET /%41%2f%7e%ff HTTP/1.1"));
}

TEST(RequestLine, LongLinesAre414EvenBeforeTheyEnd) {
  const http::ParserLimits limits{.request_line = 40};
  const auto line = [](std::size_t size) {
    return "GET /" + std::string(size - 14, 'a') + " HTTP/1.1";
  };
  ASSERT_EQ(line(40).size(), 40u);
  EXPECT_EQ(status_of(with_line(line(40)), limits), 0);
  EXPECT_EQ(status_of(with_line(line(41)), limits), 414);
  EXPECT_EQ(status_of("GET /" + std::string(36, 'a'), limits), 414);
  EXPECT_EQ(status_of("GET /" + std::string(35, 'a'), limits), 0);
  EXPECT_EQ(status_of("GET /" + std::string(35, 'a') + "\r", limits), 0);
  EXPECT_EQ(status_of("GET /" + std::string(36, 'a') + "\r\n", limits), 414);
  EXPECT_EQ(status_of("GET /" + std::string(36, 'a') + "\n", limits), 414);
  EXPECT_EQ(status_of("GET /" + std::string(35, 'a') + "\rb\n", limits), 414);
}

TEST(RequestLine, LimitsShorterThanAMethodFireFirst) {
  EXPECT_EQ(status_of("GE\x01 / HTTP/1.1\r\n", {.request_line = 1}), 414);
  EXPECT_EQ(status_of("GE\x01 / HTTP/1.1\r\n", {.request_line = 3}), 400);
}

TEST(RequestLine, DefaultLimitIs8K) {
  const auto line = [](std::size_t size) {
    return with_line("GET /" + std::string(size - 14, 'a') + " HTTP/1.1");
  };
  StreamParser fits, exceeds;
  fits.feed(line(8192));
  exceeds.feed(line(8193));
  EXPECT_EQ(fits.status(), 0);
  EXPECT_EQ(exceeds.status(), 414);
}
