// How many connections there may be, how many requests on one, and how slow a peer may be.
#include <treadle/timer.h>

#include <optional>
#include <string>
#include <vector>

#include "http_fixture.h"

namespace treadle::test {
namespace {

using http::Request;
using http::Response;

void ok(Response& res, const Request&) { res.print("ok"); }

TEST(ConnectionLimits, LongestIdleMakesRoom) {
  run([] {
    RunningServer server(http::Handler{ok}, {.max_connections = 3});
    std::vector<RawClient> clients;
    for (int i = 0; i < 3; ++i) {
      clients.emplace_back(server.port());
      ASSERT_EQ(clients.back().roundtrip(get("/")).body, "ok");
      ASSERT_TRUE(treadle::sleep(10ms));  // the clock of idle times is a coarse one
    }
    ASSERT_EQ(clients[0].roundtrip(get("/")).body, "ok");  // now the second is idle for longest
    RawClient newcomer(server.port());
    EXPECT_EQ(newcomer.roundtrip(get("/")).body, "ok");
    EXPECT_EQ(clients[1].read_until_gone(), "");
    EXPECT_EQ(clients[0].roundtrip(get("/")).body, "ok");
    EXPECT_EQ(clients[2].roundtrip(get("/")).body, "ok");
    EXPECT_EQ(server->stats().shed, 1U);
  });
}

TEST(ConnectionLimits, BusyConnectionsAreNotClosedAndNewOnesWait) {
  run([] {
    Event release;
    RunningServer server(http::Handler{[&](Response& res, const Request& req) {
                           if (req.path() == "/wait") release.wait();
                           res.print("ok");
                         }},
                         {.max_connections = 2});
    RawClient a(server.port());
    RawClient b(server.port());
    ASSERT_TRUE(a.send(get("/wait")));
    ASSERT_TRUE(b.send(get("/wait")));
    while (server->stats().requests < 2) gosched();
    RawClient c(server.port());
    ASSERT_TRUE(c.send(get("/")));
    EXPECT_TRUE(c.silent_for(200ms));
    release.set();
    // Whoever is done first makes room at once, and says so in its head; the other may stay.
    const RawResponse of_a = a.read_response();
    const RawResponse of_b = b.read_response();
    EXPECT_EQ(of_a.status, 200);
    EXPECT_EQ(of_b.status, 200);
    EXPECT_TRUE(of_a.header("Connection") == "close" || of_b.header("Connection") == "close");
    EXPECT_EQ(c.read_response().body, "ok");
  });
}

TEST(ConnectionLimits, ManyNewcomersAreServedThroughAFewPlaces) {
  run([] {
    RunningServer server(http::Handler{ok}, {.max_connections = 4});
    std::vector<RawClient> clients;
    for (int i = 0; i < 100; ++i) {
      clients.emplace_back(server.port());
      ASSERT_EQ(clients.back().roundtrip(get("/")).body, "ok") << i;
    }
    EXPECT_LE(server->stats().connections, 5U);
    // All but a few: one that becomes idle while somebody waits ends by itself.
    EXPECT_GE(server->stats().shed, 50U);
  });
}

// Who has had his last answer does not keep others out for the seconds that he may still send in.
TEST(ConnectionLimits, LingeringConnectionsMakeRoomFirst) {
  run([] {
    RunningServer server(http::Handler{ok}, {.max_connections = 2});
    RawClient idle(server.port());
    ASSERT_EQ(idle.roundtrip(get("/")).body, "ok");
    RawClient refused(server.port());
    ASSERT_EQ(refused.roundtrip("BAD\r\n\r\n").status, 400);
    ASSERT_EQ(refused.read_until_close(), "");  // from here on it lingers
    const TimePoint begin = Clock::now();
    EXPECT_EQ(fetch(server.port(), get("/")).body, "ok");
    EXPECT_LT(Clock::now() - begin, 1s);
    EXPECT_EQ(idle.roundtrip(get("/")).body, "ok");
  });
}

// Those that never said a word are idle, too.
TEST(ConnectionLimits, SilentConnectionsMakeRoom) {
  run([] {
    RunningServer server(http::Handler{ok}, {.max_connections = 2});
    RawClient a(server.port());
    RawClient b(server.port());
    while (server->stats().connections < 2) gosched();
    EXPECT_EQ(fetch(server.port(), get("/")).body, "ok");
  });
}

TEST(ConnectionLimits, ShutdownDoesNotWaitForAPlace) {
  run([] {
    Event release;
    std::optional<RunningServer> server(std::in_place,
                                        http::Handler{[&](Response& res, const Request&) {
                                          release.wait();
                                          res.print("ok");
                                        }},
                                        http::ServerOptions{.max_connections = 1});
    RawClient a(server->port());
    ASSERT_TRUE(a.send(get("/")));
    while ((*server)->stats().requests < 1) gosched();
    RawClient b(server->port());
    ASSERT_TRUE(b.send(get("/")));
    Task stop(
        [&] { EXPECT_FALSE((*server)->shutdown(with_timeout(background(), 100ms).context)); });
    stop.join();
    release.set();
    server.reset();
  });
}

TEST(ConnectionLimits, RequestsOnOneConnectionAreCounted) {
  run([] {
    RunningServer server(http::Handler{ok}, {.max_requests_per_connection = 3});
    RawClient client(server.port());
    EXPECT_FALSE(client.roundtrip(get("/")).header("Connection"));
    EXPECT_FALSE(client.roundtrip(get("/")).header("Connection"));
    EXPECT_EQ(client.roundtrip(get("/")).header("Connection"), "close");
    EXPECT_EQ(client.read_until_close(), "");
  });
}

// Bytes come all the time, one by one, and still too slowly.
TEST(ConnectionLimits, BodyBelowTheLeastRateIsRefused) {
  run([] {
    RunningServer server(http::Handler{[](Response& res, const Request& req) {
                           if (auto body = req.body().read_all()) res.print("{}", body->size());
                         }},
                         {.read_timeout = 10s, .min_rate = 1'000'000, .min_rate_after = 100ms});
    RawClient client(server.port());
    ASSERT_TRUE(client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n"));
    while (client.send("x") && client.silent_for(5ms)) {
    }
    EXPECT_EQ(client.read_response().status, 408);
  });
}

TEST(ConnectionLimits, TheHandlersOwnTimeDoesNotCountAgainstTheRate) {
  run([] {
    RunningServer server(http::Handler{[](Response& res, const Request& req) {
                           std::array<std::byte, 2> some;
                           ASSERT_TRUE(req.body().read(some));
                           (void)treadle::sleep(300ms);
                           if (auto body = req.body().read_all()) res.print("{}", body->size());
                         }},
                         {.min_rate = 1'000'000, .min_rate_after = 100ms});
    EXPECT_EQ(fetch(server.port(), post("/", std::string(100, 'x'))).body, "98");
  });
}

TEST(ConnectionLimits, HealthAndReadiness) {
  run([] {
    RunningServer server(http::Handler{[](Response& res, const Request&) { res.send_error(404); }});
    EXPECT_EQ(fetch(server.port(), get("/healthz")).body, "ok\n");
    EXPECT_EQ(fetch(server.port(), get("/readyz")).status, 200);
    EXPECT_EQ(fetch(server.port(), get("/readyz/")).status, 404);
    EXPECT_EQ(fetch(server.port(), post("/readyz", "")).status, 404);
    server->set_ready(false);
    const RawResponse r = fetch(server.port(), get("/readyz"));
    EXPECT_EQ(r.status, 503);
    EXPECT_EQ(r.header("Cache-Control"), "no-store");
    EXPECT_EQ(fetch(server.port(), get("/healthz")).status, 200);
    server->set_ready(true);
    EXPECT_EQ(fetch(server.port(), head("/readyz"), RawClient::Request::head).status, 200);
  });
}

TEST(ConnectionLimits, HealthCanBeTheHandlersOwn) {
  run([] {
    RunningServer server(http::Handler{[](Response& res, const Request&) { res.print("mine"); }},
                         {.health = false});
    EXPECT_EQ(fetch(server.port(), get("/healthz")).body, "mine");
  });
}

TEST(ConnectionLimits, ReloadCountsForConnectionsFromThenOn) {
  run([] {
    RunningServer server(http::Handler{ok});
    RawClient before(server.port());
    ASSERT_EQ(before.roundtrip(get("/")).body, "ok");
    http::ServerOptions next;
    next.max_requests_per_connection = 1;
    ASSERT_TRUE(server->reload(next));
    EXPECT_FALSE(before.roundtrip(get("/")).header("Connection"));
    EXPECT_EQ(fetch(server.port(), get("/")).header("Connection"), "close");
    next.read_timeout = -1s;
    next.max_requests_per_connection = 0;
    EXPECT_FALSE(server->reload(next));
    EXPECT_EQ(fetch(server.port(), get("/")).header("Connection"), "close");
  });
}

}  // namespace
}  // namespace treadle::test
