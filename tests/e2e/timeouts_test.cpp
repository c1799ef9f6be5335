// Limits of time and size: what a client may not do.
#include <algorithm>
#include <cstdlib>
#include <string>

#include "http_fixture.h"

namespace treadle::test {
namespace {

void greet(http::Response& res, const http::Request&) { res.print("ok"); }

TEST(Timeouts, HeadThatDripsInIsAnsweredWith408) {
  run([] {
    RunningServer server(http::Handler{greet}, {.header_timeout = 100ms});
    RawClient client(server.port());
    ASSERT_TRUE(client.send("GET / HTTP/1.1\r\nHost: a\r\nX-Slow: "));
    RawResponse r = client.read_response();
    EXPECT_EQ(r.status, 408);
    EXPECT_EQ(r.header("Connection"), "close");
    EXPECT_TRUE(client.closed_by_peer());
    EXPECT_FALSE(client.was_reset());
  });
}

TEST(Timeouts, BytesDoNotProlongTheHead) {
  run([] {
    RunningServer server(http::Handler{greet}, {.header_timeout = 200ms});
    RawClient client(server.port());
    const std::string head = get("/", "X: " + std::string(8000, 'x') + "\r\n");
    // Byte by byte until the server has had enough; it gives up long before the head is whole.
    for (char c : head)
      if (!client.send(std::string_view(&c, 1)) || client.silent_for(1ms) == false) break;
    EXPECT_EQ(client.read_response().status, 408);
  });
}

TEST(Timeouts, SilentFirstRequestIsClosedWithoutAWord) {
  run([] {
    RunningServer server(http::Handler{greet}, {.header_timeout = 50ms});
    RawClient client(server.port());
    EXPECT_EQ(client.read_until_close(), "");
  });
}

TEST(Timeouts, IdleConnectionIsClosedWithoutAWord) {
  run([] {
    RunningServer server(http::Handler{greet}, {.idle_timeout = 50ms});
    RawClient client(server.port());
    EXPECT_EQ(client.roundtrip(get("/")).status, 200);
    EXPECT_EQ(client.read_until_close(), "");
  });
}

TEST(Timeouts, SecondHeadHasItsOwnTime) {
  run([] {
    RunningServer server(http::Handler{greet}, {.header_timeout = 100ms, .idle_timeout = 20s});
    RawClient client(server.port());
    EXPECT_EQ(client.roundtrip(get("/")).status, 200);
    ASSERT_TRUE(client.send("GET / HT"));
    EXPECT_EQ(client.read_response().status, 408);
  });
}

TEST(Timeouts, BodyThatStopsIsAnsweredWith408) {
  run([] {
    RunningServer server(http::Handler{[](http::Response& res, const http::Request& req) {
                           auto body = req.body().read_all();
                           EXPECT_EQ(body.error(), make_error_code(Errc::timed_out));
                           (void)res;
                         }},
                         {.read_timeout = 100ms});
    RawClient client(server.port());
    ASSERT_TRUE(client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n123"));
    EXPECT_EQ(client.read_response().status, 408);
    EXPECT_TRUE(client.closed_by_peer());
  });
}

TEST(Timeouts, ReaderThatStopsIsCut) {
  run([] {
    std::error_code error;
    Event started;
    RunningServer server(http::Handler{[&](http::Response& res, const http::Request&) {
                           started.set();
                           const std::string block(1 << 20, 'x');
                           while (res.write(block)) {
                           }
                           error = res.error();
                         }},
                         {.write_timeout = 100ms});
    RawClient client(server.port(), {.receive_buffer = 4096});
    ASSERT_TRUE(client.send(get("/")));
    started.wait();
    // Reads nothing until the server has given up.
    EXPECT_TRUE(server->shutdown());
    EXPECT_EQ(error, make_error_code(Errc::timed_out));
    EXPECT_EQ(server->stats().cut, 1U);
  });
}

TEST(Timeouts, ReaderThatStopsIsCutOneTimeoutAfterTheLastByte) {
  run([] {
    TimePoint last;
    Duration took{};
    Event started;
    RunningServer server(http::Handler{[&](http::Response& res, const http::Request&) {
                           started.set();
                           // As much as the kernel takes at once, then a write that stalls.
                           last = Clock::now();
                           EXPECT_FALSE(res.write(std::string(64 << 20, 'x')));
                           took = Clock::now() - last;
                         }},
                         {.write_timeout = 1s});
    RawClient client(server.port(), {.receive_buffer = 4096});
    ASSERT_TRUE(client.send(get("/")));
    started.wait();
    EXPECT_TRUE(server->shutdown());
    EXPECT_GE(took, 990ms);
    EXPECT_LT(took, 1800ms);
  });
}

TEST(Timeouts, RequestLineOverItsLimitIs414) {
  run([] {
    RunningServer server(http::Handler{greet}, {.limits = {.request_line = 1000, .head = 2000}});
    EXPECT_EQ(fetch(server.port(), get("/" + std::string(1000 - 14, 'a'))).status, 200);
    RawClient client(server.port());
    RawResponse r = client.roundtrip(get("/" + std::string(1000 - 13, 'a')));
    EXPECT_EQ(r.status, 414);
    EXPECT_EQ(r.header("Connection"), "close");
    EXPECT_TRUE(client.closed_by_peer());
  });
}

TEST(Timeouts, HeadOverItsLimitIs431) {
  run([] {
    RunningServer server(http::Handler{greet}, {.limits = {.headers = 10}});
    EXPECT_EQ(fetch(server.port(), get("/", "X: " + std::string(32'000, 'a') + "\r\n")).status,
              200);
    EXPECT_EQ(fetch(server.port(), get("/", "X: " + std::string(33'000, 'a') + "\r\n")).status,
              431);
    // Far beyond: the answer is read although the request was still on its way.
    EXPECT_EQ(fetch(server.port(), get("/", "X: " + std::string(150'000, 'a') + "\r\n")).status,
              431);
    std::string ten;
    for (int i = 0; i < 9; ++i) ten += "X: y\r\n";
    EXPECT_EQ(fetch(server.port(), get("/", ten)).status, 200);
    EXPECT_EQ(fetch(server.port(), get("/", ten + "X: y\r\n")).status, 431);
  });
}

TEST(Timeouts, RefusalsAreAnsweredOnceAndClosed) {
  run([] {
    RunningServer server(http::Handler{greet});
    struct Case {
      std::string request;
      int status;
    };
    for (const Case& c : {
             Case{"GET / HTTP/1.1\r\n\r\n", 400},
             Case{"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505},
             Case{"BREW / HTTP/1.1\r\nHost: a\r\n\r\n", 501},
             Case{"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400},
             Case{"GET /\r\n\r\n", 400},
             Case{get("/", "Bad Name: x\r\n"), 400},
             Case{get("/", "Expect: miracles\r\n"), 417},
         }) {
      RawClient client(server.port());
      // A second request behind it must never be looked at.
      ASSERT_TRUE(client.send(c.request + get("/")));
      RawResponse r = client.read_response();
      EXPECT_EQ(r.status, c.status) << c.request;
      EXPECT_EQ(r.header("Connection"), "close");
      EXPECT_EQ(client.read_until_close(), "") << c.request;
    }
    EXPECT_EQ(server->stats().requests, 0U);
  });
}

TEST(Timeouts, OptionsOutOfRangePanic) {
  EXPECT_THROW(http::Server({.idle_timeout = -1s}, http::Handler{greet}), Panic);
  EXPECT_THROW(http::Server({.limits = {.head = 0}}, http::Handler{greet}), Panic);
  EXPECT_THROW(http::Server({}, http::Handler{}), Panic);
}

// The default port may be taken, by another run of these tests if by nobody else.
constexpr const char* kAnyPort = "127.0.0.1:0";

TEST(Timeouts, ListenAndServeSaysWhichOptionIsWrong) {
  testing::internal::CaptureStderr();
  run([] {
    EXPECT_EQ(
        http::listen_and_serve({.address = kAnyPort, .idle_timeout = -1s}, http::Handler{greet}),
        1);
    EXPECT_EQ(http::listen_and_serve({.address = kAnyPort, .limits = {.head = 4096}},
                                     http::Handler{greet}),
              1);
  });
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_NE(log.find("a timeout is negative"), std::string::npos) << log;
  EXPECT_NE(log.find("limits.request_line exceeds limits.head"), std::string::npos) << log;
  EXPECT_EQ(std::ranges::count(log, '\n'), 2) << log;
}

void exit_with_served(const char* maxprocs, const http::ServerOptions& options) {
  ::setenv("TREADLE_MAXPROCS", maxprocs, 1);
  std::exit(http::listen_and_serve(options, http::Handler{greet}));
}

TEST(TimeoutsDeathTest, ListenAndServeOfAMainThatCannotBeginExitsWithOne) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const testing::ExitedWithCode one(1);
  EXPECT_EXIT(exit_with_served("four", {.address = kAnyPort}), one,
              "error.*TREADLE_MAXPROCS=four: must be a number");
  EXPECT_EXIT(exit_with_served("2", {.address = kAnyPort, .procs = 2000}), one,
              "error.*max_procs = 2000");
  EXPECT_EXIT(exit_with_served("2", {.address = kAnyPort, .limits = {.head = 4096}}), one,
              "error.*limits.request_line");
}

}  // namespace
}  // namespace treadle::test
