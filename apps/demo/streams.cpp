// Responses that take their time, and connections that become something else.
#include <treadle/http/deadline.h>
#include <treadle/http/request.h>
#include <treadle/http/response.h>
#include <treadle/http/sse.h>
#include <treadle/http/status.h>
#include <treadle/net/conn.h>
#include <treadle/timer.h>

#include <array>
#include <string>

#include "tour.h"
#include "values.h"

namespace treadle::apps {
namespace {

using http::Request;
using http::Response;
using namespace std::chrono_literals;

// As many megabytes as are asked for, as fast as the client takes them.
void download(Response& res, const Request& req) {
  constexpr int kMost = 1000;
  const auto megabytes = parse_int(req.query("mb").value_or(""), 0, kMost);
  if (!megabytes) {
    (void)res.send_error(http::status::kBadRequest,
                         "?mb=N " + megabytes.error() + ", such as /download?mb=10");
    return;
  }
  res.content_type("application/octet-stream").streaming();
  const std::string block(64 * 1024, 'x');
  for (int i = 0; i < *megabytes * 16; ++i)
    if (!res.write(block)) return;  // the client has gone
}

// Ten events, two a second, or until the client goes.
void events(Response& res, const Request& req) {
  http::EventStream stream(res, req);
  for (int i = 1; i <= 10 && stream.open(); ++i) {
    (void)stream.send({.data = "event number " + std::to_string(i), .event = "tick"});
    (void)sleep(500ms);
  }
}

void hints(Response& res, const Request&) {
  (void)res.early_hints({{"Link", "</style.css>; rel=preload; as=style"}});
  (void)sleep(200ms);
  res.print("103 came first: try curl -v\n");
}

// Speaks "echo" after a 101: what comes goes back, until the client ends its side.
void upgrade(Response& res, const Request& req) {
  if (!req.headers().has_token("Upgrade", "echo")) {
    res.header("Upgrade", "echo");
    (void)res.send_error(http::status::kUpgradeRequired, "send Upgrade: echo");
    return;
  }
  const auto mine = res.upgrade("echo");
  if (!mine) return;
  (void)mine->conn->write_all(mine->buffered);
  std::array<std::byte, 4096> bytes;
  for (;;) {
    mine->conn->set_read_deadline(Deadline::after(60s));
    const auto n = mine->conn->read(bytes);
    if (!n || *n == 0) break;
    if (!mine->conn->write_all(std::span<const std::byte>(bytes).first(*n))) break;
  }
  (void)mine->conn->shutdown_write();
  mine->conn->close();
}

// A second is all this one gets: beyond it the server answers 503 in its place.
void late(Response& res, const Request& req) {
  const auto wait = milliseconds_asked(res, req);
  if (!wait) return;
  const http::DeadlineScope deadline(req, 1s);
  if (sleep(*wait)) res.print("in time, after {} ms\n", wait->count());
}

}  // namespace

void add_stream_routes(http::Router& router) {
  router.handle("GET /download", download);
  router.handle("GET /events", events);
  router.handle("GET /hints", hints);
  router.handle("GET /upgrade", upgrade);
  router.handle("GET /late", late);
}

}  // namespace treadle::apps
