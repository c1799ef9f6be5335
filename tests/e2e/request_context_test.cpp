// The Context of a request: its deadline, a client that goes away, a server that ends.
#include <string>

#include <treadle/timer.h>

#include "http_fixture.h"

namespace treadle::test {
namespace {

TEST(RequestContext, IsTheHandlersCurrentOneAndEndsWithIt) {
  run([] {
    Context kept;
    RunningServer server(http::Handler{[&](http::Response& res, const http::Request& req) {
      EXPECT_TRUE(req.context() == current_context());
      EXPECT_FALSE(req.context().done());
      EXPECT_FALSE(req.context().deadline().is_never());
      EXPECT_LE(req.context().deadline().remaining(), 60s);
      kept = req.context();
      res.print("ok");
    }});
    RawClient client(server.port());
    EXPECT_EQ(client.roundtrip(get("/")).body, "ok");
    kept.wait();
    EXPECT_EQ(kept.error(), make_error_code(Errc::canceled));
  });
}

TEST(RequestContext, PipelinedRequestsHaveTheirOwn) {
  run([] {
    Context first;
    RunningServer server(http::Handler{[&](http::Response& res, const http::Request& req) {
      EXPECT_FALSE(req.context().done());
      if (req.path() == "/1") first = req.context();
      if (req.path() == "/2") {
        EXPECT_TRUE(first.done());
        EXPECT_FALSE(first == req.context());
      }
      res.print("ok");
    }});
    RawClient client(server.port());
    ASSERT_TRUE(client.send(get("/1") + get("/2")));
    EXPECT_EQ(client.read_response().body, "ok");
    EXPECT_EQ(client.read_response().body, "ok");
  });
}

TEST(RequestContext, DeadlineEndsSleepAndSilenceIsAnsweredWith503) {
  run([] {
    RunningServer server(http::Handler{[](http::Response& res, const http::Request& req) {
                           EXPECT_EQ(treadle::sleep(20s).error(), make_error_code(Errc::timed_out));
                           if (req.path() == "/own") res.status(504).print("gave up");
                         }},
                         {.handler_timeout = 50ms});
    RawClient client(server.port());
    EXPECT_EQ(client.roundtrip(get("/")).status, 503);
    // The Response does not obey the Context.
    RawResponse r = client.roundtrip(get("/own"));
    EXPECT_EQ(r.status, 504);
    EXPECT_EQ(r.body, "gave up");
  });
}

TEST(RequestContext, BodyAndResponseOutliveTheDeadline) {
  run([] {
    Event expired;
    RunningServer server(http::Handler{[&](http::Response& res, const http::Request& req) {
                           req.context().wait();
                           expired.set();
                           auto body = req.body().read_all();
                           EXPECT_TRUE(body);
                           res.write(body.value_or("failed"));
                           EXPECT_TRUE(res.flush());
                         }},
                         {.handler_timeout = 50ms});
    RawClient client(server.port());
    ASSERT_TRUE(client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"));
    expired.wait();
    ASSERT_TRUE(client.send("hello"));
    EXPECT_EQ(client.read_response().body, "hello");
  });
}

TEST(RequestContext, ZeroMeansNoDeadline) {
  run([] {
    RunningServer server(http::Handler{[](http::Response& res, const http::Request& req) {
                           EXPECT_TRUE(req.context().deadline().is_never());
                           res.print("ok");
                         }},
                         {.handler_timeout = 0s});
    EXPECT_EQ(fetch(server.port(), get("/")).body, "ok");
  });
}

TEST(RequestContext, ClientThatWentAwayCancelsIt) {
  run([] {
    Event started;
    Event ended;
    RunningServer server(http::Handler{[&](http::Response& res, const http::Request& req) {
      started.set();
      // Whoever streams finds out by writing.
      const std::string block(64 * 1024, 'x');
      while (res.write(block)) {
      }
      EXPECT_TRUE(req.context().done());
      ended.set();
    }});
    RawClient client(server.port());
    ASSERT_TRUE(client.send(get("/")));
    started.wait();
    client.reset();
    ended.wait();
  });
}

TEST(RequestContext, HalfClosedClientIsStillAnswered) {
  run([] {
    RunningServer server(
        http::Handler{[](http::Response& res, const http::Request&) { res.print("still here"); }});
    RawClient client(server.port());
    ASSERT_TRUE(client.send(get("/")));
    client.shutdown_write();
    EXPECT_EQ(client.read_response().body, "still here");
    EXPECT_TRUE(client.closed_by_peer());
  });
}

TEST(RequestContext, HardShutdownCancelsIt) {
  run([] {
    Event started;
    std::error_code seen;
    Event ended;
    RunningServer server(http::Handler{[&](http::Response&, const http::Request&) {
      started.set();
      seen = treadle::sleep(100s).error();
      ended.set();
    }});
    RawClient client(server.port());
    ASSERT_TRUE(client.send(get("/")));
    started.wait();
    EXPECT_EQ(server->shutdown(with_timeout(background(), 20ms).context).error(),
              make_error_code(Errc::timed_out));
    ended.wait();
    EXPECT_EQ(seen, make_error_code(Errc::canceled));
  });
}

}  // namespace
}  // namespace treadle::test
