// Pipelined requests: answers may leave together, and none waits for a later handler.
#include <treadle/blocking.h>
#include <treadle/net/file.h>
#include <treadle/net/tls_conn.h>

#include <array>
#include <atomic>
#include <functional>
#include <semaphore>
#include <stdexcept>
#include <string>
#include <vector>

#include "http_fixture.h"
#include "support/temporary_tree.h"
#include "support/tls_fixture.h"

namespace treadle::test {
namespace {

using http::Request;
using http::Response;

// Handlers that do not end before they are told to, each in another way.
class Slow {
 public:
  enum class Kind { parks, blocks_with_a_hint, blocks_for_long, blocks_without_a_hint, computes };
  static constexpr Kind kAll[] = {Kind::parks, Kind::blocks_with_a_hint, Kind::blocks_for_long,
                                  Kind::blocks_without_a_hint, Kind::computes};

  explicit Slow(Kind kind) : kind_(kind) {}
  ~Slow() { release(); }

  void wait() {
    switch (kind_) {
      case Kind::parks: return parked_.wait();
      case Kind::blocks_with_a_hint: return treadle::blocking([&] { blocked_.acquire(); });
      case Kind::blocks_for_long: return treadle::blocking_long([&] { blocked_.acquire(); });
      case Kind::blocks_without_a_hint: return blocked_.acquire();
      case Kind::computes:
        while (!stop_.load()) {
        }
    }
  }
  void release() {
    if (stop_.exchange(true)) return;
    parked_.set();
    blocked_.release();
  }
  bool held() const { return !stop_.load(); }

