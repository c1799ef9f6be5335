// Queries and cookies of requests, through a server.
#include <treadle/http/query.h>

#include <gtest/gtest.h>

#include <string>

#include <treadle/http/cookie.h>

#include "e2e/http_fixture.h"

namespace treadle::test {
namespace {

void tell_query(http::Response& res, const http::Request& req) {
  const auto pairs = http::query_pairs(req);
  if (!pairs) return;
  for (const http::QueryPair& p : *pairs) res.print("{}={}|", p.name, p.value);
}

}  // namespace

TEST(Query, EveryPairComesInItsOrder) {
  run([] {
    RunningServer server(http::Handler{tell_query});
    RawClient client(server.port());
    EXPECT_EQ(client.roundtrip(get("/?a=1&b=%26+x&a=2&&c&=d")).body, "a=1|b=& x|a=2|c=|=d|");
    EXPECT_EQ(client.roundtrip(get("/")).body, "");
    EXPECT_EQ(client.roundtrip(get("/?")).body, "");
  });
}

TEST(Query, TooManyPairsAreAnsweredForTheHandler) {
  run([] {
    http::ServerOptions options;
    options.limits.form_pairs = 2;
    RunningServer server(http::Handler{tell_query}, options);
    RawClient client(server.port());
    EXPECT_EQ(client.roundtrip(get("/?a&b")).status, 200);
    const RawResponse r = client.roundtrip(get("/?a&b&c"));
    EXPECT_EQ(r.status, 413);
    EXPECT_EQ(client.roundtrip(get("/?a")).body, "a=|");  // the connection lives on
  });
}

TEST(QueryCookies, AreReadAndSet) {
  run([] {
    RunningServer server(http::Handler{[](http::Response& res, const http::Request& req) {
      http::set_cookie(res, {.name = "seen", .value = "1", .path = "/"});
      http::set_cookie(res, {.name = "theme", .value = "dark", .http_only = true});
      res.print("{}", http::cookie(req, "session").value_or("none"));
    }});
    RawClient client(server.port());
    const RawResponse r = client.roundtrip(get("/", "Cookie: a=b; session=x=y\r\n"));
    EXPECT_EQ(r.body, "x=y");
    ASSERT_EQ(r.count("Set-Cookie"), 2u);
    EXPECT_EQ(r.header("Set-Cookie"), "seen=1; Path=/");
    EXPECT_EQ(client.roundtrip(get("/")).body, "none");
  });
}

TEST(QueryCookies, InvalidCookieIs500AndNoHeader) {
  run([] {
    RunningServer server(http::Handler{[](http::Response& res, const http::Request& req) {
      http::set_cookie(res, {.name = "a", .value = req.query("v").value_or("")});
    }});
    const RawResponse r = fetch(server.port(), get("/?v=x%0d%0aEvil:%201"));
    EXPECT_EQ(r.status, 500);
    EXPECT_FALSE(r.header("Evil").has_value());
    EXPECT_EQ(r.count("Set-Cookie"), 0u);
  });
}

}  // namespace treadle::test
