// Requests that come again, and those that nearly do, through a whole connection: what is
// remembered of a head, a route or a response never shows.
#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <treadle/http/middleware.h>
#include <treadle/http/router.h>

#include "connection.h"
#include "server_state.h"
#include "support/goroutine.h"
#include "support/pipe_conn.h"

namespace treadle::http::detail {
namespace {

// What a response has to say about its request, in the head and in the body.
void tell(Response& res, const Request& req) {
  const std::string_view n = req.path_value("n");
  res.header("Date", "now");
  if (n.find('s') != std::string_view::npos) res.status(201);
  if (n.find('x') != std::string_view::npos) res.header("X", n);
  if (n.find('v') != std::string_view::npos) res.keep_header("Vary", "Cookie");
  if (n.find('t') != std::string_view::npos) res.content_type("text/html");
  if (n.find('c') != std::string_view::npos) res.header("Connection", "close");
  // Says so: of a client that has sent its last request, silence would be answered with 503.
  if (n.find('e') != std::string_view::npos) {
    res.status(200);
    return;
  }
  if (n.find('f') != std::string_view::npos) {
    res.write("before the flush;");
    res.flush();
  }
  if (n.find('b') != std::string_view::npos) res.write(std::string(20'000, 'b'));
  const auto body = req.body().read_all();
  res.print("{} {} {} {} [{}] {}", req.method(), req.target(), req.host(), n, req.header("Cookie"),
            body ? *body : "broken");
}

std::shared_ptr<ServerState> make_numbers() {
  Router router;
  router.handle("/n/{n}", tell);
  router.handle("POST /n/{n}", tell);
  router.handle("other.example/n/{n}", [](Response& res, const Request&) {
    res.header("Date", "now").print("other host");
  });
  return std::make_shared<ServerState>(ServerOptions{}, Handler{router});
}

std::string get(std::string_view n, std::string_view host = "a.example",
                std::string_view more = "") {
  return "GET /n/" + std::string(n) + " HTTP/1.1\r\nHost: " + std::string(host) + "\r\n" +
         std::string(more) + "\r\n";
}

std::string post(std::string_view body) {
  return "POST /n/p HTTP/1.1\r\nHost: a.example\r\nContent-Length: " + std::to_string(body.size()) +
         "\r\n\r\n" + std::string(body);
}

// Sends the requests over one connection, all at once or each behind the answer before, and returns
// the answers.
std::string exchange(const std::shared_ptr<ServerState>& state,
                     const std::vector<std::string>& requests, bool at_once) {
  auto [theirs, ours] = test::make_pipe();
  ServerState::start(state, {std::move(ours)});
  std::string got;
  std::array<std::byte, 4096> buffer;
  const auto read = [&] {
    const Result<std::size_t> n = theirs->read(buffer);
    if (!n || *n == 0) return false;
    got.append(reinterpret_cast<const char*>(buffer.data()), *n);
    return true;
  };
  std::string all;
  for (const std::string& request : requests) {
    all += request;
    if (at_once) continue;
    EXPECT_TRUE(theirs->write_all(std::exchange(all, {})));
    const std::size_t before = got.size();
    while (got.size() == before && read()) {
    }
  }
  if (theirs->write_all(all)) theirs->shutdown_write().value();
  while (read()) {
  }
  theirs->close();
  state->connections_alive.wait();
  return got;
}

// The answers as a server gives them that sees each request for the first time: before each comes
// one of another length, so that nothing is remembered.
std::string alone(const std::shared_ptr<ServerState>& state, const std::string& request) {
  std::size_t size = 0;
  for (int i = 0; i < 2; ++i)
    size =
        exchange(state, {get("q", "a.example", "Unlike: " + std::string(200, 'u') + "\r\n")}, false)
            .size();
  EXPECT_GT(size, 0U);
  return exchange(state, {request}, false);
}

const std::vector<std::string>& requests() {
  static const std::vector<std::string> all = {
      get("1"), get("1"), get("1"), get("2"), get("1"), get("1"), get("1"),  // same length
      get("1", "b.example"), get("1", "b.example"), get("1", "b.example"), get("1"),
      get("1", "other.example"), get("1", "other.example"), get("1", "other.example"), get("1"),
      get("1", "a.example", "Cookie: 1\r\n"), get("1", "a.example", "Cookie: 2\r\n"),
      get("1", "a.example", "Cookie: 2\r\n"), get("1", "a.example", "Cookie: 2\r\n"),
      get("1", "a.example", "Cookie: 1\r\n"),
      // Responses alike but for one thing.
      get("s"), get("s"), get("x"), get("x"), get("y"), get("v"), get("v"), get("y"), get("t"),
      get("t"), get("e"), get("e"), get("y"), get("sx"), get("sx"), get("tx"), get("xt"), get("f"),
      get("y"), get("b"), get("y"), get("f"), get("b"), get("y"), post("abc"), post("abc"),
      post("abc"), post("xyz"), post(""), post("abcd"), get("1"),
      "HEAD /n/1 HTTP/1.1\r\nHost: a.example\r\n\r\n",
      "HEAD /n/1 HTTP/1.1\r\nHost: a.example\r\n\r\n",
      "HEAD /n/1 HTTP/1.1\r\nHost: a.example\r\n\r\n", get("1"),
      "GET /m/1 HTTP/1.1\r\nHost: a.example\r\n\r\n",
      "GET /m/1 HTTP/1.1\r\nHost: a.example\r\n\r\n",
      "GET /m/1 HTTP/1.1\r\nHost: a.example\r\n\r\n", get("1"),
      "GET /n/1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
      "GET /n/1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
      "GET /n/1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", get("1"), get("1"), get("1")};
  return all;
}

// The server's own answers have a Date that passes.
std::string without_dates(std::string text) {
  for (std::size_t at = 0; (at = text.find("\r\nDate: ", at)) != std::string::npos;)
    text.erase(at, text.find("\r\n", at + 2) - at);
  return text;
}

TEST(RepeatedRequest, IsAnsweredAsANewOneIs) {
  test::run([] {
    const auto state = make_numbers();
    std::string expected;
    for (const std::string& request : requests()) expected += alone(state, request);
    expected = without_dates(expected);
    for (const bool at_once : {false, true})
      EXPECT_EQ(without_dates(exchange(state, requests(), at_once)), expected) << at_once;
  });
}

// Clients take turns, and so share what the server remembers.
TEST(RepeatedRequest, OfAnotherConnectionIsNoOther) {
  test::run([] {
    const auto state = make_numbers();
    std::string expected;
    std::string got;
    for (const std::string& request : requests()) {
      expected += alone(state, request);
      got += exchange(state, {request, request}, false);
      expected += alone(state, request);
    }
    EXPECT_EQ(without_dates(got), without_dates(expected));
  });
}

TEST(RepeatedRequest, OfAnotherServerIsRoutedByItsOwnRoutes) {
  test::run([] {
    const auto one = make_numbers();
    Router router;
    router.handle("/n/{m}", [](Response& res, const Request& req) {
      res.print("m={} n={}", req.path_value("m"), req.path_value("n"));
    });
    const auto two = std::make_shared<ServerState>(ServerOptions{}, Handler{router});
    for (int i = 0; i < 4; ++i) {
      EXPECT_TRUE(exchange(one, {get("1"), get("1"), get("1")}, true).ends_with("a.example 1 [] "));
      EXPECT_TRUE(exchange(two, {get("1"), get("1"), get("1")}, true).ends_with("m=1 n="));
    }
  });
}

// The head of the request before must not stand for one that has not come whole.
TEST(RepeatedRequest, HalfAHeadBehindItHasNoMethodYet) {
  test::run([] {
    const auto state = make_numbers();
    const std::string head = "HEAD /n/1 HTTP/1.1\r\nHost: a.example\r\n\r\n";
    const std::string got = exchange(state, {head, head, head, head, "GE"}, true);
    // With a body, unlike an answer to HEAD.
    EXPECT_TRUE(got.ends_with("request ended early\n")) << got;
  });
}

}  // namespace
}  // namespace treadle::http::detail