 private:
  const Kind kind_;
  Event parked_;
  std::binary_semaphore blocked_{0};
  std::atomic<bool> stop_{false};
};

http::Handler quick_and(std::function<void(Response&, const Request&)> slow) {
  return [slow](Response& res, const Request& req) {
    if (req.path().starts_with("/quick")) {
      res.print("{}", req.target());
      return;
    }
    slow(res, req);
  };
}

std::string quick(int i) { return get("/quick/" + std::to_string(i)); }

void expect_quick(RawClient& client, int from, int to) {
  for (int i = from; i < to; ++i)
    EXPECT_EQ(client.read_response().body, "/quick/" + std::to_string(i));
}

TEST(Pipelining, SlowHandlerDoesNotHoldEarlierAnswersBack) {
  run([] {
    for (const Slow::Kind kind : Slow::kAll) {
      Slow slow(kind);
      RunningServer server(quick_and([&](Response& res, const Request&) {
        slow.wait();
        res.print("slow");
      }));
      RawClient client(server.port());
      ASSERT_TRUE(client.send(quick(0) + quick(1) + quick(2) + get("/slow") + quick(3)));
      expect_quick(client, 0, 3);
      EXPECT_TRUE(slow.held());
      slow.release();
      EXPECT_EQ(client.read_response().body, "slow");
      expect_quick(client, 3, 4);
    }
  });
}

// The answers held before it have gone; those held after it must go as well.
TEST(Pipelining, EverySlowHandlerLetsTheAnswersBeforeItGo) {
  run([] {
    for (const Slow::Kind kind : Slow::kAll) {
      Slow first(kind);
      Slow second(kind);
      RunningServer server(quick_and([&](Response& res, const Request& req) {
        (req.path() == "/first" ? first : second).wait();
        res.print("{}", req.path());
      }));
      RawClient client(server.port());
      ASSERT_TRUE(client.send(quick(0) + get("/first") + quick(1) + get("/second") + quick(2)));
      expect_quick(client, 0, 1);
      EXPECT_TRUE(first.held());
      first.release();
      EXPECT_EQ(client.read_response().body, "/first");
      expect_quick(client, 1, 2);
      EXPECT_TRUE(second.held());
      second.release();
      EXPECT_EQ(client.read_response().body, "/second");
      expect_quick(client, 2, 3);
    }
  });
}

TEST(Pipelining, ManyConnectionsWithSlowHandlersGetTheirEarlierAnswers) {
  run([] {
    Slow slow(Slow::Kind::parks);
    RunningServer server(quick_and([&](Response& res, const Request&) {
      slow.wait();
      res.print("slow");
    }));
    std::vector<RawClient> clients;
    for (int i = 0; i < 50; ++i) clients.emplace_back(server.port());
    for (RawClient& c : clients) ASSERT_TRUE(c.send(quick(0) + quick(1) + get("/slow")));
    for (RawClient& c : clients) expect_quick(c, 0, 2);
    EXPECT_TRUE(slow.held());
    slow.release();
    for (RawClient& c : clients) EXPECT_EQ(c.read_response().body, "slow");
  });
}

TEST(Pipelining, SplitAnywhereTheAnswersAreTheSame) {
  run([] {
    RunningServer server(quick_and([](Response& res, const Request& req) {
      if (req.path() == "/empty") {
        res.status(304);
      } else if (req.path() == "/chunks") {
        res.print("some");
        res.flush();
        res.print("more");
      } else {
        res.print("{};", req.body().read_all().value_or("failed"));
      }
    }));
    const std::string all = quick(0) + head("/quick/1") + get("/empty") + get("/chunks") +
                            post("/body", "abc") +
                            "GET /quick/2 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + quick(3);
    for (std::size_t at = 1; at < all.size(); at += 3) {
      RawClient client(server.port());
      ASSERT_TRUE(client.send_split(all, {at}));
      expect_quick(client, 0, 1);
      const RawResponse h = client.read_response(RawClient::Request::head);
      EXPECT_EQ(h.header("Content-Length"), "8");
      EXPECT_EQ(client.read_response().status, 304);
      EXPECT_EQ(client.read_response().body, "somemore");
      EXPECT_EQ(client.read_response().body, "abc;");
      const RawResponse old = client.read_response();
      EXPECT_EQ(old.body, "/quick/2");
      EXPECT_EQ(old.header("Connection"), "keep-alive");
      expect_quick(client, 3, 4);
    }
  });
}

// Nothing runs meanwhile that could be slow: the server itself must send before it reads.
TEST(Pipelining, AnswerLeavesBeforeMoreIsReadFromTheClient) {
  run([] {
    RunningServer server(quick_and([](Response& res, const Request& req) {
      res.print("{}", req.body().read_all().value_or("failed"));
    }));
    RawClient client(server.port());
    const std::string next = quick(1);
    ASSERT_TRUE(client.send(quick(0) + next.substr(0, 9)));
    expect_quick(client, 0, 1);
    const std::string body = post("/body", "0123456789");
    ASSERT_TRUE(client.send(next.substr(9) + body.substr(0, body.size() - 5)));
    expect_quick(client, 1, 2);
    ASSERT_TRUE(client.send(body.substr(body.size() - 5)));
    EXPECT_EQ(client.read_response().body, "0123456789");
  });
}

TEST(Pipelining, AnswerLeavesBefore100Continue) {
  run([] {
    RunningServer server(quick_and([](Response& res, const Request& req) {
      res.print("{}", req.body().read_all().value_or("failed"));
    }));
    RawClient client(server.port());
    ASSERT_TRUE(client.send(quick(0) + "POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n"
                                       "Expect: 100-continue\r\n\r\n"));
    expect_quick(client, 0, 1);
    EXPECT_EQ(client.read_response().status, 100);
    ASSERT_TRUE(client.send("abc"));
    EXPECT_EQ(client.read_response().body, "abc");
  });
}

TEST(Pipelining, AnswersLeaveBeforeTheConnectionEnds) {
  run([] {
    RunningServer server(quick_and([](Response& res, const Request& req) {
      if (req.path() == "/fails") res.content_length(100).print("less");
      if (req.path() == "/throws") throw std::runtime_error("on purpose");
      if (req.path() == "/closes") res.header("Connection", "close").print("bye");
    }));
    for (const std::string_view last : {"/fails", "/throws", "/closes", "/bad path"}) {
      RawClient client(server.port());
      ASSERT_TRUE(client.send(quick(0) + quick(1) + get(last)));
      expect_quick(client, 0, 2);
      if (last == "/throws") {
        EXPECT_EQ(client.read_response().status, 500);
      } else if (last == "/closes") {
        EXPECT_EQ(client.read_response().body, "bye");
        EXPECT_TRUE(client.closed_by_peer());
      } else if (last == "/bad path") {
        EXPECT_EQ(client.read_response().status, 400);
        EXPECT_TRUE(client.closed_by_peer());
      } else {
        EXPECT_TRUE(client.read_until_gone().ends_with("\r\n\r\nless"));
      }
    }
  });
}

TEST(Pipelining, AnswersLeaveBeforeTheConnectionIsGivenAway) {
  run([] {
    RunningServer server(quick_and([](Response& res, const Request& req) {
      const auto mine = req.path() == "/upgrade" ? res.upgrade("mine") : res.hijack();
      ASSERT_TRUE(mine);
      EXPECT_TRUE(mine->conn->write_all("mine now"));
      mine->conn->close();
    }));
    for (const std::string_view path : {"/hijack", "/upgrade"}) {
      RawClient client(server.port());
      ASSERT_TRUE(
          client.send(quick(0) + quick(1) + get(path, "Connection: Upgrade\r\nUpgrade: mine\r\n")));
      expect_quick(client, 0, 2);
      EXPECT_TRUE(client.read_until_close().ends_with("mine now"));
    }
  });
}

TEST(Pipelining, AnswersComeBeforeTheOneOfAHandlerThatIsLate) {
  run([] {
    for (const Slow::Kind kind : Slow::kAll) {
      Slow slow(kind);
      RunningServer server(quick_and([&](Response&, const Request&) { slow.wait(); }),
                           {.handler_timeout = 20ms});
      RawClient client(server.port());
      ASSERT_TRUE(client.send(quick(0) + get("/slow") + quick(1)));
      expect_quick(client, 0, 1);
      EXPECT_EQ(client.read_response().status, 503);
      slow.release();
      EXPECT_EQ(client.read_until_close(), "");
    }
  });
}

// The next request's Context may be the same object; not where it has been seen.
TEST(Pipelining, RequestWhoseContextIsKeptEndsWithItsHandler) {
  run([] {
    std::vector<Context> kept;
    std::atomic<int> called{0};
    RunningServer server(quick_and([&](Response& res, const Request& req) {
      EXPECT_FALSE(req.context().done());
      if (req.path() == "/keeps") kept.push_back(req.context());
      if (req.path() == "/calls") after_func(req.context(), [&] { ++called; });
      res.print("{}", req.path());
    }));
    RawClient client(server.port());
    ASSERT_TRUE(client.send(quick(0) + get("/keeps") + quick(1) + get("/calls") + get("/keeps") +
                            quick(2)));
    expect_quick(client, 0, 1);
    EXPECT_EQ(client.read_response().body, "/keeps");
    expect_quick(client, 1, 2);
    EXPECT_EQ(client.read_response().body, "/calls");
    EXPECT_EQ(client.read_response().body, "/keeps");
    expect_quick(client, 2, 3);
    ASSERT_EQ(kept.size(), 2U);
    for (const Context& c : kept) EXPECT_EQ(c.error(), make_error_code(Errc::canceled));
    while (called.load() == 0) sleep(1ms).value();
    EXPECT_EQ(called.load(), 1);
  });
}

TEST(Pipelining, LargeAnswersAndFilesKeepTheirPlace) {
  run([] {
    const TemporaryTree tree;
    const std::string content = pattern(100'000);
    tree.write("file", content);
    RunningServer server(quick_and([&](Response& res, const Request& req) {
      if (req.path() == "/file") {
        auto file = net::File::open(tree.path("file"));
        ASSERT_TRUE(file);
        res.content_length(content.size());
        EXPECT_TRUE(res.send_file(*file, 0, content.size()));
      } else {
        res.write(content.substr(0, 5000));
      }
    }));
    RawClient client(server.port());
    std::string all;
    for (int i = 0; i < 20; ++i) all += quick(i) + get("/file") + get("/large") + get("/large");
    ASSERT_TRUE(client.send(all));
    for (int i = 0; i < 20; ++i) {
      expect_quick(client, i, i + 1);
      ASSERT_TRUE(client.read_response().body == content);
      for (int k = 0; k < 2; ++k)
        ASSERT_TRUE(client.read_response().body == content.substr(0, 5000));
    }
  });
}

TEST(Pipelining, ClientThatDoesNotReadIsNotServedOnAndCut) {
  run([] {
    const std::string large = pattern(4000);
    RunningServer server(quick_and([&](Response& res, const Request&) { res.write(large); }),
                         {.write_timeout = 100ms});
    RawClient client(server.port(), {.receive_buffer = 4096});
    constexpr int kRequests = 20'000;
    std::string all;
    for (int i = 0; i < kRequests; ++i) all += get("/large");
    Task sender([&] { client.send(all); });  // until the server has had enough
    while (server->stats().connections > 0 || server->stats().requests == 0) sleep(1ms).value();
    sender.join();
    const http::ServerStats s = server->stats();
    EXPECT_LT(s.requests, std::uint64_t{kRequests});  // 80 MB fit in no socket
    EXPECT_GE(s.cut, 1U);
  });
}

TEST(Pipelining, ResetInTheMiddleEndsTheHandlerAndTheConnection) {
  run([] {
    Event entered;
    std::error_code why;
    std::error_code wrote;
    RunningServer server(quick_and([&](Response& res, const Request& req) {
      entered.set();
      EXPECT_FALSE(treadle::sleep(100s));
      why = req.context().error();
      (void)res.print("too late");
      wrote = res.flush().error();
    }));
    RawClient client(server.port());
    ASSERT_TRUE(client.send(quick(0) + quick(1) + get("/slow") + quick(2)));
    entered.wait();
    client.reset();
    while (server->stats().connections > 0) sleep(1ms).value();
    EXPECT_TRUE(why);
    EXPECT_TRUE(wrote);
    EXPECT_EQ(server->stats().requests, 3U);
  });
}

TEST(Pipelining, ShutdownLetsWhatWasAskedForBeAnswered) {
  run([] {
    Slow slow(Slow::Kind::parks);
    Event entered;
    RunningServer server(quick_and([&](Response& res, const Request&) {
      entered.set();
      slow.wait();
      res.print("slow");
    }));
    RawClient client(server.port());
    ASSERT_TRUE(client.send(quick(0) + get("/slow")));
    entered.wait();
    Task ends([&] { server->shutdown(with_timeout(background(), 20s).context); });
    expect_quick(client, 0, 1);
    slow.release();
    EXPECT_EQ(client.read_response().body, "slow");
    EXPECT_TRUE(client.closed_by_peer());
    ends.join();
    EXPECT_EQ(server->stats().cut, 0U);
  });
}

TEST(Pipelining, WorksOverTls) {
  run([] {
    const TlsFiles files;
    for (const Slow::Kind kind : Slow::kAll) {
      Slow slow(kind);
      http::ServerOptions o;
      o.tls = net::TlsServerOptions{.certificates = {{.chain_file = files.site_file}}};
      RunningServer server(quick_and([&](Response& res, const Request&) {
                             slow.wait();
                             res.header("Connection", "close").print("slow");
                           }),
                           o);
      auto tls = net::TlsClient::create({.ca_file = files.ca_file, .server_name = "a.example"});
      ASSERT_TRUE(tls);
      auto conn = net::dial_tls("127.0.0.1:" + std::to_string(server.port()), *tls);
      ASSERT_TRUE(conn);
      ASSERT_TRUE((*conn)->write_all(quick(0) + quick(1) + get("/slow")));
      std::string got;
      std::array<std::byte, 4096> some;
      const auto read_until = [&](std::string_view mark) {
        while (!got.ends_with(mark)) {
          const auto n = (*conn)->read(some);
          if (!n || *n == 0) return false;
          got.append(reinterpret_cast<const char*>(some.data()), *n);
        }
        return true;
      };
      EXPECT_TRUE(read_until("/quick/1")) << got;
      EXPECT_TRUE(slow.held());
      slow.release();
      EXPECT_TRUE(read_until("slow")) << got;
    }
  });
}

}  // namespace
}  // namespace treadle::test
