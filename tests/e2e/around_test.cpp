// Middleware that watches handlers: recover, request logs, timeouts, request ids; and event
// streams.
#include <gtest/gtest.h>

#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include <treadle/http/recover.h>
#include <treadle/http/request_id.h>
#include <treadle/http/request_log.h>
#include <treadle/http/sse.h>
#include <treadle/http/timeout.h>

#include "e2e/http_fixture.h"

namespace treadle::test {
namespace {

void throws(http::Response& res, const http::Request& req) {
  res.header("X-Half", "made").print("half an answer");
  if (req.path() == "/late") res.flush();
  if (req.path() == "/int") throw 7;
  throw std::runtime_error("no such luck");
}

TEST(Around, RecoverAnswersInTheHandlersPlace) {
  run([] {
    http::Router router;
    router.use(http::recover([](http::Response& res, const http::Request&, std::string_view what) {
      treadle::sleep(1ms);  // parks: what was thrown is no longer in flight
      res.print("sorry: {}", what);
    }));
    router.handle("/", throws);
    RunningServer server(router);
    RawClient client(server.port());
    RawResponse r = client.roundtrip(get("/"));
    EXPECT_EQ(r.status, 500);
    EXPECT_EQ(r.body, "sorry: no such luck");
    EXPECT_FALSE(r.header("X-Half"));
    EXPECT_EQ(client.roundtrip(get("/int")).body, "sorry: exception of unknown type");
    EXPECT_EQ(server->stats().cut, 0U);
    ASSERT_TRUE(client.send(get("/late")));
    const std::string got = client.read_until_gone();
    EXPECT_TRUE(got.ends_with("half an answer\r\n")) << got;
    EXPECT_EQ(server->stats().cut, 1U);
  });
}

TEST(Around, RecoverAnswers500OnItsOwn) {
  run([] {
    RunningServer server(http::recover()(throws));
    RawResponse r = fetch(server.port(), get("/"));
    EXPECT_EQ(r.status, 500);
    EXPECT_EQ(r.body, "Internal Server Error\n");
  });
}

TEST(Around, LogSeesWhatHandlersDid) {
  run([] {
    std::vector<std::string> lines;
    http::Router router;
    router.use(http::log_requests([&](const http::RequestRecord& r) {
      EXPECT_GE(r.took, Duration::zero());
      lines.push_back(std::string(r.request.method()) + " " + std::string(r.pattern) + " " +
                      std::to_string(r.status) + " " + std::to_string(r.bytes) +
                      (r.failed ? " failed" : ""));
    }));
    router.handle("GET /notes/{id}", [](http::Response& res, const http::Request&) {
      res.status(203).print("12345");
    });
    router.handle("GET /bad", throws);
    RunningServer server(router);
    RawClient client(server.port());
    EXPECT_EQ(client.roundtrip(get("/notes/1")).status, 203);
    EXPECT_EQ(client.roundtrip(get("/bad")).status, 500);
    EXPECT_EQ(client.roundtrip(get("/nowhere")).status, 404);
    EXPECT_EQ(lines, (std::vector<std::string>{"GET GET /notes/{id} 203 5",
                                               "GET GET /bad 500 14 failed", "GET  404 10"}));
  });
}

TEST(Around, TimeoutEndsTheRequestsContextAndAnswers503) {
  run([] {
    http::Router router;
    http::RouteGroup group = router.group();
    group.use(http::timeout(5ms));
    group.handle("/silent", [](http::Response&, const http::Request& req) {
      EXPECT_EQ(treadle::sleep(1h).error(), make_error_code(Errc::timed_out));
      EXPECT_TRUE(req.context().done());
    });
    group.handle("/fast", [](http::Response& res, const http::Request&) { res.print("fast"); });
    RunningServer server(router, {.handler_timeout = 0ns});
    RawClient client(server.port());
    EXPECT_EQ(client.roundtrip(get("/fast")).body, "fast");
    EXPECT_EQ(client.roundtrip(get("/silent")).status, 503);
  });
  EXPECT_THROW(http::timeout(0ns), Panic);
}

TEST(Around, RequestIdsAreNewAndShown) {
  run([] {
    http::Router router;
    router.use(http::request_id());
    router.handle("/",
                  [](http::Response& res, const http::Request& req) { res.print("{}", req.id()); });
    RunningServer server(router);
    RawClient client(server.port());
    std::set<std::string> ids;
    for (int i = 0; i < 100; ++i) {
      // Nobody's word is taken for it.
      RawResponse r = client.roundtrip(get("/", "X-Request-Id: mine\r\n"));
      EXPECT_EQ(r.body.size(), 32U);
      EXPECT_EQ(r.body.find_first_not_of("0123456789abcdef"), std::string::npos);
      EXPECT_EQ(r.header("X-Request-Id"), r.body);
      ids.insert(r.body);
    }
    EXPECT_EQ(ids.size(), 100U);
  });
}

TEST(Around, RequestIdsOfTrustedClientsAreTakenOver) {
  run([] {
    http::RequestIdOptions options{.header = "Trace-Id", .trusted = [](const http::Request& req) {
                                     return req.header("Via") == "us";
                                   }};
    RunningServer server(http::request_id(options)(
        [](http::Response& res, const http::Request& req) { res.send_error(404, req.id()); }));
    RawClient client(server.port());
    const std::string longest(128, 'x');
    for (const std::string& id : {std::string("a.B_9-"), longest}) {
      RawResponse r = client.roundtrip(get("/", "Via: us\r\nTrace-Id: " + id + "\r\n"));
      EXPECT_EQ(r.body, id + "\n");
      EXPECT_EQ(r.header("Trace-Id"), id);
      r = client.roundtrip(get("/", "Via: them\r\nTrace-Id: " + id + "\r\n"));
      EXPECT_EQ(r.body.size(), 33U);
    }
    for (const std::string& id :
         {std::string("a b"), std::string("a/b"), longest + "x", std::string()})
      EXPECT_EQ(client.roundtrip(get("/", "Via: us\r\nTrace-Id: " + id + "\r\n")).body.size(), 33U);
  });
  EXPECT_THROW(http::request_id({.header = "a b"}), Panic);
}

TEST(Around, EventsArriveOneByOne) {
  run([] {
    Event go_on;
    RunningServer server(http::Handler{[&](http::Response& res, const http::Request& req) {
      http::EventStream events(res, req);
      EXPECT_TRUE(events.open());
      EXPECT_TRUE(events.send({.data = "one\ntwo", .event = "tick", .id = "8"}));
      go_on.wait();
      EXPECT_TRUE(events.heartbeat());
      EXPECT_TRUE(events.send(http::last_event_id(req)));
      EXPECT_THROW(events.send({.event = "a\nb"}), Panic);
      EXPECT_TRUE(events.open());
    }});
    RawClient client(server.port());
    ASSERT_TRUE(client.send(get("/", "Last-Event-ID: 7\r\n")));
    const std::string head = client.read_until("\r\n\r\n");
    EXPECT_NE(head.find("Content-Type: text/event-stream\r\n"), std::string::npos);
    EXPECT_NE(head.find("Cache-Control: no-cache\r\n"), std::string::npos);
    EXPECT_NE(head.find("X-Accel-Buffering: no\r\n"), std::string::npos);
    client.read_until("event: tick\nid: 8\ndata: one\ndata: two\n\n\r\n");
    go_on.set();
    client.read_until(": \n\n\r\n");
    client.read_until("data: 7\n\n\r\n");
    client.read_until("0\r\n\r\n");
  });
}

TEST(Around, EventStreamsEndWhenTheClientGoes) {
  run([] {
    Event over;
    RunningServer server(http::Handler{[&](http::Response& res, const http::Request& req) {
      http::EventStream events(res, req);
      while (events.open()) {
        (void)events.send("again");
        treadle::gosched();
      }
      EXPECT_TRUE(events.error());
      EXPECT_EQ(events.send("more").error(), events.error());
      over.set();
    }});
    RawClient client(server.port());
    ASSERT_TRUE(client.send(get("/")));
    client.read_until("data: again\n\n");
    client.close();
    over.wait();
  });
}

TEST(Around, EventStreamsToHeadsHaveNoEvents) {
  run([] {
    RunningServer server(http::Handler{[&](http::Response& res, const http::Request& req) {
      http::EventStream events(res, req);
      (void)events.send("unseen");  // fails where the client, which has its answer, has gone
    }});
    RawClient client(server.port());
    RawResponse r = client.roundtrip(head("/"), RawClient::Request::head);
    EXPECT_EQ(r.header("Content-Type"), "text/event-stream");
    EXPECT_EQ(client.roundtrip(head("/"), RawClient::Request::head).status, 200);
  });
}

}  // namespace
}  // namespace treadle::test
