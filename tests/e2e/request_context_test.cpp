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

// The client is seen to go while the handler does something else altogether.
TEST(RequestContext, ClientThatWentAwayCancelsASleeper) {
  run([] {
    Event started;
    Event ended;
    std::error_code seen;
    std::error_code cause;
    RunningServer server(http::Handler{[&](http::Response&, const http::Request& req) {
      started.set();
      seen = treadle::sleep(100s).error();
      cause = req.context().cause();
      ended.set();
    }});
    RawClient client(server.port());
    ASSERT_TRUE(client.send(get("/")));
    started.wait();
    client.close();
    ended.wait();
    EXPECT_EQ(seen, make_error_code(Errc::canceled));
    EXPECT_EQ(cause, std::make_error_code(std::errc::connection_aborted));
  });
}

TEST(RequestContext, ClientThatWentAwayCancelsAHandlerThatComputes) {
  run([] {
    Event started;
    Event ended;
    RunningServer server(http::Handler{[&](http::Response&, const http::Request& req) {
      started.set();
      const Context ctx = req.context();
      while (!ctx.done()) {
      }
      ended.set();
    }});
    RawClient client(server.port());
    ASSERT_TRUE(client.send(get("/")));
    started.wait();
    client.reset();
    ended.wait();
  });
}

TEST(RequestContext, UnreadPipelinedRequestDoesNotHideThatTheClientWent) {
  run([] {
    Event started;
    Event ended;
    RunningServer server(http::Handler{[&](http::Response&, const http::Request& req) {
      if (req.path() != "/1") return;
      started.set();
      EXPECT_FALSE(treadle::sleep(100s));
      ended.set();
    }});
    RawClient client(server.port());
    ASSERT_TRUE(client.send(get("/1") + get("/2")));
    started.wait();
    client.close();
    ended.wait();
  });
}

TEST(RequestContext, HalfCloseCancelsButTheResponseIsSent) {
  run([] {
    RunningServer server(http::Handler{[](http::Response& res, const http::Request& req) {
      req.context().wait();
      EXPECT_EQ(req.context().error(), make_error_code(Errc::canceled));
      res.print("nevertheless");
    }});
    RawClient client(server.port());
    ASSERT_TRUE(client.send(get("/")));
    client.shutdown_write();
    EXPECT_EQ(client.read_response().body, "nevertheless");
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
