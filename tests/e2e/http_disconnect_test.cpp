// Clients that leave early, in every phase: the server goes on, and lets go of their connections.
#include <string>

#include "http_fixture.h"

namespace treadle::test {
namespace {

// A server whose handler reads the body and answers with `size` bytes.
class Answering {
 public:
  explicit Answering(std::size_t size)
      : server_(http::Handler{[size](http::Response& res, const http::Request& req) {
          if (!req.body().read_all()) return;
          res.write(pattern(size));
        }}) {}
  RawClient client() { return RawClient(server_.port(), {.receive_buffer = 4096}); }

  // Checks that the server still serves, and that it lets go of every connection by itself: its
  // shutdown would wait for a forgotten one until the watchdog comes.
  void expect_well() {
    EXPECT_EQ(fetch(server_.port(), get("/", "Connection: close\r\n")).status, 200);
    EXPECT_TRUE(server_->shutdown());
    EXPECT_EQ(server_->stats().connections, 0U);
  }

 private:
  RunningServer server_;
};

enum class Leave { close, reset };

void leave(RawClient& client, Leave how) {
  if (how == Leave::reset)
    client.reset();
  else
    client.close();
}

class HttpDisconnect : public testing::TestWithParam<Leave> {};

TEST_P(HttpDisconnect, BeforeAnyByte) {
  run([how = GetParam()] {
    Answering server(10);
    RawClient client = server.client();
    leave(client, how);
    server.expect_well();
  });
}

TEST_P(HttpDisconnect, WithinTheHead) {
  run([how = GetParam()] {
    Answering server(10);
    RawClient client = server.client();
    EXPECT_TRUE(client.send("GET / HTTP/1.1\r\nHos"));
    leave(client, how);
    server.expect_well();
  });
}

TEST_P(HttpDisconnect, WithinTheBody) {
  run([how = GetParam()] {
    Answering server(10);
    for (std::string_view start :
         {"Content-Length: 100\r\n\r\n12345", "Transfer-Encoding: chunked\r\n\r\n5\r\n123"}) {
      RawClient client = server.client();
      EXPECT_TRUE(client.send("POST / HTTP/1.1\r\nHost: a\r\n" + std::string(start)));
      leave(client, how);
    }
    server.expect_well();
  });
}

TEST_P(HttpDisconnect, BeforeTheAnswer) {
  run([how = GetParam()] {
    Answering server(10);
    RawClient client = server.client();
    EXPECT_TRUE(client.send(get("/")));
    leave(client, how);
    server.expect_well();
  });
}

TEST_P(HttpDisconnect, WithinALargeAnswer) {
  run([how = GetParam()] {
    Answering server(20'000'000);
    RawClient client = server.client();
    EXPECT_TRUE(client.send(get("/")));
    client.read_exactly(1000);
    leave(client, how);
    server.expect_well();
  });
}

TEST_P(HttpDisconnect, BetweenRequests) {
  run([how = GetParam()] {
    Answering server(10);
    RawClient client = server.client();
    EXPECT_EQ(client.roundtrip(get("/")).status, 200);
    leave(client, how);
    server.expect_well();
  });
}

TEST_P(HttpDisconnect, WithManyRequestsUnderWay) {
  run([how = GetParam()] {
    Answering server(10'000);
    RawClient client = server.client();
    std::string all;
    for (int i = 0; i < 500; ++i) all += get("/");
    EXPECT_TRUE(client.send(all));
    leave(client, how);
    server.expect_well();
  });
}

TEST_P(HttpDisconnect, AfterARefusal) {
  run([how = GetParam()] {
    Answering server(10);
    RawClient client = server.client();
    EXPECT_TRUE(client.send("NONSENSE\r\n\r\n"));
    leave(client, how);
    server.expect_well();
  });
}

INSTANTIATE_TEST_SUITE_P(HttpDisconnect, HttpDisconnect,
                         testing::Values(Leave::close, Leave::reset), [](const auto& name) {
                           return name.param == Leave::close ? "Close" : "Reset";
                         });

// What the server logs while one client gets `handler`'s answer.
template <class Handle, class Ask>
std::string log_of(Handle handler, Ask ask) {
  testing::internal::CaptureStderr();
  run([&] {
    RunningServer server{http::Handler{handler}};
    RawClient client(server.port());
    ask(client);
    EXPECT_TRUE(server->shutdown());
  });
  return testing::internal::GetCapturedStderr();
}

TEST(HttpDisconnectLog, ClientThatLeavesIsNoError) {
  const std::string log = log_of(
      [](http::Response& res, const http::Request& req) {
        res.content_length(100).print("a part");
        EXPECT_TRUE(res.flush());
        while (!req.context().done()) treadle::gosched();
      },
      [](RawClient& client) {
        ASSERT_TRUE(client.send(get("/")));
        client.read_until("a part");
        client.close();
      });
  EXPECT_EQ(log, "");
}

TEST(HttpDisconnectLog, UploadThatBreaksIsNoError) {
  const std::string log = log_of(
      [](http::Response& res, const http::Request& req) {
        res.content_length(100).print("a part");
        EXPECT_TRUE(res.flush());
        EXPECT_FALSE(req.body().read_all());
      },
      [](RawClient& client) {
        ASSERT_TRUE(client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n12345"));
        client.read_until("a part");
        client.close();
      });
  EXPECT_EQ(log, "");
}

TEST(HttpDisconnectLog, HandlerThatWritesTooLittleIsAnError) {
  const std::string log = log_of(
      [](http::Response& res, const http::Request&) { res.content_length(100).print("a part"); },
      [](RawClient& client) {
        ASSERT_TRUE(client.send(get("/")));
        client.read_until_gone();
      });
  EXPECT_NE(log.find("body differs from its Content-Length"), std::string::npos) << log;
}

TEST(HttpDisconnectHalf, IncompleteHeadIsRefused) {
  run([] {
    Answering server(10);
    RawClient client = server.client();
    EXPECT_TRUE(client.send("GET / HTTP/1.1\r\nHost: a\r\n"));
    client.shutdown_write();
    EXPECT_EQ(client.read_response().status, 400);
    client.close();
    server.expect_well();
  });
}

}  // namespace
}  // namespace treadle::test
