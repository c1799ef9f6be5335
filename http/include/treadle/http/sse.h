// Server-sent events: a response that goes on (WHATWG HTML, "Server-sent events").
//
//   router.handle("GET /events", [&](http::Response& res, const http::Request& req) {
//     http::EventStream events(res, req);
//     for (auto next = feed.after(http::last_event_id(req)); events.open(); next = feed.after(...))
//       events.send({.data = next.text, .event = "tick", .id = next.id});
//   });
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <system_error>

#include <treadle/context.h>
#include <treadle/http/handler.h>
#include <treadle/result.h>
#include <treadle/timer.h>

namespace treadle::http {

struct Event {
  // The text; line ends in it (CR, LF or CRLF) arrive as LF. An event without data is dispatched to
  // nobody, so this is sent even when it is empty.
  std::string_view data{};
  // Its kind; empty: "message".
  std::string_view event{};
  // What a client that comes back says it saw last. Set but empty: it forgets the last one.
  std::optional<std::string_view> id{};
  // How long the client waits before it comes back, in whole milliseconds, from here on.
  std::optional<Duration> retry{};
};

// The stream of one response. It sends the head when it is made, with
// `Content-Type: text/event-stream` and what keeps caches and proxies from holding events back, and
// each event at once. The handler's deadline does not hold for it. Proxies cut connections that are
// silent for a minute or so: send a heartbeat() now and then.
//
// Belongs to the handler's goroutine, and must not outlive the handler. When the client goes,
// sending fails; so does waiting under the request's Context. The first failure sticks.
class EventStream {
 public:
  // Panics when the response's head has left already. Parks as Response::flush(); look at error().
  EventStream(Response& res, const Request& req);
  EventStream(const EventStream&) = delete;
  EventStream& operator=(const EventStream&) = delete;

  // Sends an event. Panics when `event` or `id` has a CR, LF or NUL in it, or `retry` is negative.
  // Parks while the client reads slowly. Errors: those of Response::write(), or that of the
  // request's Context once it has ended.
  Result<void> send(const Event& event);
  Result<void> send(std::string_view data) { return send(Event{.data = data}); }
  // Sends what the client's program does not see; heartbeat() an empty one. As send().
  Result<void> comment(std::string_view text);
  Result<void> heartbeat() { return comment({}); }

  // Whether it is worth going on: nothing has failed, and the client is not known to have gone.
  // Never parks.
  bool open() const noexcept { return !error(); }
  std::error_code error() const noexcept;

 private:
  Result<void> send_text();

  Response& res_;
  const Request& req_;
  std::string text_;  // scratch
};

// The id of the last event that this client has seen on an earlier connection; empty on its first.
// Lives until the handler returns. Never parks.
std::string_view last_event_id(const Request& req) noexcept;

}  // namespace treadle::http
