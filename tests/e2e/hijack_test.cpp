// Connections that change hands, and interim responses.
#include <treadle/context.h>
#include <treadle/net/conn.h>
#include <treadle/timer.h>

#include <array>
#include <string>

#include "http_fixture.h"

namespace treadle::test {
namespace {

using http::Request;
using http::Response;

// Sends back what comes, until the end.
void echo(const http::Hijacked& mine) {
  (void)mine.conn->write_all(mine.buffered);
  std::array<std::byte, 1024> bytes;
  for (;;) {
    const auto n = mine.conn->read(bytes);
    if (!n || *n == 0) return;
    (void)mine.conn->write_all(std::span<const std::byte>(bytes).first(*n));
  }
}

TEST(Hijack, UpgradeSwitchesProtocols) {
  run([] {
    RunningServer server(http::Handler{[](Response& res, const Request& req) {
      EXPECT_TRUE(req.headers().has_token("Upgrade", "echo"));
      res.header("X-Mine", "yes");
      const auto mine = res.upgrade("echo");
      ASSERT_TRUE(mine);
      echo(*mine);
      mine->conn->close();
    }});
    RawClient client(server.port());
    // What follows the head at once belongs to the new protocol.
    ASSERT_TRUE(client.send(get("/", "Connection: Upgrade\r\nUpgrade: echo\r\n") + "early"));
    const std::string head = client.read_until("\r\n\r\n");
    EXPECT_TRUE(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n")) << head;
    EXPECT_NE(head.find("Connection: Upgrade\r\n"), std::string::npos);
    EXPECT_NE(head.find("Upgrade: echo\r\n"), std::string::npos);
    EXPECT_NE(head.find("X-Mine: yes\r\n"), std::string::npos);
    EXPECT_EQ(client.read_exactly(5), "early");
    ASSERT_TRUE(client.send("later"));
    EXPECT_EQ(client.read_exactly(5), "later");
    client.shutdown_write();
    EXPECT_EQ(client.read_until_close(), "");
  });
}

TEST(Hijack, HandlerOwnsTheConnectionAndOutlivesTheServer) {
  run([] {
    Event taken;
    std::shared_ptr<net::Conn> kept;
    RawClient client = [&] {
      RunningServer server(http::Handler{[&](Response& res, const Request&) {
                             auto mine = res.hijack();
                             ASSERT_TRUE(mine);
                             kept = mine->conn;
                             taken.set();
                           }},
                           {.handler_timeout = 50ms});
      RawClient c(server.port());
      EXPECT_TRUE(c.send(get("/")));
      taken.wait();
      EXPECT_TRUE(server->shutdown());
      return c;
    }();
    ASSERT_TRUE(kept->write_all("still here"));
    EXPECT_EQ(client.read_exactly(10), "still here");
    kept->close();
    EXPECT_EQ(client.read_until_close(), "");
  });
}

// The server must not put a watch of its own in place of the new owner's, when the request ends.
TEST(Hijack, WatchOfThePeerIsTheNewOwners) {
  run([] {
    Event taken;
    std::shared_ptr<net::Conn> kept;
    const CancelableContext own = with_cancel(background());
    Context request;  // a handle on the request's Context, which must end all the same
    RunningServer server(http::Handler{[&](Response& res, const Request& req) {
      request = req.context();
      auto mine = res.hijack();
      ASSERT_TRUE(mine);
      kept = mine->conn;
      kept->watch_peer(own.context);
      taken.set();
    }});
    {
      RawClient client(server.port());
      ASSERT_TRUE(client.send(get("/")));
      taken.wait();
      request.wait();
      EXPECT_FALSE(own.context.done());
    }
    own.context.wait();
    EXPECT_EQ(own.context.cause(), std::errc::connection_aborted);
    kept->close();
  });
}

TEST(Hijack, ResponseAndBodyAreGoneAfterwards) {
  run([] {
    Event done;
    RunningServer server(http::Handler{[&](Response& res, const Request& req) {
      const auto mine = res.hijack();
      ASSERT_TRUE(mine);
      EXPECT_EQ(res.write("x").error(), make_error_code(http::Errc::aborted));
      EXPECT_EQ(req.body().read_all().error(), make_error_code(http::Errc::aborted));
      EXPECT_FALSE(res.hijack());
      (void)mine->conn->write_all("raw");
      mine->conn->close();
      done.set();
    }});
    RawClient client(server.port());
    ASSERT_TRUE(client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"));
    EXPECT_EQ(client.read_until_gone(), "raw");
    done.wait();
  });
}

TEST(Hijack, IsRefusedOnceSomethingWasWritten) {
  run([] {
    RunningServer server(http::Handler{[](Response& res, const Request&) {
      res.print("written");
      EXPECT_EQ(res.hijack().error(), make_error_code(http::Errc::head_sent));
      EXPECT_EQ(res.upgrade("echo").error(), make_error_code(http::Errc::head_sent));
    }});
    EXPECT_EQ(fetch(server.port(), get("/")).body, "written");
  });
}

TEST(Hijack, UpgradeNeedsHttp11) {
  run([] {
    RunningServer server(http::Handler{[](Response& res, const Request&) {
      EXPECT_EQ(res.upgrade("echo").error(), make_error_code(Errc::invalid));
      res.print("plain");
    }});
    EXPECT_EQ(fetch(server.port(), "GET / HTTP/1.0\r\n\r\n").body, "plain");
  });
}

TEST(Hijack, IsExemptFromTheDeadline) {
  run([] {
    RunningServer server(http::Handler{[](Response& res, const Request&) {
                           const auto mine = res.hijack();
                           ASSERT_TRUE(mine);
                           EXPECT_TRUE(treadle::sleep(150ms));
                           (void)mine->conn->write_all("late");
                           mine->conn->close();
                         }},
                         {.handler_timeout = 50ms});
    RawClient client(server.port());
    ASSERT_TRUE(client.send(get("/")));
    EXPECT_EQ(client.read_until_close(), "late");
  });
}

TEST(HijackEarlyHints, ComeBeforeTheResponse) {
  run([] {
    RunningServer server(http::Handler{[](Response& res, const Request&) {
      EXPECT_TRUE(res.early_hints({{"Link", "</a.css>; rel=preload; as=style"}}));
      EXPECT_TRUE(res.early_hints({{"Link", "</b.css>; rel=preload; as=style"}}));
      res.print("page");
    }});
    RawClient client(server.port());
    ASSERT_TRUE(client.send(get("/")));
    const RawResponse first = client.read_response();
    EXPECT_EQ(first.status, 103);
    EXPECT_EQ(first.header("Link"), "</a.css>; rel=preload; as=style");
    EXPECT_EQ(client.read_response().status, 103);
    const RawResponse last = client.read_response();
    EXPECT_EQ(last.status, 200);
    EXPECT_EQ(last.body, "page");
    EXPECT_FALSE(last.header("Link"));
  });
}

TEST(HijackEarlyHints, AreNotSentToHttp10) {
  run([] {
    RunningServer server(http::Handler{[](Response& res, const Request&) {
      EXPECT_TRUE(res.early_hints({{"Link", "</a.css>; rel=preload"}}));
      res.print("page");
    }});
    const RawResponse r = fetch(server.port(), "GET / HTTP/1.0\r\n\r\n");
    EXPECT_EQ(r.status, 200);
    EXPECT_EQ(r.body, "page");
  });
}

TEST(HijackEarlyHints, PanicOnAnInjectedLine) {
  run([] {
    RunningServer server(http::Handler{[](Response& res, const Request&) {
      (void)res.early_hints({{"Link", "x\r\nSet-Cookie: evil=1"}});
    }});
    const RawResponse r = fetch(server.port(), get("/"));
    EXPECT_EQ(r.status, 500);
    EXPECT_EQ(r.raw.find("evil"), std::string::npos);
  });
}

TEST(HijackEarlyHints, PanicOnFraming) {
  run([] {
    RunningServer server(http::Handler{[](Response& res, const Request& req) {
      (void)res.early_hints({{req.header("X-Field"), "5"}});
    }});
    for (std::string_view name : {"Content-Length", "transfer-encoding", "Connection"}) {
      const RawResponse r =
          fetch(server.port(), get("/", "X-Field: " + std::string(name) + "\r\n"));
      EXPECT_EQ(r.status, 500) << name;
    }
  });
}

TEST(HijackEarlyHints, AreTooLateAfterTheHead) {
  run([] {
    RunningServer server(http::Handler{[](Response& res, const Request&) {
      res.print("page");
      EXPECT_TRUE(res.flush());
      EXPECT_EQ(res.early_hints({{"Link", "</a.css>"}}).error(),
                make_error_code(http::Errc::head_sent));
    }});
    EXPECT_EQ(fetch(server.port(), get("/")).body, "page");
  });
}

}  // namespace
}  // namespace treadle::test
