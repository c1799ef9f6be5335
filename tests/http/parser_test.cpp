// pure
// The parser as a whole: pipelining, reuse, views, errors that stick, and no allocation.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>
#include <string>

#include "parse_checks.h"
#include "parser.h"

using namespace treadle::test;
namespace http = treadle::http;

namespace {

// A request as a browser sends it.
constexpr std::string_view kBrowser =
    "GET /static/app.js?v=17 HTTP/1.1\r\n"
    "Host: www.example.org\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8\r\n"
    "Accept-Language: en-US,en;q=0.5\r\n"
    "Accept-Encoding: gzip, deflate, br\r\n"
    "Connection: keep-alive\r\n"
    "Cookie: session=0123456789abcdef; theme=dark\r\n"
    "Upgrade-Insecure-Requests: 1\r\n\r\n";

std::size_t total_requests(std::string_view stream) {
  StreamParser parser;
  parser.feed(stream);
  EXPECT_FALSE(parser.failed());
  return parser.requests();
}

}  // namespace

TEST(Parser, PipelinedRequestsComeOneByOne) {
  const std::string stream =
      "GET /1 HTTP/1.1\r\nHost: h\r\n\r\n"
      "POST /2 HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"
      "\r\nPOST /3 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
      "1\r\nx\r\n0\r\nT: u\r\n\r\n"
      "GET /4 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
  EXPECT_EQ(
      transcript_of(stream),
      "GET /1 path=/1 query= host=h HTTP/1.1 keep [Host=h] : \n"
      "POST /2 path=/2 query= host=h HTTP/1.1 keep length=3 [Host=h] [Content-Length=3] : abc\n"
      "POST /3 path=/3 query= host=h HTTP/1.1 keep chunked [Host=h] "
      "[Transfer-Encoding=chunked] : x [T=u]\n"
      "GET /4 path=/4 query= host=h HTTP/1.1 close [Host=h] [Connection=close] : \n");
}

TEST(Parser, ManyPipelinedRequestsAllCome) {
  std::string stream;
  for (int i = 0; i < 200; ++i) stream += kBrowser;
  EXPECT_EQ(total_requests(stream), 200u);
}

TEST(Parser, ViewsPointIntoTheBytesGiven) {
  http::RequestParser parser;
  http::RequestHead head;
  const auto result = parser.parse_head(kBrowser, {}, head);
  ASSERT_EQ(result.status, http::ParseStatus::complete);
  EXPECT_EQ(result.consumed, kBrowser.size());
  const auto inside = [](std::string_view view) {
    return view.data() >= kBrowser.data() &&
           view.data() + view.size() <= kBrowser.data() + kBrowser.size();
  };
  EXPECT_TRUE(inside(head.target) && inside(head.path) && inside(head.query) && inside(head.host));
  for (const auto& [name, value] : head.headers) EXPECT_TRUE(inside(name) && inside(value)) << name;
}

TEST(Parser, RefusalSticksUntilReset) {
  http::RequestParser parser;
  http::RequestHead head;
  EXPECT_EQ(parser.parse_head("?", {}, head).error.status, 400);
  EXPECT_EQ(parser.parse_head(kBrowser, {}, head).error.status, 400);
  EXPECT_EQ(parser.parse_body("x", {}).error.status, 400);
  parser.reset();
  EXPECT_EQ(parser.parse_head(kBrowser, {}, head).status, http::ParseStatus::complete);
}

