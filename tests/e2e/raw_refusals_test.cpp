// How a connection ends behind a refusal: the client reads its answer rather than a reset, nothing
// is answered twice, and nothing hangs (RFC 9112 9.6); and when 100 is sent (RFC 9110 10.1.1).
#include <chrono>
#include <thread>

#include "raw_requests.h"

namespace treadle::test {
namespace {

using namespace std::string_literals;
using namespace std::string_view_literals;
using std::chrono::steady_clock;

constexpr std::string_view kBadHead = "GET / HTTP/1.1\r\nHost: a b\r\n\r\n";

void read_body(http::Response& res, const http::Request& req) {
  if (auto body = req.body().read_all()) res.print("{} bytes", body->size());
}
void leave_body(http::Response& res, const http::Request&) { res.print("ignored"); }

// Sends `bytes` while nobody reads the answer, then reads it: what has come since must still be
// there. False for a reset.
void expect_answer_behind(std::uint16_t port, std::string_view bytes, int status) {
  RawClient client(port);
  client.send(bytes);
  const RawResponse r = client.read_response();
  EXPECT_EQ(r.status, status);
  EXPECT_EQ(r.header("Connection"), "close");
  EXPECT_EQ(client.read_until_close(), "");
  EXPECT_FALSE(client.was_reset());
}

TEST(RawRefusals, AnswerOutlivesWhatTheClientStillSends) {
  run([] {
    RunningServer server(http::Handler{read_body});
    for (std::size_t size : {0U, 1U, 5000U, 60'000U, 200'000U}) {
      const std::string behind(size, 'x');
      expect_answer_behind(server.port(), std::string(kBadHead) + behind, 400);
      expect_answer_behind(server.port(), "BREW / HTTP/1.1\r\n" + behind, 501);
      expect_answer_behind(server.port(), "GET / HTTP/7.0\r\n" + behind, 505);
      expect_answer_behind(server.port(), "\x16\x03\x01" + behind, 400);
      expect_answer_behind(
          server.port(), "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999\r\n\r\n" + behind,
          413);
      expect_answer_behind(
          server.port(),
          "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nnonsense" + behind, 400);
      expect_answer_behind(server.port(),
                           "POST /a//b HTTP/1.1\r\nHost: h\r\nContent-Length: " +
                               std::to_string(size) + "\r\n\r\n" + behind,
                           400);
      expect_answer_behind(server.port(), "GET /" + std::string(9000, 'a') + behind, 414);
    }
  });
}

TEST(RawRefusals, AnswerOutlivesWhatFollowsARequestThatEndsTheConnection) {
  run([] {
    RunningServer server(http::Handler{leave_body});
    for (std::size_t size : {100U, 20'000U, 200'000U}) {
      const std::string behind(size, 'x');
      expect_answer_behind(server.port(), get("/", "Connection: close\r\n") + behind, 200);
      expect_answer_behind(server.port(), "GET / HTTP/1.0\r\n\r\n" + behind, 200);
      // More than the server drains: it says so beforehand.
      expect_answer_behind(server.port(),
                           "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9000000\r\n\r\n" + behind,
                           200);
    }
  });
}

TEST(RawRefusals, FinComesAtOnceAndTheConnectionIsGoneAfterTwoSeconds) {
  run([] {
    RunningServer server(http::Handler{read_body});
    RawClient client(server.port());
    client.send(kBadHead);
    const auto begin = steady_clock::now();
    EXPECT_EQ(client.read_response().status, 400);
    EXPECT_EQ(client.read_until_close(), "");
    EXPECT_LT(steady_clock::now() - begin, 1500ms) << "SHUT_WR waited for the client's end";
    // The client neither sends nor closes: the server does not keep the connection for it.
    while (server->stats().connections > 0 && steady_clock::now() - begin < 10s)
      std::this_thread::sleep_for(10ms);
    EXPECT_EQ(server->stats().connections, 0U);
    EXPECT_LT(steady_clock::now() - begin, 6s);
  });
}

TEST(RawRefusals, ClientThatDripsOnIsNotWaitedFor) {
  run([] {
    RunningServer server(http::Handler{read_body});
    RawClient client(server.port());
    client.send(kBadHead);
    EXPECT_EQ(client.read_response().status, 400);
    const auto begin = steady_clock::now();
    while (client.send("x") && steady_clock::now() - begin < 10s) std::this_thread::sleep_for(20ms);
    EXPECT_LT(steady_clock::now() - begin, 6s) << "each byte prolonged the wait";
    while (server->stats().connections > 0 && steady_clock::now() - begin < 10s)
      std::this_thread::sleep_for(10ms);
    EXPECT_EQ(server->stats().connections, 0U);
  });
}

TEST(RawRefusals, ClientThatNeverStopsIsCutAfterAQuarterOfAMegabyte) {
  run([] {
    RunningServer server(http::Handler{read_body});
    RawClient client(server.port());
    client.send(kBadHead);
    EXPECT_EQ(client.read_response().status, 400);
    const std::string block(64 * 1024, 'x');
    std::size_t sent = 0;
    // What the kernels' buffers hold comes on top.
    while (sent < (64U << 20) && client.send(block)) sent += block.size();
    EXPECT_LT(sent, 64U << 20);
  });
}

TEST(RawRefusals, RefusalOfAHeadHasNoBodyForHead) {
  run([] {
    RunningServer server(http::Handler{read_body});
    RawTable(server).run({
        {"HEAD /%zz HTTP/1.1\r\nHost: h\r\n\r\n", 400},
        {"HEAD * HTTP/1.1\r\nHost: h\r\n\r\n", 400},
        {"HEAD / HTTP/1.1\r\n\r\n", 400},
        {"HEAD / HTTP/1.1\r\nHost: a b\r\n\r\n", 400},
        {"HEAD / HTTP/3.0\r\nHost: h\r\n\r\n", 505},
        {"HEAD / HTTP/1.1\r\nHost: h\r\nExpect: x\r\n\r\n", 417},
        {"HEAD / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999\r\n\r\n", 413},
        {"HEAD /" + std::string(9000, 'a'), 414},
        {"HEAD / HTTP/1.1\r\nX: " + std::string(40'000, 'x'), 431},
    });
  });
}

TEST(RawRefusals, PipelineStopsAtTheRefusedRequest) {
  run([] {
    RunningServer server(http::Handler{read_body});
    RawClient client(server.port());
    client.send(get("/1") + post("/2", "ok") + std::string(kBadHead) + get("/3"));
    EXPECT_EQ(client.read_response().body, "0 bytes");
    EXPECT_EQ(client.read_response().body, "2 bytes");
    EXPECT_EQ(client.read_response().status, 400);
    EXPECT_EQ(client.read_until_close(), "");
    EXPECT_EQ(server->stats().requests, 2U);
    EXPECT_EQ(server->stats().refused, 1U);
  });
}

TEST(RawRefusals, AnswersSayWhatIsWrongInALine) {
  run([] {
    RunningServer server(http::Handler{read_body});
    const RawResponse r = fetch(server.port(), kBadHead);
    EXPECT_EQ(r.header("Content-Type"), "text/plain; charset=utf-8");
    EXPECT_EQ(r.header("X-Content-Type-Options"), "nosniff");
    EXPECT_TRUE(r.header("Date"));
    EXPECT_EQ(r.body, "bad Host\n");
  });
}

// ---- 100 Continue

std::string expecting(std::string_view framing, std::string_view version = "HTTP/1.1") {
  return "POST / " + std::string(version) + "\r\nHost: h\r\nExpect: 100-continue\r\n" +
         std::string(framing) + "\r\n\r\n";
}

TEST(RawRefusalsContinue, IsSentOnceWhenTheBodyIsFirstRead) {
  run([] {
    RunningServer server(http::Handler{[](http::Response& res, const http::Request& req) {
      std::array<std::byte, 2> two;
      std::size_t total = 0;
      for (;;) {
        auto n = req.body().read(two);
        if (!n || *n == 0) break;
        total += *n;
      }
      res.print("{} bytes", total);
    }});
    RawClient client(server.port());
    for (const auto& [framing, body] :
         {std::pair{"Content-Length: 5"sv, "hello"sv},
          std::pair{"Transfer-Encoding: chunked"sv, "5\r\nhello\r\n0\r\n\r\n"sv}}) {
      ASSERT_TRUE(client.send(expecting(framing)));
      EXPECT_EQ(client.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
      for (const char c : body) ASSERT_TRUE(client.send_split({&c, 1}, {}));
      const RawResponse r = client.read_response();
      EXPECT_EQ(r.status, 200);
      EXPECT_EQ(r.body, "5 bytes");
    }
  });
}

TEST(RawRefusalsContinue, IsNotSentWhenTheHandlerAnswersWithoutReading) {
  run([] {
    RunningServer server(http::Handler{leave_body});
    for (std::string_view framing : {"Content-Length: 5"sv, "Transfer-Encoding: chunked"sv}) {
      RawClient client(server.port());
      ASSERT_TRUE(client.send(expecting(framing)));
      const RawResponse r = client.read_response();
      EXPECT_EQ(r.status, 200);
      EXPECT_EQ(r.header("Connection"), "close");
      EXPECT_EQ(client.read_until_close(), "");
    }
  });
}

TEST(RawRefusalsContinue, IsNotSentBehindTheFinalStatus) {
  run([] {
    RunningServer server(http::Handler{[](http::Response& res, const http::Request& req) {
      res.print("first");
      res.flush();
      auto body = req.body().read_all();
      res.print(" then {}", body ? body->size() : 0);
    }});
    RawClient client(server.port());
    ASSERT_TRUE(client.send(expecting("Content-Length: 5")));
    std::string got = client.read_until("first\r\n");
    ASSERT_TRUE(client.send("hello"));
    got += client.read_until_gone();
    EXPECT_EQ(got.find("100 Continue"), std::string::npos) << got;
    EXPECT_TRUE(got.ends_with(" then 5\r\n0\r\n\r\n")) << got;
  });
}

TEST(RawRefusalsContinue, IsNotSentWhereItHasNoUse) {
  run([] {
    RunningServer server(http::Handler{read_body});
    for (const std::string& bytes :
         {expecting("Content-Length: 5") + "hello", expecting("Content-Length: 0"),
          expecting("Content-Length: 5", "HTTP/1.0") + "hello", expecting("X: y"),
          expecting("Content-Length: 99999999"), expecting("Content-Length: x"),
          expecting("Expect: y")}) {
      RawClient client(server.port());
      ASSERT_TRUE(client.send(bytes));
      EXPECT_GE(client.read_response().status, 200) << shown(bytes);
    }
  });
}

TEST(RawRefusalsContinue, Http10NeverGetsAnInterimAnswer) {
  run([] {
    RunningServer server(http::Handler{read_body});
    RawClient client(server.port());
    ASSERT_TRUE(client.send(expecting("Content-Length: 5", "HTTP/1.0")));
    EXPECT_TRUE(client.silent_for(50ms));
    ASSERT_TRUE(client.send("hello"));
    EXPECT_EQ(client.read_response().body, "5 bytes");
  });
}

}  // namespace
}  // namespace treadle::test
