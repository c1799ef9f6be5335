// treadle-demo: the tour. Handlers of every kind, each in plain blocking style.
#include <time.h>

#include <array>
#include <chrono>
#include <optional>
#include <string>

#include <treadle/blocking.h>
#include <treadle/http/file_server.h>
#include <treadle/http/request_id.h>
#include <treadle/http/server.h>
#include <treadle/http/status.h>
#include <treadle/runtime.h>
#include <treadle/timer.h>

#include "page.h"
#include "server_settings.h"
#include "tour.h"

namespace apps = treadle::apps;
namespace http = treadle::http;

std::optional<std::chrono::milliseconds> apps::milliseconds_asked(http::Response& res,
                                                                  const http::Request& req) {
  constexpr int kMost = 60'000;
  auto parsed = parse_int(req.query("ms").value_or(""), 0, kMost);
  if (parsed) return std::chrono::milliseconds(*parsed);
  std::string reason =
      "?ms=N " + parsed.error() + ", such as " + std::string(req.raw_path()) + "?ms=500";
  res.send_error(http::status::kBadRequest, reason);
  return std::nullopt;
}

namespace {

using namespace std::chrono_literals;
using apps::milliseconds_asked;

void page(http::Response& res, const http::Request&) {
  res.content_type("text/html; charset=utf-8")
      .header("Content-Security-Policy",
              "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
              "connect-src 'self'; img-src data:; base-uri 'none'; frame-ancestors 'none'");
  res.write(apps::kDemoPage);
}

void hello(http::Response& res, const http::Request&) {
  res.content_type("text/plain");
  res.write("Hello, World!");
}

void json(http::Response& res, const http::Request&) {
  treadle::RuntimeStats stats = treadle::runtime_stats();
  res.content_type("application/json").header("Cache-Control", "no-store");
  res.print(R"({{"message": "Hello, World!", "procs": {}, "threads": {}, "goroutines": {}, )"
            R"("spawned": {}, "handoffs": {}, "preemptions": {}}})"
            "\n",
            treadle::max_procs(), stats.threads, stats.goroutines, stats.spawned, stats.handoffs,
            stats.preemptions);
}

// Never text/html: what a stranger's form posts here must not run as a page of this server.
void echo(http::Response& res, const http::Request& req) {
  res.content_type("application/octet-stream").header("X-Content-Type-Options", "nosniff");
  if (auto length = req.content_length()) res.content_length(*length);
  std::array<std::byte, 16 * 1024> buffer;
  for (;;) {
    auto n = req.body().read(buffer);
    if (!n || *n == 0) return;
    if (!res.write(std::span<const std::byte>(buffer).first(*n)) || !res.flush()) return;
  }
}

// A system call that holds its thread. The P goes to others meanwhile, with or without the hint.
void slow(http::Response& res, const http::Request& req) {
  auto wait = milliseconds_asked(res, req);
  if (!wait) return;
  treadle::blocking([&] {
    timespec left{wait->count() / 1000, wait->count() % 1000 * 1'000'000};
    while (::nanosleep(&left, &left) != 0) {
    }
  });
  res.print("blocked in nanosleep(2) for {} ms\n", wait->count());
}

// A computation that never enters the runtime: nothing in it could be asked to give way.
void spin(http::Response& res, const http::Request& req) {
  auto wait = milliseconds_asked(res, req);
  if (!wait) return;
  auto end = std::chrono::steady_clock::now() + *wait;
  std::uint64_t rounds = 0;
  while (std::chrono::steady_clock::now() < end) ++rounds;
  res.print("burnt CPU for {} ms, {} rounds\n", wait->count(), rounds);
}

void sleep_parked(http::Response& res, const http::Request& req) {
  auto wait = milliseconds_asked(res, req);
  if (!wait || !treadle::sleep(*wait)) return;
  res.print("parked for {} ms\n", wait->count());
}

}  // namespace

int main(int argc, char** argv) {
  http::ServerOptions options;
  options.handler_timeout = 70s;  // /sleep?ms=60000 is to be answered
  std::string root = ".";
  apps::Settings settings("treadle-demo", "The tour: an HTTP server with handlers of every kind.");
  apps::add_server(settings, options);
  apps::add_root(settings, root, "directory that /files/ serves");
  if (auto exit_code = settings.parse(argc, argv)) return *exit_code;

  http::Router router;
  router.use(http::request_id());
  router.handle("GET /{$}", page);
  router.handle("GET /hello", hello);
  router.handle("GET /json", json);
  router.handle("POST /echo", echo);
  router.handle("GET /slow", slow);
  router.handle("GET /spin", spin);
  router.handle("GET /sleep", sleep_parked);
  apps::add_data_routes(router);
  apps::add_stream_routes(router);
  apps::add_guard_routes(router);
  router.handle("GET /files/{path...}", http::file_server(root, {.listing = true}));
  return http::listen_and_serve(options, router, apps::serve_hooks(settings, options));
}
