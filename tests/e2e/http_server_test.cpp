// Requests in, answers out: the connection's loop over a real socket.
#include <stdexcept>
#include <string>
#include <vector>

#include "http_fixture.h"

namespace treadle::test {
namespace {

void echo_target(http::Response& res, const http::Request& req) {
  res.print("{} {}", req.method(), req.target());
}

http::Router hello_router() {
  http::Router router;
  router.handle("GET /hello/{name}", [](http::Response& res, const http::Request& req) {
    res.print("Hello, {}!\n", req.path_value("name"));
  });
  router.handle("POST /form", echo_target);
  router.handle("GET /tree/", echo_target);
  return router;
}

TEST(HttpServer, SmallAnswerIsOneWholeMessage) {
  run([] {
    RunningServer server(hello_router());
    RawClient client(server.port());
    RawResponse r = client.roundtrip(get("/hello/w%C3%B6rld"));
    EXPECT_EQ(r.status, 200);
    EXPECT_EQ(r.version, "HTTP/1.1");
    EXPECT_EQ(r.reason, "OK");
    EXPECT_EQ(r.body, "Hello, w\xC3\xB6rld!\n");
    EXPECT_EQ(r.header("Content-Length"), "15");
    EXPECT_EQ(r.header("Content-Type"), "text/plain; charset=utf-8");
    EXPECT_EQ(r.count("Date"), 1U);
    EXPECT_FALSE(r.header("Server"));
    EXPECT_FALSE(r.header("Connection"));
    EXPECT_FALSE(r.chunked);
  });
}

TEST(HttpServer, ConnectionServesOneRequestAfterAnother) {
  run([] {
    RunningServer server(http::Handler{echo_target});
    RawClient client(server.port());
    for (int i = 0; i < 50; ++i) {
      std::string target = "/" + std::to_string(i);
      EXPECT_EQ(client.roundtrip(get(target)).body, "GET " + target);
    }
    EXPECT_EQ(server->stats().accepted, 1U);
    EXPECT_EQ(server->stats().requests, 50U);
  });
}

TEST(HttpServer, PipelinedRequestsAreAnsweredInOrder) {
  run([] {
    RunningServer server(http::Handler{echo_target});
    RawClient client(server.port());
    // More than the input buffer holds at once.
    constexpr int kRequests = 1000;
    std::string all;
    for (int i = 0; i < kRequests; ++i) all += get("/" + std::to_string(i));
    ASSERT_TRUE(client.send(all));
    for (int i = 0; i < kRequests; ++i)
      ASSERT_EQ(client.read_response().body, "GET /" + std::to_string(i));
  });
}

TEST(HttpServer, PipelinedBodiesStaySeparate) {
  run([] {
    RunningServer server(http::Handler{[](http::Response& res, const http::Request& req) {
      res.write(req.body().read_all().value_or("failed"));
    }});
    RawClient client(server.port());
    std::string chunked =
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        "3\r\none\r\n0\r\n\r\n";
    ASSERT_TRUE(client.send(chunked + post("/", "two") + get("/") + chunked));
    EXPECT_EQ(client.read_response().body, "one");
    EXPECT_EQ(client.read_response().body, "two");
    EXPECT_EQ(client.read_response().body, "");
    EXPECT_EQ(client.read_response().body, "one");
  });
}

TEST(HttpServer, RequestMayArriveByteByByte) {
  run([] {
    RunningServer server(http::Handler{echo_target});
    RawClient client(server.port());
    for (int i = 0; i < 2; ++i) {
      ASSERT_TRUE(client.send_bytewise(get("/slowly")));
      EXPECT_EQ(client.read_response().body, "GET /slowly");
    }
  });
}

TEST(HttpServer, CloseIsHonouredAndAnnounced) {
  run([] {
    RunningServer server(http::Handler{echo_target});
    RawClient client(server.port());
    RawResponse r = client.roundtrip(get("/", "Connection: close\r\n"));
    EXPECT_EQ(r.header("Connection"), "close");
    EXPECT_TRUE(client.closed_by_peer());
    EXPECT_FALSE(client.was_reset());
  });
}

TEST(HttpServer, HandlerCanEndTheConnection) {
  run([] {
    RunningServer server(http::Handler{[](http::Response& res, const http::Request&) {
      res.header("Connection", "close");
      res.print("bye");
    }});
    RawClient client(server.port());
    RawResponse r = client.roundtrip(get("/"));
    EXPECT_EQ(r.count("Connection"), 1U);
    EXPECT_EQ(r.body, "bye");
    EXPECT_TRUE(client.closed_by_peer());
  });
}

TEST(HttpServer, Http10IsAnsweredAndClosed) {
  run([] {
    RunningServer server(http::Handler{echo_target});
    RawClient client(server.port());
    RawResponse r = client.roundtrip("GET /old HTTP/1.0\r\n\r\n");
    EXPECT_EQ(r.version, "HTTP/1.1");
    EXPECT_EQ(r.body, "GET /old");
    EXPECT_EQ(r.header("Connection"), "close");
    EXPECT_TRUE(client.closed_by_peer());
  });
}

TEST(HttpServer, Http10KeepAliveIsKept) {
  run([] {
    RunningServer server(http::Handler{echo_target});
    RawClient client(server.port());
    for (int i = 0; i < 3; ++i) {
      RawResponse r = client.roundtrip("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
      EXPECT_EQ(r.status, 200);
      EXPECT_EQ(r.header("Connection"), "keep-alive");
    }
  });
}

TEST(HttpServer, Http10StreamEndsWithTheConnection) {
  run([] {
    const std::string body = pattern(100'000);
    RunningServer server(
        http::Handler{[&](http::Response& res, const http::Request&) { res.write(body); }});
    RawClient client(server.port());
    RawResponse r = client.roundtrip("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    EXPECT_TRUE(r.until_close);
    EXPECT_EQ(r.header("Connection"), "close");
    EXPECT_FALSE(r.header("Transfer-Encoding"));
    EXPECT_TRUE(r.body == body);
  });
}

TEST(HttpServer, HeadCarriesTheLengthAndNoBody) {
  run([] {
    RunningServer server(hello_router());
    RawClient client(server.port());
    RawResponse r = client.roundtrip(head("/hello/bob"), RawClient::Request::head);
    EXPECT_EQ(r.status, 200);
    EXPECT_EQ(r.header("Content-Length"), "12");
    EXPECT_EQ(client.roundtrip(get("/hello/bob")).body, "Hello, bob!\n");
  });
}

TEST(HttpServer, RoutingAnswersForItself) {
  run([] {
    RunningServer server(hello_router());
    RawClient client(server.port());
    EXPECT_EQ(client.roundtrip(get("/nowhere")).status, 404);
    RawResponse r = client.roundtrip(post("/hello/bob", "x"));
    EXPECT_EQ(r.status, 405);
    EXPECT_EQ(r.header("Allow"), "GET, HEAD");
    r = client.roundtrip("OPTIONS /form HTTP/1.1\r\nHost: a\r\n\r\n");
    EXPECT_EQ(r.status, 204);
    EXPECT_EQ(r.header("Allow"), "POST");
    EXPECT_FALSE(r.header("Content-Length"));
    r = client.roundtrip("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    EXPECT_EQ(r.status, 204);
    r = client.roundtrip(get("/tree?q=1"));
    EXPECT_EQ(r.status, 301);
    EXPECT_EQ(r.header("Location"), "/tree/?q=1");
  });
}

TEST(HttpServer, UncleanPathsNeverReachAHandler) {
  run([] {
    RunningServer server(http::Handler{echo_target});
    RawClient client(server.port());
    for (std::string_view target : {"/a/../b", "//evil.example", "/a//b", "/%2e%2e/x", "/./y"}) {
      RawResponse r = client.roundtrip(get(target));
      EXPECT_EQ(r.status, 301) << target;
      std::string location = r.header("Location").value_or("");
      EXPECT_TRUE(location.starts_with('/') && !location.starts_with("//")) << location;
    }
    EXPECT_EQ(client.roundtrip(get("/a/../b?q=%20")).header("Location"), "/b?q=%20");
    EXPECT_EQ(client.roundtrip(post("/a/../b", "")).status, 400);
    EXPECT_TRUE(client.closed_by_peer());
    EXPECT_EQ(fetch(server.port(), get("/a%00b")).status, 400);
    EXPECT_EQ(server->stats().requests, 0U);
  });
}

TEST(HttpServer, ExceptionBeforeTheHeadIsAnsweredWith500) {
  run([] {
    RunningServer server(http::Handler{[](http::Response& res, const http::Request& req) {
      res.status(201).header("X-Lost", "yes");
      res.print("half");
      if (req.path() == "/int") throw 42;
      throw std::runtime_error("no such luck");
    }});
    RawClient client(server.port());
    for (std::string_view target : {"/", "/int"}) {
      RawResponse r = client.roundtrip(get(target));
      EXPECT_EQ(r.status, 500);
      EXPECT_FALSE(r.header("X-Lost"));
      EXPECT_EQ(r.body, "Internal Server Error\n");
    }
  });
}

TEST(HttpServer, ExceptionAfterTheHeadCutsTheConnection) {
  run([] {
    RunningServer server(http::Handler{[](http::Response& res, const http::Request&) {
      res.print("half");
      res.flush();
      throw std::runtime_error("too late");
    }});
    RawClient client(server.port());
    ASSERT_TRUE(client.send(get("/")));
    std::string all = client.read_until_gone();
    EXPECT_NE(all.find("4\r\nhalf\r\n"), std::string::npos);
    EXPECT_EQ(all.find("0\r\n\r\n"), std::string::npos);
    EXPECT_EQ(server->stats().cut, 1U);
  });
}

TEST(HttpServer, InvalidHeadersAndStatusesAreTheHandlersFault) {
  run([] {
    std::vector<std::function<void(http::Response&)>> wrongs = {
        [](http::Response& res) { res.header("Bad Name", "x"); },
        [](http::Response& res) { res.header("X", "a\r\nSet-Cookie: b"); },
        [](http::Response& res) { res.add_header("X", std::string_view("a\0b", 3)); },
        [](http::Response& res) { res.redirect("/\r\nX: y"); },
        [](http::Response& res) { res.status(199); },
        [](http::Response& res) { res.status(1000); },
        [](http::Response& res) { res.header("Content-Length", "12x"); },
    };
    std::size_t which = 0;
    RunningServer server(http::Handler{[&](http::Response& res, const http::Request&) {
      EXPECT_THROW(
          {
            try {
              wrongs[which](res);
            } catch (const Panic&) {
              throw;
            }
          },
          Panic)
          << which;
      wrongs[which](res);
    }});
    RawClient client(server.port());
    for (which = 0; which < wrongs.size(); ++which)
      EXPECT_EQ(client.roundtrip(get("/")).status, 500) << which;
  });
}

TEST(HttpServer, RegisteringWhileServingPanics) {
  run([] {
    http::Router router = hello_router();
    RunningServer server(router);
    EXPECT_EQ(fetch(server.port(), get("/hello/x")).status, 200);
    EXPECT_THROW(router.handle("GET /late", echo_target), Panic);
  });
}

TEST(HttpServer, RequestShowsWhatWasSent) {
  run([] {
    RunningServer server(http::Handler{[](http::Response& res, const http::Request& req) {
      EXPECT_EQ(req.method(), "GET");
      EXPECT_EQ(req.target(), "/a%20b?x=1&y=a+b&x=2");
      EXPECT_EQ(req.raw_path(), "/a%20b");
      EXPECT_EQ(req.path(), "/a b");
      EXPECT_EQ(req.raw_query(), "x=1&y=a+b&x=2");
      EXPECT_EQ(req.query("x"), "1");
      EXPECT_EQ(req.query("y"), "a b");
      EXPECT_FALSE(req.query("z"));
      EXPECT_EQ(req.minor_version(), 1);
      EXPECT_EQ(req.host(), "localhost");
      EXPECT_EQ(req.header("x-thing"), "spaced  out");
      EXPECT_EQ(req.headers().count("Accept"), 2U);
      EXPECT_EQ(req.path_value("none"), "");
      EXPECT_EQ(req.content_length(), 0U);
      EXPECT_EQ(req.remote_address().host(), "127.0.0.1");
      res.status(204);
    }});
    RawResponse r =
        fetch(server.port(),
              get("/a%20b?x=1&y=a+b&x=2", "X-Thing:  spaced  out \r\nAccept: a\r\naccept: b\r\n"));
    EXPECT_EQ(r.status, 204);
  });
}

TEST(HttpServer, ManyConnectionsAtOnce) {
  run([] {
    RunningServer server(http::Handler{echo_target});
    std::vector<RawClient> clients;
    for (int i = 0; i < 200; ++i) clients.emplace_back(server.port());
    for (RawClient& c : clients) ASSERT_TRUE(c.send(get("/many")));
    for (RawClient& c : clients) ASSERT_EQ(c.read_response().body, "GET /many");
    for (RawClient& c : clients) ASSERT_EQ(c.roundtrip(get("/more")).body, "GET /more");
  });
}

}  // namespace
}  // namespace treadle::test
