// pure
// What a request costs in memory once everything is warm: nothing. Counts operator new of this
// thread. Sanitizers have an operator new of their own, which finds more than this would.
#include <gtest/gtest.h>

#include <cstdlib>
#include <new>
#include <string>
#include <vector>

#include "access_log.h"
#include "forwarded.h"
#include "http_date.h"
#include "parser.h"
#include "range.h"
#include "request_id.h"
#include "route_tree.h"
#include "url.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TREADLE_COUNTS_ALLOCATIONS 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define TREADLE_COUNTS_ALLOCATIONS 0
#endif
#endif
#ifndef TREADLE_COUNTS_ALLOCATIONS
#define TREADLE_COUNTS_ALLOCATIONS 1
#endif

#if TREADLE_COUNTS_ALLOCATIONS

namespace http = treadle::http;

namespace {
thread_local std::size_t allocations = 0;
}

// The nothrow and array forms end here too. Not inlined, since compilers would then see free() take
// what operator new gave.
[[gnu::noinline]] void* operator new(std::size_t size) {
  ++allocations;
  if (void* p = std::malloc(size == 0 ? 1 : size)) return p;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* p) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::size_t) noexcept { std::free(p); }

namespace {

// How many allocations the third of three runs makes.
template <class Body>
std::size_t allocations_when_warm(Body body) {
  body();
  body();
  const std::size_t before = allocations;
  body();
  return allocations - before;
}

}  // namespace

TEST(Allocation, ParsingARequestAllocatesNothing) {
  http::RequestParser parser;
  http::RequestHead head;
  const std::string get =
      "GET /static/app.js?v=17 HTTP/1.1\r\nHost: www.example.org\r\nUser-Agent: a\tb\r\n"
      "Accept: */*\r\nAccept-Language: en\r\nConnection: keep-alive\r\nCookie: a=b\r\n\r\n";
  const std::string post =
      "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
      "5;a=b\r\nhello\r\n0\r\nX-Checksum: 0123456789abcdef0123456789abcdef\r\n\r\n";
  const auto run = [&] {
    ASSERT_EQ(parser.parse_head(get, {}, head).consumed, get.size());
    std::string_view rest = post;
    rest.remove_prefix(parser.parse_head(rest, {}, head).consumed);
    while (!rest.empty()) {
      const auto body = parser.parse_body(rest, {});
      ASSERT_NE(body.status, http::ParseStatus::error) << body.error.reason;
      rest.remove_prefix(body.consumed);
    }
  };
  EXPECT_EQ(allocations_when_warm(run), 0u);
}

TEST(Allocation, RoutingAllocatesNothing) {
  http::RouteTree tree;
  for (const char* pattern : {"GET /users/{id}", "POST /users/{id}", "/files/{rest...}",
                              "GET example.org/{a}/{b}/{c}", "/"}) {
    tree.add(http::parse_route_pattern(pattern));
  }
  http::DecodedPath path;
  http::RouteMatch match;
  const auto run = [&] {
    for (const char* text : {"/users/0123456789012345678901234567890123456789", "/users/a%20b",
                             "/files/a%2Fb/c/d/e", "/a/b/c", "/x"}) {
      ASSERT_EQ(path.assign(text), http::DecodedPath::Status::clean);
      tree.find("GET", "EXAMPLE.org:8080", path, match);
      ASSERT_EQ(match.outcome, http::RouteOutcome::found);
    }
  };
  EXPECT_EQ(allocations_when_warm(run), 0u);
}

TEST(Allocation, RangesAndDatesAllocateNothing) {
  const auto run = [] {
    EXPECT_EQ(http::parse_range("bytes=0-9, 20-29, -5", 1000).ranges().size(), 3u);
    EXPECT_EQ(http::HttpDate(784111777).view().size(), 29u);
    EXPECT_TRUE(http::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT", 0).has_value());
  };
  EXPECT_EQ(allocations_when_warm(run), 0u);
}

TEST(Allocation, LoggingARequestAllocatesNothing) {
  const auto peer = treadle::net::SocketAddress::parse("[2001:db8::7]:80").value();
  std::string id;
  const auto run = [&](http::detail::AccessLog& log) {
    http::choose_request_id(id, "");
    log.record({.peer = peer,
                .method = "GET",
                .target = "/static/app.js?v=17",
                .host = "www.example.org",
                .status = 200,
                .referer = "https://www.example.org/",
                .user_agent = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101",
                .request_id = id});
  };
  for (const auto format : {http::AccessLogFormat::combined, http::AccessLogFormat::json}) {
    const auto log = http::detail::AccessLog::open({.path = "/dev/null", .format = format});
    ASSERT_TRUE(log);
    EXPECT_EQ(allocations_when_warm([&] { run(**log); }), 0u);
  }
}

TEST(Allocation, JudgingProxiesAllocatesNothing) {
  const auto trusted = http::TrustedProxies::parse({"10.0.0.0/8"}).value();
  const auto peer = treadle::net::SocketAddress::parse("10.0.0.1:80").value();
  const std::vector<http::HeaderField> fields = {{"X-Forwarded-For", "::1, 1.2.3.4:5, 10.0.0.2"},
                                                 {"X-Forwarded-Proto", "https"}};
  EXPECT_EQ(allocations_when_warm([&] {
              EXPECT_TRUE(http::evaluate_forwarded(trusted, peer, http::Scheme::http,
                                                   http::HeaderView(fields))
                              .trusted);
            }),
            0u);
}

#else

TEST(Allocation, SanitizersKeepTheirOwnAllocator) { GTEST_SKIP() << "operator new is theirs"; }

#endif  // TREADLE_COUNTS_ALLOCATIONS
