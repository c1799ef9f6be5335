// Middleware that decides who is served: limits, basic authentication, CORS.
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <treadle/http/basic_auth.h>
#include <treadle/http/cors.h>
#include <treadle/http/rate_limit.h>

#include "e2e/http_fixture.h"

namespace treadle::test {
namespace {

http::Handler says_yes() {
  return [](http::Response& res, const http::Request&) { res.write("yes"); };
}

TEST(Guards, RateLimitAnswers429BeyondTheBurst) {
  run([] {
    http::Router router;
    router.use(http::rate_limit({.rate = Rate::every(1h), .burst = 2}));
    router.handle("GET /a", says_yes());
    router.handle("GET /b", says_yes());
    RunningServer server(router);
    EXPECT_EQ(fetch(server.port(), get("/a")).status, 200);
    EXPECT_EQ(fetch(server.port(), get("/b")).status, 200);
    RawResponse r = fetch(server.port(), get("/a"));
    EXPECT_EQ(r.status, 429);
    EXPECT_EQ(r.header("Retry-After"), "3600");
    EXPECT_EQ(r.body, "Too Many Requests\n");
    // What no route answers is counted too.
    EXPECT_EQ(fetch(server.port(), get("/c")).status, 429);
  });
}

TEST(Guards, RateLimitCountsByTheKeysItIsGiven) {
  run([] {
    const auto by_key = [](const http::Request& req) { return std::string(req.header("Key")); };
    RunningServer server(
        http::rate_limit({.rate = Rate::every(1h), .burst = 1, .key = by_key})(says_yes()));
    RawClient client(server.port());
    EXPECT_EQ(client.roundtrip(get("/", "Key: a\r\n")).status, 200);
    EXPECT_EQ(client.roundtrip(get("/", "Key: b\r\n")).status, 200);
    EXPECT_EQ(client.roundtrip(get("/", "Key: a\r\n")).status, 429);
    EXPECT_EQ(client.roundtrip(get("/")).status, 200);
    EXPECT_EQ(client.roundtrip(get("/")).status, 200);
  });
}

TEST(Guards, RateLimitIsOneForAllGoroutines) {
  run([] {
    RunningServer server(http::rate_limit({.rate = Rate::every(1h), .burst = 20})(says_yes()));
    std::atomic<int> served{0};
    std::atomic<int> refused{0};
    std::vector<std::unique_ptr<Task>> clients;
    for (int c = 0; c < 8; ++c) {
      clients.push_back(std::make_unique<Task>([&] {
        RawClient client(server.port());
        for (int i = 0; i < 10; ++i)
          (client.roundtrip(get("/")).status == 200 ? served : refused).fetch_add(1);
      }));
    }
    for (auto& client : clients) client->join();
    EXPECT_EQ(served.load(), 20);
    EXPECT_EQ(refused.load(), 60);
  });
}

// A handler that tells when it is in, and waits until it may go.
struct Room {
  std::atomic<int> inside{0};
  std::atomic<int> most{0};
  Event leave;
  http::Handler handler() {
    return [this](http::Response& res, const http::Request& req) {
      const int now = inside.fetch_add(1) + 1;
      int seen = most.load();
      while (seen < now && !most.compare_exchange_weak(seen, now)) {
      }
      if (req.path() == "/wait") leave.wait();
      inside.fetch_sub(1);
      if (req.path() == "/throw") throw std::runtime_error("as it should");
      res.write("done");
    };
  }
  void wait_for(int count) const {
    while (inside.load() != count) treadle::gosched();
  }
};

TEST(Guards, ConcurrencyLimitShedsWhatDoesNotFit) {
  run([] {
    Room room;
    RunningServer server(http::concurrency_limit(
        {.limit = 2, .retry_after = std::chrono::seconds(7)})(room.handler()));
    RawClient a(server.port());
    RawClient b(server.port());
    ASSERT_TRUE(a.send(get("/wait")));
    ASSERT_TRUE(b.send(get("/wait")));
    room.wait_for(2);
    RawResponse r = fetch(server.port(), get("/"));
    EXPECT_EQ(r.status, 503);
    EXPECT_EQ(r.header("Retry-After"), "7");
    room.leave.set();
    EXPECT_EQ(a.read_response().body, "done");
    EXPECT_EQ(b.read_response().body, "done");
    // Places come back, by whatever way the handler ends.
    for (int i = 0; i < 3; ++i) EXPECT_EQ(fetch(server.port(), get("/throw")).status, 500);
    EXPECT_EQ(fetch(server.port(), get("/")).body, "done");
  });
}

TEST(Guards, ConcurrencyLimitLetsSomeWait) {
  run([] {
    Room room;
    RunningServer server(http::concurrency_limit(
        {.limit = 1, .queue = 1, .max_wait = std::chrono::minutes(1)})(room.handler()));
    RawClient inside(server.port());
    ASSERT_TRUE(inside.send(get("/wait")));
    room.wait_for(1);
    // One of these two waits, and the other is turned away; which, nobody can say.
    std::atomic<int> served{0};
    Event first_turned_away;
    const auto ask = [&] {
      RawResponse r = fetch(server.port(), get("/"));
      if (r.status == 200) served.fetch_add(1);
      if (r.status == 503) first_turned_away.set();
    };
    Task one(ask);
    Task other(ask);
    first_turned_away.wait();
    EXPECT_EQ(served.load(), 0);
    room.leave.set();
    one.join();
    other.join();
    EXPECT_EQ(served.load(), 1);
    EXPECT_EQ(inside.read_response().body, "done");
    EXPECT_EQ(room.most.load(), 1);
  });
}

TEST(Guards, ConcurrencyLimitLetsNobodyWaitForEver) {
  run([] {
    Room room;
    RunningServer server(http::concurrency_limit(
        {.limit = 1, .queue = 10, .max_wait = std::chrono::milliseconds(5)})(room.handler()));
    RawClient inside(server.port());
    ASSERT_TRUE(inside.send(get("/wait")));
    room.wait_for(1);
    EXPECT_EQ(fetch(server.port(), get("/")).status, 503);
    room.leave.set();
    EXPECT_EQ(inside.read_response().body, "done");
  });
}

TEST(Guards, ConcurrencyLimitHoldsUnderManyClients) {
  run([] {
    Room room;
    RunningServer server(http::concurrency_limit(
        {.limit = 3, .queue = 100, .max_wait = std::chrono::minutes(1)})(room.handler()));
    std::atomic<int> served{0};
    std::vector<std::unique_ptr<Task>> clients;
    for (int c = 0; c < 8; ++c) {
      clients.push_back(std::make_unique<Task>([&] {
        RawClient client(server.port());
        for (int i = 0; i < 20; ++i)
          if (client.roundtrip(get("/")).status == 200) served.fetch_add(1);
      }));
    }
    for (auto& client : clients) client->join();
    EXPECT_EQ(served.load(), 160);
    EXPECT_LE(room.most.load(), 3);
  });
}

TEST(Guards, NonsenseLimitsPanic) {
  EXPECT_THROW(http::rate_limit({}), Panic);
  EXPECT_THROW(http::concurrency_limit({.limit = 0}), Panic);
  EXPECT_THROW(http::concurrency_limit({.limit = 1, .queue = -1}), Panic);
}

TEST(Guards, BasicAuthLetsInWhoKnowsThePassword) {
  run([] {
    http::Handler who = [](http::Response& res, const http::Request& req) {
      res.write(http::authenticated_user(req));
    };
    RunningServer server(http::basic_auth("the \"inner\" room",
                                          {{"Aladdin", "open sesame"}, {"zo\xc3\xab", ""}})(who));
    RawClient client(server.port());
    const auto as = [&](std::string_view credentials) {
      return client.roundtrip(
          get("/", "Authorization: Basic " + std::string(credentials) + "\r\n"));
    };
    EXPECT_EQ(as("QWxhZGRpbjpvcGVuIHNlc2FtZQ==").body, "Aladdin");
    EXPECT_EQ(as("em/Dqzo=").body, "zo\xc3\xab");
    for (const char* wrong : {"QWxhZGRpbjpvcGVuIHNlc2FtZT8=", "QWxhZGRpbjo=", "em/Dqzp4",
                              "bm9ib2R5Og==", "nonsense", ""}) {
      RawResponse r = as(wrong);
      EXPECT_EQ(r.status, 401) << wrong;
      EXPECT_EQ(r.header("WWW-Authenticate"),
                "Basic realm=\"the \\\"inner\\\" room\", charset=\"UTF-8\"");
    }
    EXPECT_EQ(client.roundtrip(get("/")).status, 401);
    const std::string good = "Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n";
    EXPECT_EQ(client.roundtrip(get("/", good + good)).status, 401);
  });
}

TEST(Guards, BasicAuthAsksItsCheck) {
  run([] {
    const auto check = [](std::string_view user, std::string_view password) {
      return user == "a" && password == "b:c";
    };
    RunningServer server(http::basic_auth("r", check)(says_yes()));
    RawClient client(server.port());
    EXPECT_EQ(client.roundtrip(get("/", "Authorization: Basic YTpiOmM=\r\n")).status, 200);
    EXPECT_EQ(client.roundtrip(get("/", "Authorization: Basic YTpi\r\n")).status, 401);
  });
  EXPECT_THROW(http::basic_auth("a\r\nb", [](auto, auto) { return true; }), Panic);
}

// What a response says of CORS.
struct Verdict {
  int status;
  std::string origin, methods, headers;
  friend bool operator==(const Verdict&, const Verdict&) = default;
  friend void PrintTo(const Verdict& v, std::ostream* out) {
    *out << v.status << " " << v.origin << " | " << v.methods << " | " << v.headers;
  }
};
Verdict verdict_of(const RawResponse& r) {
  return {r.status, r.header("Access-Control-Allow-Origin").value_or("-"),
          r.header("Access-Control-Allow-Methods").value_or("-"),
          r.header("Access-Control-Allow-Headers").value_or("-")};
}
std::string preflight(std::string_view origin, std::string_view method,
                      std::string_view headers = {}) {
  std::string fields = "Origin: " + std::string(origin) +
                       "\r\nAccess-Control-Request-Method: " + std::string(method) + "\r\n";
  if (!headers.empty())
    fields += "Access-Control-Request-Headers: " + std::string(headers) + "\r\n";
  return "OPTIONS" + get("/x", fields).substr(3);
}

TEST(Guards, CorsAnswersPreflightsItself) {
  run([] {
    http::Router router;
    http::RouteGroup group = router.group();
    group.use(
        http::cors({.origins = {"https://a.example"},
                    .allow_origin = [](std::string_view o) { return o == "https://b.example"; },
                    .methods = {"GET", "PUT"},
                    .headers = {"X-One", "X-Two"},
                    .credentials = true,
                    .max_age = 10min}));
    group.handle("PUT /x", [](http::Response&, const http::Request&) { FAIL(); });
    RunningServer server(router);
    RawClient client(server.port());
    RawResponse r = client.roundtrip(preflight("https://a.example", "PUT", "x-two,X-One"));
    EXPECT_EQ(verdict_of(r), (Verdict{204, "https://a.example", "GET, PUT", "X-One, X-Two"}));
    EXPECT_EQ(r.header("Access-Control-Max-Age"), "600");
    EXPECT_EQ(r.header("Access-Control-Allow-Credentials"), "true");
    EXPECT_EQ(r.count("Vary"), 2U);
    EXPECT_FALSE(r.header("Allow"));
    EXPECT_EQ(client.roundtrip(preflight("https://b.example", "PUT")).status, 204);
    const Verdict refused{204, "-", "-", "-"};
    EXPECT_EQ(verdict_of(client.roundtrip(preflight("https://c.example", "PUT"))), refused);
    EXPECT_EQ(verdict_of(client.roundtrip(preflight("null", "PUT"))), refused);
    EXPECT_EQ(verdict_of(client.roundtrip(preflight("https://a.example", "PUT", "X-Three"))),
              refused);
  });
}

TEST(Guards, CorsMarksAnswersAndErrorsForAllowedOrigins) {
  run([] {
    http::Router router;
    router.use(http::cors({.origins = {"https://a.example"}, .exposed_headers = {"X-Total"}}));
    router.handle("GET /x", says_yes());
    RunningServer server(router);
    RawClient client(server.port());
    RawResponse r = client.roundtrip(get("/x", "Origin: https://a.example\r\n"));
    EXPECT_EQ(r.header("Access-Control-Allow-Origin"), "https://a.example");
    EXPECT_EQ(r.header("Access-Control-Expose-Headers"), "X-Total");
    EXPECT_EQ(r.header("Vary"), "Origin");
    EXPECT_FALSE(r.header("Access-Control-Allow-Credentials"));
    r = client.roundtrip(get("/nowhere", "Origin: https://a.example\r\n"));
    EXPECT_EQ(r.status, 404);
    EXPECT_EQ(r.header("Access-Control-Allow-Origin"), "https://a.example");
    for (const char* origin : {"Origin: https://b.example\r\n", "Origin: null\r\n", ""}) {
      r = client.roundtrip(get("/x", origin));
      EXPECT_EQ(r.body, "yes");
      EXPECT_FALSE(r.header("Access-Control-Allow-Origin"));
      EXPECT_EQ(r.header("Vary"), "Origin");
    }
  });
}

TEST(Guards, CorsForEverybodySaysSo) {
  run([] {
    RunningServer server(http::cors({.any_origin = true, .headers = {"*"}})(says_yes()));
    RawClient client(server.port());
    RawResponse r = client.roundtrip(get("/x", "Origin: https://a.example\r\n"));
    EXPECT_EQ(r.header("Access-Control-Allow-Origin"), "*");
    EXPECT_FALSE(r.header("Vary"));
    EXPECT_EQ(verdict_of(client.roundtrip(preflight("null", "POST", "x-a, X-B"))),
              (Verdict{204, "*", "GET, HEAD, POST", "x-a, X-B"}));
    EXPECT_EQ(verdict_of(client.roundtrip(preflight("null", "POST", "x a"))),
              (Verdict{204, "-", "-", "-"}));
  });
}

TEST(Guards, CorsOfNonsensePanics) {
  EXPECT_THROW(http::cors({.any_origin = true, .credentials = true}), Panic);
  for (const char* origin : {"*", "a.example", "https://a.example/", "https://", "https://*.a"})
    EXPECT_THROW(http::cors({.origins = {origin}}), Panic) << origin;
  EXPECT_THROW(http::cors({.methods = {"GET PUT"}}), Panic);
  EXPECT_THROW(http::cors({.max_age = -1s}), Panic);
}

}  // namespace
}  // namespace treadle::test
