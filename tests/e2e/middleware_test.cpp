// Routers with middleware and groups.
#include <treadle/http/middleware.h>

#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "e2e/http_fixture.h"

namespace treadle::test {
namespace {

// Adds `name` to the field Trace before the handler runs.
http::Middleware trace(std::string name) {
  return [name = std::move(name)](http::Handler next) {
    return [name, next = std::move(next)](http::Response& res, const http::Request& req) {
      res.header("Trace", res.get_header("Trace").value_or("") + name);
      next(res, req);
    };
  };
}

http::Handler says(std::string text) {
  return [text = std::move(text)](http::Response& res, const http::Request&) { res.write(text); };
}

// Counts in the field Seen what passes by, also over send_error().
http::Middleware seen(std::string name) {
  return [name = std::move(name)](http::Handler next) {
    return [name, next = std::move(next)](http::Response& res, const http::Request& req) {
      res.keep_header("Seen-" + name, std::string(req.path_value("id")));
      next(res, req);
    };
  };
}

TEST(Middleware, RunsFromTheOutermostToTheInnermost) {
  run([] {
    http::Router router;
    router.use(trace("a"));
    router.use(http::chain({trace("b"), trace("c")}));
    http::RouteGroup group = router.group("/g");
    group.use(trace("d"));
    http::RouteGroup inner = group.group("/h");
    inner.use(trace("e"));
    inner.handle("GET /x", http::chain({trace("f"), trace("g")})(says("inner")));
    group.handle("GET /x", says("group"));
    router.handle("GET /x", says("root"));
    RunningServer server(router);
    RawClient client(server.port());
    EXPECT_EQ(client.roundtrip(get("/g/h/x")).header("Trace"), "abcdefg");
    EXPECT_EQ(client.roundtrip(get("/g/x")).header("Trace"), "abcd");
    EXPECT_EQ(client.roundtrip(get("/x")).header("Trace"), "abc");
    EXPECT_EQ(client.roundtrip(head("/x"), RawClient::Request::head).header("Trace"), "abc");
  });
}

TEST(Middleware, OfTheRouterSeesWhatNoRouteAnswers) {
  run([] {
    http::Router router;
    router.use(seen("root"));
    http::RouteGroup group = router.group("/g/{id}");
    group.use(seen("group"));
    group.handle("GET /x", says("x"));
    router.handle("/tree/", says("tree"));
    RunningServer server(router);
    RawClient client(server.port());
    RawResponse found = client.roundtrip(get("/g/7/x"));
    EXPECT_EQ(found.header("Seen-root"), "7");
    EXPECT_EQ(found.header("Seen-group"), "7");
    for (const auto& [request, status] : {std::pair(get("/nowhere"), 404),
                                          {get("/g/7/nowhere"), 404},
                                          {post("/g/7/x", ""), 405},
                                          {get("/tree"), 301}}) {
      RawResponse r = client.roundtrip(request);
      EXPECT_EQ(r.status, status);
      EXPECT_TRUE(r.header("Seen-root")) << request;
      EXPECT_FALSE(r.header("Seen-group")) << request;
    }
    EXPECT_EQ(client.roundtrip(post("/g/7/x", "")).header("Allow"), "GET, HEAD");
  });
}

TEST(Middleware, PreflightsGoThroughTheGroupTheyAskAbout) {
  run([] {
    http::Router router;
    http::RouteGroup group = router.group("/g");
    group.use(seen("group"));
    group.handle("PUT /x", says("x"));
    router.handle("GET /g/x", says("root's"));
    RunningServer server(router);
    RawClient client(server.port());
    const auto ask = [&](std::string_view fields) {
      return client.roundtrip("OPTIONS" + get("/g/x", fields).substr(3));
    };
    EXPECT_TRUE(ask("Access-Control-Request-Method: PUT\r\n").header("Seen-group"));
    EXPECT_FALSE(ask("Access-Control-Request-Method: GET\r\n").header("Seen-group"));
    EXPECT_FALSE(ask("Access-Control-Request-Method: BREW\r\n").header("Seen-group"));
    EXPECT_EQ(ask("").status, 204);
    EXPECT_EQ(ask("").header("Allow"), "GET, HEAD, PUT");
  });
}

TEST(Middleware, KeptFieldsSurviveErrorsAndGiveWayToTheHandlers) {
  run([] {
    http::Handler handler = [](http::Response& res, const http::Request& req) {
      res.keep_header("X-A", "1").keep_header("x-a", "2").keep_header("Vary", "Origin");
      res.keep_header("Vary", "Cookie").header("Vary", "Accept").header("X-B", "lost");
      EXPECT_THROW(res.keep_header("X-C", "a\r\nb"), Panic);
      if (req.path() == "/own") res.header("X-A", "own");
      if (req.path() == "/error") res.send_error(418);
      if (req.path() == "/throw") throw std::runtime_error("as it should");
      if (req.path() == "/late") {
        res.flush();
        EXPECT_THROW(res.keep_header("X-D", "e"), Panic);
      }
    };
    RunningServer server(handler);
    RawClient client(server.port());
    RawResponse r = client.roundtrip(get("/error"));
    EXPECT_EQ(r.status, 418);
    EXPECT_EQ(r.header("X-A"), "2");
    EXPECT_EQ(r.count("Vary"), 2U);
    EXPECT_FALSE(r.header("X-B"));
    EXPECT_EQ(client.roundtrip(get("/throw")).header("X-A"), "2");
    r = client.roundtrip(get("/own"));
    EXPECT_EQ(r.header("X-A"), "own");
    EXPECT_EQ(r.count("X-A"), 1U);
    EXPECT_EQ(r.count("Vary"), 3U);
    EXPECT_EQ(client.roundtrip(get("/late")).header("X-A"), "2");
    // The next request begins without them.
    EXPECT_EQ(client.roundtrip("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").count("X-A"), 0U);
  });
}

}  // namespace
}  // namespace treadle::test