TEST(Parser, RefusalNamesMethodAndTargetAsFarAsTheyAreValid) {
  const auto named = [](std::string_view bytes) {
    http::RequestParser parser;
    http::RequestHead head;
    head.headers = {{"left", "over"}};
    head.host = "left over";
    EXPECT_EQ(parser.parse_head(bytes, {}, head).status, http::ParseStatus::error);
    EXPECT_EQ(head.headers.size(), 0u);
    EXPECT_EQ(head.host, "");
    return std::string(head.method) + " " + std::string(head.target);
  };
  EXPECT_EQ(named("BREW / HTTP/1.1\r\n\r\n"), " ");
  EXPECT_EQ(named("GET"
                  "\n"),
            " ");
  EXPECT_EQ(named("HEAD /%zz HTTP/1.1\r\n"), "HEAD ");
  EXPECT_EQ(named("\r\nHEAD /a HTTP/2.0\r\n"), "HEAD ");
  EXPECT_EQ(named("HEAD /a?b HTTP/1.1\r\nHost: a\r\n b\r\n"), "HEAD /a?b");
  EXPECT_EQ(named("\r\n\r\nPUT http://h/ HTTP/1.1\r\n\r\n"), "PUT http://h/");
}

TEST(Parser, BadBodySticksToo) {
  http::RequestParser parser;
  http::RequestHead head;
  const std::string post = with_chunks("");
  ASSERT_EQ(parser.parse_head(post, {}, head).status, http::ParseStatus::complete);
  EXPECT_EQ(parser.parse_body("x", {}).error.status, 400);
  EXPECT_EQ(parser.parse_body("0\r\n\r\n", {}).error.status, 400);
  EXPECT_EQ(parser.parse_head(kBrowser, {}, head).error.status, 400);
}

TEST(Parser, ResetForgetsHalfARequest) {
  http::RequestParser parser;
  http::RequestHead head;
  EXPECT_EQ(parser.parse_head("POST /a HTTP/1.1\r\nX: ", {}, head).status,
            http::ParseStatus::need_more);
  parser.reset();
  EXPECT_EQ(parser.parse_head(kBrowser, {}, head).status, http::ParseStatus::complete);
  EXPECT_EQ(head.target, "/static/app.js?v=17");
}

TEST(Parser, HeadKeepsNothingOfTheLastRequest) {
  http::RequestParser parser;
  http::RequestHead head;
  const std::string first =
      "POST http://a/b?c HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 1\r\n"
      "Connection: close\r\n\r\n";
  ASSERT_EQ(parser.parse_head(first, {}, head).status, http::ParseStatus::complete);
  parser.parse_body("x", {});
  ASSERT_EQ(parser.parse_head("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", {}, head).status,
            http::ParseStatus::complete);
  EXPECT_EQ(head.host, "");
  EXPECT_EQ(head.query, "");
  EXPECT_EQ(head.body, http::BodyKind::none);
  EXPECT_EQ(head.content_length, 0u);
  EXPECT_FALSE(head.expect_continue);
  EXPECT_TRUE(head.keep_alive);
  EXPECT_EQ(head.headers.size(), 1u);
}

TEST(Parser, BodyOfARequestWithoutOneIsCompleteAtOnce) {
  http::RequestParser parser;
  http::RequestHead head;
  ASSERT_EQ(parser.parse_head(kBrowser, {}, head).status, http::ParseStatus::complete);
  const auto body = parser.parse_body("GET", {});
  EXPECT_EQ(body.status, http::ParseStatus::complete);
  EXPECT_EQ(body.consumed, 0u);
}

TEST(Parser, WorkIsLinearInAHeadThatComesByteByByte) {
  // Quadratic work would take minutes here: 32 K calls over up to 32 K bytes, whose memory stays
  // where it is.
  std::string head_text = "GET / HTTP/1.1\r\nHost: h\r\nA: ";
  head_text += std::string(32 * 1024 - head_text.size() - 4, 'a') + "\r\n\r\n";
  http::RequestParser parser;
  http::RequestHead head;
  for (int round = 0; round < 20; ++round) {
    for (std::size_t n = 1; n < head_text.size(); ++n) {
      ASSERT_EQ(parser.parse_head(std::string_view(head_text).substr(0, n), {}, head).status,
                http::ParseStatus::need_more);
    }
    ASSERT_EQ(parser.parse_head(head_text, {}, head).status, http::ParseStatus::complete);
  }
}
