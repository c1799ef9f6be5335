// serial: treadle-demo's endpoints, asked as a client does; its hogs take every CPU.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <vector>

#include "e2e/app.h"

namespace treadle::test {
namespace {

using std::chrono::steady_clock;

class DemoEndpoints : public testing::Test {
 protected:
  App demo_{"treadle-demo"};
};

TEST_F(DemoEndpoints, RootIsTheTourPage) {
  RawResponse page = demo_.get("/");
  EXPECT_EQ(page.status, 200);
  EXPECT_EQ(page.header("Content-Type"), "text/html; charset=utf-8");
  EXPECT_TRUE(page.body.starts_with("<!doctype html>"));
  for (std::string_view path : {"/hello", "/json", "/echo", "/slow", "/spin", "/sleep", "/files"})
    EXPECT_NE(page.body.find(path), std::string::npos) << path;
  EXPECT_EQ(page.body.find("https://"), std::string::npos)
      << "the page loads nothing from elsewhere";
}

TEST_F(DemoEndpoints, HelloIsPlainText) {
  RawResponse hello = demo_.get("/hello");
  EXPECT_EQ(hello.status, 200);
  EXPECT_EQ(hello.body, "Hello, World!");
  EXPECT_TRUE(hello.header("Content-Type").value_or("").starts_with("text/plain"));
}

TEST_F(DemoEndpoints, JsonIsAnObject) {
  RawResponse json = demo_.get("/json");
  EXPECT_EQ(json.status, 200);
  EXPECT_EQ(json.header("Content-Type"), "application/json");
  EXPECT_TRUE(json.body.starts_with("{\"message\": \"Hello, World!\"")) << json.body;
  EXPECT_TRUE(json.body.ends_with("}\n")) << json.body;
}

TEST_F(DemoEndpoints, EchoSendsTheBodyBack) {
  std::string body(1 << 20, '\0');
  for (std::size_t i = 0; i < body.size(); ++i) body[i] = static_cast<char>(i * 7 + i / 251);
  RawResponse echo = demo_.request("POST", "/echo", body);
  EXPECT_EQ(echo.status, 200);
  EXPECT_TRUE(echo.body == body) << echo.body.size() << " bytes";
  EXPECT_EQ(demo_.get("/echo").status, 405);
}

TEST_F(DemoEndpoints, EchoAnswersWhileTheBodyStillComes) {
  RawClient client(demo_.port());
  client.send("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwarp\r\n");
  client.read_until("\r\n\r\n");
  client.read_until("warp");
  client.send("4\r\nweft\r\n0\r\n\r\n");
  EXPECT_TRUE(client.read_until("0\r\n\r\n").find("weft") != std::string::npos);
}

TEST_F(DemoEndpoints, WaitsLastAsLongAsAsked) {
  for (std::string_view path : {"/slow", "/spin", "/sleep"}) {
    SCOPED_TRACE(path);
    auto begin = steady_clock::now();
    EXPECT_EQ(demo_.get(fmt::format("{}?ms=30", path)).status, 200);
    EXPECT_GE(steady_clock::now() - begin, std::chrono::milliseconds(30));
    EXPECT_EQ(demo_.get(fmt::format("{}?ms=0", path)).status, 200);
  }
}

TEST_F(DemoEndpoints, BadMillisecondsAreRefusedWithTheReason) {
  for (std::string_view path : {"/slow", "/spin", "/sleep"}) {
    for (std::string_view query :
         {"", "?ms=", "?ms=60001", "?ms=-1", "?ms=ten", "?ms=1.5", "?ms=99999999999999999999",
          "?ms=10ms", "?ms=+10", "?ms=%2010", "?sec=1"}) {
      RawResponse refused = demo_.get(fmt::format("{}{}", path, query));
      EXPECT_EQ(refused.status, 400) << path << query;
      EXPECT_NE(refused.body.find("from 0 to 60000"), std::string::npos) << refused.body;
    }
  }
}

// One request to each station of the tour, which its page names, and what must come back.
TEST_F(DemoEndpoints, StationsOfTheTourAnswer) {
  struct Station {
    std::string_view request;
    int status;
    std::string_view contains;
  };
  constexpr std::string_view kDeep = "POST /json JSON [[[[[[[[";
  const Station stations[] = {
      {"GET /hello/Ada%20L", 200, "Hello, Ada L!"},
      {"GET /rest/a/b%2Fc", 200, "a/b/c"},
      {"GET /query?a=1&b=two+x", 200, "b = two x"},
      {"GET /query?a=%zz", 400, ""},
      {"POST /form FORM name=Ada&x=1", 200, "name = Ada"},
      {"POST /json JSON {\"a\": 1}", 200, "\"a\":1"},
      {kDeep, 400, ""},
      {"GET /cookie", 200, "visit number 1"},
      {"GET /whoami", 200, "by http"},
      {"GET /redirect", 302, ""},
      {"GET /download?mb=1", 200, "xxxx"},
      {"GET /download?mb=-1", 400, "?mb=N"},
      {"GET /late?ms=10", 200, "in time"},
      {"GET /late?ms=3000", 503, "Service Unavailable"},
      {"GET /upgrade", 426, "Upgrade: echo"},
      {"GET /secret/", 401, ""},
      {"GET /limited/", 200, "let through"},
      {"GET /packed/", 200, "line 2000"},
      {"GET /shared/", 200, "let through"},
      {"GET /throw", 500, "Internal Server Error"},
      {"GET /inject?name=x%0d%0aEvil:%201", 500, "Internal Server Error"},
      {"GET /healthz", 200, "ok"},
      {"GET /readyz", 200, "ok"},
  };
  const std::string page = demo_.get("/").body;
  for (const Station& s : stations) {
    const std::string_view method = s.request.substr(0, s.request.find(' '));
    std::string_view target = s.request.substr(method.size() + 1);
    std::string_view kind;
    std::string_view body;
    if (const auto space = target.find(' '); space != std::string_view::npos) {
      kind = target.substr(space + 1, 4);
      body = target.substr(space + 6);
      target = target.substr(0, space);
    }
    RawClient client(demo_.port());
    const RawResponse r = client.roundtrip(fmt::format(
        "{} {} HTTP/1.1\r\nHost: x\r\nContent-Type: {}\r\nContent-Length: {}\r\n\r\n{}", method,
        target, kind == "JSON" ? "application/json" : "application/x-www-form-urlencoded",
        body.size(), body));
    EXPECT_EQ(r.status, s.status) << s.request;
    EXPECT_NE(r.body.find(s.contains), std::string::npos) << s.request << ": " << r.body;
    const std::string_view station = target.substr(0, target.find_first_of("/?", 1));
    EXPECT_NE(page.find(station), std::string::npos) << station << " is not on the page";
  }
}

TEST_F(DemoEndpoints, UpgradeBecomesAnEcho) {
  RawClient client(demo_.port());
  client.send(
      "GET /upgrade HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nearly");
  EXPECT_TRUE(client.read_until("\r\n\r\n").starts_with("HTTP/1.1 101 "));
  EXPECT_EQ(client.read_exactly(5), "early");
  client.send("late");
  EXPECT_EQ(client.read_exactly(4), "late");
  client.shutdown_write();
  EXPECT_EQ(client.read_until_close(), "");
}

TEST_F(DemoEndpoints, EventsComeOneByOne) {
  RawClient client(demo_.port());
  client.send("GET /events HTTP/1.1\r\nHost: x\r\n\r\n");
  client.read_until("data: event number 1\n");
  client.read_until("data: event number 2\n");
}

TEST_F(DemoEndpoints, UnknownPathIs404) { EXPECT_EQ(demo_.get("/nowhere").status, 404); }

// Goroutines that hold on to their threads, as many as there are Ps or more, must not delay the
// others: the requests to /hello below are answered before any of the hogs is done.
class DemoHogs : public testing::TestWithParam<std::string> {};

TEST_P(DemoHogs, LeaveHelloAnswering) {
  App demo("treadle-demo");
  std::vector<RawClient> hogs;
  for (int i = 0; i < 4; ++i) {
    hogs.emplace_back(demo.port());
    ASSERT_TRUE(hogs.back().send("GET " + GetParam() + " HTTP/1.1\r\nHost: x\r\n\r\n"));
  }
  for (int i = 0; i < 10; ++i) EXPECT_EQ(demo.get("/hello").body, "Hello, World!");
  for (RawClient& hog : hogs)
    EXPECT_TRUE(hog.silent_for(std::chrono::milliseconds(0))) << "the hogs ended first";
  for (RawClient& hog : hogs) EXPECT_EQ(hog.read_response().status, 200);
}

INSTANTIATE_TEST_SUITE_P(DemoEach, DemoHogs,
                         testing::Values("/slow?ms=1500", "/spin?ms=1500", "/sleep?ms=1500"));

TEST(DemoShutdown, TermAnswersRequestsUnderWay) {
  App demo("treadle-demo");
  std::vector<RawClient> clients;
  for (int i = 0; i < 8; ++i) {
    clients.emplace_back(demo.port());
    ASSERT_TRUE(clients.back().send("GET /slow?ms=500 HTTP/1.1\r\nHost: x\r\n\r\n"));
  }
  // A request behind them was answered, so theirs have been read too.
  EXPECT_EQ(demo.get("/hello").status, 200);
  demo.process().signal(SIGTERM);
  for (RawClient& client : clients) EXPECT_EQ(client.read_response().status, 200);
  clients.clear();
  EXPECT_EQ(demo.process().wait(), 0);
}

}  // namespace
}  // namespace treadle::test
