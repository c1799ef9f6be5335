// The end of a server: graceful, under load, and when time runs out.
#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include <treadle/net/tcp.h>

#include "http_fixture.h"

namespace treadle::test {
namespace {

void say_ok(http::Response& res, const http::Request&) { res.print("ok"); }

TEST(Shutdown, WithoutConnectionsReturnsAtOnce) {
  run([] {
    RunningServer server(http::Handler{say_ok});
    EXPECT_TRUE(server->shutdown());
    EXPECT_TRUE(server.join());
    EXPECT_TRUE(server->shutdown());
  });
}

TEST(Shutdown, BeforeServeLeavesNothingToServe) {
  run([] {
    http::Server server({.address = "127.0.0.1:0"}, http::Handler{say_ok});
    ASSERT_TRUE(server.listen());
    EXPECT_TRUE(server.shutdown());
    EXPECT_TRUE(server.serve());
  });
}

TEST(Shutdown, RequestInFlightIsFinishedAndItsConnectionClosed) {
  run([] {
    Event started;
    Event go_on;
    RunningServer server(http::Handler{[&](http::Response& res, const http::Request&) {
      started.set();
      go_on.wait();
      res.print("finished");
    }});
    RawClient client(server.port());
    ASSERT_TRUE(client.send(get("/")));
    started.wait();
    WaitGroup ending;
    ending.add(1);
    Result<void> ended;
    treadle::go([&] {
      ended = server->shutdown();
      ending.done();
    });
    EXPECT_TRUE(server.join());  // the listener is closed, the request still runs
    go_on.set();
    RawResponse r = client.read_response();
    EXPECT_EQ(r.body, "finished");
    EXPECT_EQ(r.header("Connection"), "close");
    client.close();
    ending.wait();
    EXPECT_TRUE(ended);
  });
}

TEST(Shutdown, IdleConnectionMayStillAskOnce) {
  run([] {
    RunningServer server(http::Handler{say_ok}, {.drain_idle = 20s});
    RawClient client(server.port());
    EXPECT_EQ(client.roundtrip(get("/")).status, 200);
    WaitGroup ending;
    ending.add(1);
    treadle::go([&] {
      EXPECT_TRUE(server->shutdown());
      ending.done();
    });
    EXPECT_TRUE(server.join());
    RawResponse r = client.roundtrip(get("/"));
    EXPECT_EQ(r.body, "ok");
    EXPECT_EQ(r.header("Connection"), "close");
    EXPECT_TRUE(client.closed_by_peer());
    client.close();
    ending.wait();
  });
}

TEST(Shutdown, IdleConnectionsAreClosed) {
  run([] {
    RunningServer server(http::Handler{say_ok}, {.drain_idle = 10ms});
    RawClient used(server.port());
    EXPECT_EQ(used.roundtrip(get("/")).status, 200);
    RawClient fresh(server.port());
    EXPECT_TRUE(server->shutdown());
    EXPECT_TRUE(used.closed_by_peer());
    EXPECT_TRUE(fresh.closed_by_peer());
  });
}

TEST(Shutdown, ConnectionsInTheBacklogAreServed) {
  run([] {
    std::atomic<int> asked{0};
    Event accepting;
    http::Server server({.address = "127.0.0.1:0", .drain_idle = 20s},
                        http::Handler{[&](http::Response& res, const http::Request&) {
                          if (asked.fetch_add(1) == 0) accepting.set();
                          res.print("ok");
                        }});
    ASSERT_TRUE(server.listen());
    std::vector<RawClient> clients;
    for (int i = 0; i < 20; ++i) {
      clients.emplace_back(server.address().port());
      ASSERT_TRUE(clients.back().send(get("/", "Connection: close\r\n")));
    }
    WaitGroup ending;
    ending.add(2);
    treadle::go([&] {
      EXPECT_TRUE(server.serve());
      ending.done();
    });
    treadle::go([&] {
      accepting.wait();
      EXPECT_TRUE(server.shutdown());
      ending.done();
    });
    for (RawClient& c : clients) EXPECT_EQ(c.read_response().body, "ok");
    ending.wait();
  });
}

TEST(Shutdown, UnderLoadLosesNoRequest) {
  run([] {
    http::ServerOptions options;
    options.drain_idle = 2s;
    RunningServer server(http::Handler{say_ok}, options);
    const std::string address = "127.0.0.1:" + std::to_string(server.port());
    std::atomic<int> answered{0};
    std::atomic<int> lost{0};
    WaitGroup clients;
    Event warm;
    std::atomic<int> running{0};
    constexpr int kClients = 16;
    // Each asks again and again on one connection until it is told that the connection ends.
    for (int i = 0; i < kClients; ++i) {
      clients.add(1);
      treadle::go([&] {
        auto conn = net::dial_tcp(address);
        std::string got;
        std::array<std::byte, 4096> buffer;
        for (int n = 0; conn; ++n) {
          if (n == 20 && running.fetch_add(1) + 1 == kClients) warm.set();
          if (!(*conn)->write_all(get("/"))) {
            ++lost;
            break;
          }
          got.clear();
          while (got.find("\r\n\r\nok") == std::string::npos) {
            auto read = (*conn)->read(buffer);
            if (!read || *read == 0) break;
            got.append(reinterpret_cast<const char*>(buffer.data()), *read);
          }
          if (!got.ends_with("\r\n\r\nok")) {
            ++lost;
            break;
          }
          ++answered;
          if (got.find("Connection: close\r\n") != std::string::npos) break;
        }
        clients.done();
      });
    }
    warm.wait();
    EXPECT_TRUE(server->shutdown());
    clients.wait();
    EXPECT_EQ(lost.load(), 0);
    EXPECT_GE(answered.load(), kClients * 20);
    EXPECT_EQ(server->stats().requests, static_cast<std::uint64_t>(answered.load()));
    EXPECT_EQ(server->stats().cut, 0U);
  });
}

TEST(Shutdown, OutOfTimeCutsWhatIsLeft) {
  run([] {
    Event started;
    RunningServer server(http::Handler{[&](http::Response&, const http::Request& req) {
      started.set();
      req.context().wait();
    }});
    RawClient client(server.port());
    ASSERT_TRUE(client.send(get("/")));
    started.wait();
    auto [ctx, cancel] = with_cancel(background());
    cancel();
    EXPECT_EQ(server->shutdown(ctx).error(), make_error_code(Errc::canceled));
    EXPECT_EQ(client.read_until_gone(), "");
    EXPECT_TRUE(server.join());
  });
}

TEST(Shutdown, CloseCutsEverythingAtOnce) {
  run([] {
    Event started;
    RunningServer server(http::Handler{[&](http::Response&, const http::Request& req) {
      started.set();
      req.context().wait();
    }});
    RawClient busy(server.port());
    ASSERT_TRUE(busy.send(get("/")));
    started.wait();
    RawClient idle(server.port());
    server->close();
    server->close();
    EXPECT_EQ(busy.read_until_gone(), "");
    EXPECT_EQ(idle.read_until_gone(), "");
    EXPECT_TRUE(server.join());
  });
}

TEST(Shutdown, ServerMayDieWhileACutHandlerRuns) {
  run([] {
    auto started = std::make_shared<Event>();
    auto go_on = std::make_shared<Event>();
    auto ended = std::make_shared<Event>();
    std::unique_ptr<RawClient> client;
    {
      RunningServer server(http::Handler{[=](http::Response& res, const http::Request&) {
        started->set();
        go_on->wait();
        EXPECT_TRUE(res.write("nobody hears") || res.error());
        ended->set();
      }});
      client = std::make_unique<RawClient>(server.port());
      ASSERT_TRUE(client->send(get("/")));
      started->wait();
      server->close();
    }
    go_on->set();
    ended->wait();
  });
}

}  // namespace
}  // namespace treadle::test
