// A handler that takes longer than it may.
#include <treadle/http/deadline.h>
#include <treadle/timer.h>

#include <atomic>
#include <string>
#include <vector>

#include "http_fixture.h"

namespace treadle::test {
namespace {

using http::Request;
using http::Response;

TEST(RequestDeadline, WaitingHandlerIsEndedAndItsRequestAnsweredWith503) {
  run([] {
    Event ended;
    std::error_code slept;
    std::error_code wrote;
    RunningServer server(http::Handler{[&](Response& res, const Request&) {
                           slept = treadle::sleep(100s).error();
                           wrote = res.write("too late").error();
                           EXPECT_EQ(res.error(), make_error_code(Errc::timed_out));
                           ended.set();
                         }},
                         {.handler_timeout = 50ms});
    RawClient client(server.port());
    const RawResponse r = client.roundtrip(get("/"));
    EXPECT_EQ(r.status, 503);
    EXPECT_EQ(r.header("Connection"), "close");
    EXPECT_EQ(r.body, "Service Unavailable\n");
    ended.wait();
    EXPECT_EQ(slept, make_error_code(Errc::timed_out));
    EXPECT_EQ(wrote, make_error_code(Errc::timed_out));
    EXPECT_EQ(client.read_until_close(), "");
  });
}

TEST(RequestDeadline, AnswersForAHandlerThatComputes) {
  run([] {
    std::atomic<bool> stop{false};
    Event ended;
    RunningServer server(http::Handler{[&](Response& res, const Request& req) {
                           while (!stop.load()) {
                           }
                           // Request and Response are still there.
                           EXPECT_EQ(req.path(), "/compute");
                           EXPECT_EQ(req.header("X-Mine"), "yes");
                           EXPECT_FALSE(res.write("too late"));
                           EXPECT_FALSE(res.flush());
                           ended.set();
                         }},
                         {.handler_timeout = 50ms});
    RawClient client(server.port());
    EXPECT_EQ(client.roundtrip(get("/compute", "X-Mine: yes\r\n")).status, 503);
    EXPECT_EQ(client.read_until_close(), "");
    stop.store(true);
    ended.wait();
  });
}

// What it buffered before its deadline must not come after the 503.
TEST(RequestDeadline, BufferedBodyIsDropped) {
  run([] {
    RunningServer server(http::Handler{[&](Response& res, const Request&) {
                           res.header("X-Mine", "yes").print("half of");
                           (void)treadle::sleep(100s);
                         }},
                         {.handler_timeout = 50ms});
    RawClient client(server.port());
    const RawResponse r = client.roundtrip(get("/"));
    EXPECT_EQ(r.status, 503);
    EXPECT_FALSE(r.header("X-Mine"));
    EXPECT_EQ(client.read_until_close(), "");
  });
}

TEST(RequestDeadline, HeadGetsNoBody) {
  run([] {
    RunningServer server(
        http::Handler{[&](Response&, const Request&) { (void)treadle::sleep(100s); }},
        {.handler_timeout = 50ms});
    RawClient client(server.port());
    ASSERT_TRUE(client.send(head("/")));
    const std::string all = client.read_until_close();
    EXPECT_TRUE(all.starts_with("HTTP/1.1 503 ")) << all;
    EXPECT_TRUE(all.ends_with("\r\n\r\n")) << all;
  });
}

TEST(RequestDeadline, CutsAResponseThatHasBegun) {
  run([] {
    Event ended;
    RunningServer server(http::Handler{[&](Response& res, const Request&) {
                           res.print("begun");
                           EXPECT_TRUE(res.flush());
                           EXPECT_FALSE(treadle::sleep(100s));
                           EXPECT_FALSE(res.write("more"));
                           EXPECT_EQ(res.error(), make_error_code(Errc::timed_out));
                           ended.set();
                         }},
                         {.handler_timeout = 50ms});
    RawClient client(server.port());
    ASSERT_TRUE(client.send(get("/")));
    const std::string all = client.read_until_gone();
    EXPECT_NE(all.find("begun"), std::string::npos);
    EXPECT_EQ(all.find("0\r\n\r\n"), std::string::npos);
    ended.wait();
  });
}

TEST(RequestDeadline, ReaderOfABodyIsWoken) {
  run([] {
    Event ended;
    RunningServer server(http::Handler{[&](Response&, const Request& req) {
                           EXPECT_FALSE(req.body().read_all());
                           ended.set();
                         }},
                         {.handler_timeout = 50ms});
    RawClient client(server.port());
    ASSERT_TRUE(client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n123"));
    EXPECT_EQ(client.read_response().status, 503);
    ended.wait();
  });
}

// Its answer must not be destroyed by a reset for what it still sends.
TEST(RequestDeadline, ClientThatStillSendsReadsItsAnswer) {
  run([] {
    RunningServer server(
        http::Handler{[&](Response&, const Request&) { (void)treadle::sleep(100s); }},
        {.handler_timeout = 50ms});
    RawClient client(server.port());
    ASSERT_TRUE(client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" +
                            std::string(50000, 'x')));
    EXPECT_EQ(client.read_response().status, 503);
    client.send(std::string(50000, 'x'));
    EXPECT_EQ(client.read_until_close(), "");
    EXPECT_FALSE(client.was_reset());
  });
}

TEST(RequestDeadline, NextRequestOfTheConnectionIsNotTimedOutForTheLast) {
  run([] {
    RunningServer server(http::Handler{[](Response& res, const Request&) {
                           (void)treadle::sleep(2ms);
                           res.print("ok");
                         }},
                         {.handler_timeout = 100ms});
    RawClient client(server.port());
    // Together much longer than the deadline, which is each request's own.
    for (int i = 0; i < 100; ++i) ASSERT_EQ(client.roundtrip(get("/")).status, 200) << i;
  });
}

// Handlers that end just when their deadline passes: one answer each, whole, and the right one.
TEST(RequestDeadline, RaceOfAnswerAndDeadlineGivesOneAnswer) {
  run([] {
    RunningServer server(http::Handler{[](Response& res, const Request& req) {
                           const auto us = std::stol(std::string(req.query("us").value_or("0")));
                           const Context free = without_cancel(req.context());
                           const ContextScope scope(free);
                           (void)treadle::sleep(std::chrono::microseconds(us));
                           res.print("{}", us);
                         }},
                         {.handler_timeout = 3ms});
    int late = 0;
    int in_time = 0;
    for (int i = 0; i < 400; ++i) {
      const int us = 1500 + i * 10;
      RawClient client(server.port());
      ASSERT_TRUE(client.send(get("/?us=" + std::to_string(us), "Connection: close\r\n")));
      const RawResponse r = client.read_response();
      if (r.status == 503) {
        ++late;
      } else {
        ASSERT_EQ(r.status, 200);
        ASSERT_EQ(r.body, std::to_string(us));
        ++in_time;
      }
      ASSERT_EQ(client.read_until_close(), "");
    }
    EXPECT_GT(late, 0);
    EXPECT_GT(in_time, 0);
  });
}

TEST(RequestDeadline, ScopeGivesOneRequestMoreTime) {
  run([] {
    RunningServer server(http::Handler{[](Response& res, const Request& req) {
                           const http::DeadlineScope more(req, 100s);
                           EXPECT_GT(req.context().deadline().remaining(), 50s);
                           EXPECT_TRUE(treadle::sleep(150ms));
                           res.print("done");
                         }},
                         {.handler_timeout = 50ms});
    EXPECT_EQ(fetch(server.port(), get("/")).body, "done");
  });
}

TEST(RequestDeadline, ScopeGivesOneRequestLessTime) {
  run([] {
    RunningServer server(http::Handler{[](Response&, const Request& req) {
      const http::DeadlineScope less(req, 30ms);
      EXPECT_EQ(treadle::sleep(100s).error(), make_error_code(Errc::timed_out));
    }});
    EXPECT_EQ(fetch(server.port(), get("/")).status, 503);
  });
}

TEST(RequestDeadline, ScopesNestAndGiveBackWhatWasBefore) {
  run([] {
    RunningServer server(http::Handler{[](Response& res, const Request& req) {
                           const Deadline outer = req.context().deadline();
                           {
                             const http::DeadlineScope a(req, 1h);
                             {
                               const http::DeadlineScope none(req, 0s);
                               EXPECT_TRUE(req.context().deadline().is_never());
                             }
                             EXPECT_GT(req.context().deadline().remaining(), 59min);
                           }
                           EXPECT_LE(req.context().deadline().remaining(), outer.remaining() + 2ms);
                           res.print("ok");
                         }},
                         {.handler_timeout = 10s});
    EXPECT_EQ(fetch(server.port(), get("/")).body, "ok");
  });
}

TEST(RequestDeadline, StreamingIsExempt) {
  run([] {
    RunningServer server(http::Handler{[](Response& res, const Request& req) {
                           res.streaming();
                           EXPECT_TRUE(req.context().deadline().is_never());
                           res.print("a");
                           EXPECT_TRUE(res.flush());
                           EXPECT_TRUE(treadle::sleep(150ms));
                           res.print("b");
                         }},
                         {.handler_timeout = 50ms});
    EXPECT_EQ(fetch(server.port(), get("/")).body, "ab");
  });
}

TEST(RequestDeadline, ManyAtOnce) {
  run([] {
    RunningServer server(
        http::Handler{[](Response&, const Request&) { (void)treadle::sleep(100s); }},
        {.handler_timeout = 50ms});
    std::vector<RawClient> clients;
    for (int i = 0; i < 100; ++i) {
      clients.emplace_back(server.port());
      ASSERT_TRUE(clients.back().send(get("/")));
    }
    for (RawClient& c : clients) EXPECT_EQ(c.read_response().status, 503);
  });
}

}  // namespace
}  // namespace treadle::test
