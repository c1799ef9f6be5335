// Middleware around handlers, and what happens when a handler goes wrong.
#include <treadle/http/basic_auth.h>
#include <treadle/http/compress.h>
#include <treadle/http/cors.h>
#include <treadle/http/rate_limit.h>
#include <treadle/http/request.h>
#include <treadle/http/response.h>
#include <treadle/http/timeout.h>
#include <treadle/timer.h>

#include <stdexcept>
#include <string>

#include "tour.h"

namespace treadle::apps {
namespace {

using http::Request;
using http::Response;
using namespace std::chrono_literals;

void passed(Response& res, const Request&) { res.print("let through\n"); }

void long_text(Response& res, const Request&) {
  for (int line = 1; line <= 2000; ++line)
    res.print("line {} of a text that is much shorter on its way\n", line);
}

void count_bytes(Response& res, const Request& req) {
  if (auto body = req.body().read_all()) res.print("{} bytes once unpacked\n", body->size());
}

void hold_a_place(Response& res, const Request&) {
  if (sleep(1s)) res.print("had one of two places for a second\n");
}

void fail(Response&, const Request&) { throw std::runtime_error("a handler that fails"); }

// What a client sends must not become a header field of its own: a panic, so 500.
void inject(Response& res, const Request& req) {
  res.header("X-Name", req.query("name").value_or("plain"));
  res.print("the name went into a header field\n");
}

}  // namespace

void add_guard_routes(http::Router& router) {
  http::RouteGroup secret = router.group("/secret");
  secret.use(http::basic_auth("the tour", {{"guest", "guest"}}));
  secret.handle("GET /{$}", [](Response& res, const Request& req) {
    res.print("welcome, {}\n", http::authenticated_user(req));
  });

  http::RouteGroup limited = router.group("/limited");
  limited.use(http::rate_limit({.rate = Rate{1.0}, .burst = 3}));
  limited.handle("GET /{$}", passed);

  http::RouteGroup busy = router.group("/busy");
  busy.use(http::concurrency_limit({.limit = 2, .max_wait = 0s}));
  busy.handle("GET /{$}", hold_a_place);

  http::RouteGroup packed = router.group("/packed");
  packed.use(http::compress());
  packed.use(http::decompress());
  packed.handle("GET /{$}", long_text);
  packed.handle("POST /{$}", count_bytes);

  http::RouteGroup shared = router.group("/shared");
  shared.use(http::cors({.origins = {"https://example.org"}}));
  shared.handle("GET /{$}", passed);

  router.handle("GET /throw", fail);
  router.handle("GET /inject", inject);
}

}  // namespace treadle::apps
