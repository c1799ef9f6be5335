#include <treadle/http/sse.h>

#include <fmt/format.h>

#include <treadle/http/request.h>
#include <treadle/http/response.h>
#include <treadle/http/status.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <iterator>

#include "event_text.h"

namespace treadle::http {
namespace {

// One line "field: ..." for each line of `text`; CR, LF and CRLF end lines, for the client too.
void append_lines(std::string& out, std::string_view field, std::string_view text) {
  for (;;) {
    const std::size_t end = text.find_first_of("\r\n");
    out.append(field).append(": ").append(text.substr(0, end)).push_back('\n');
    if (end == std::string_view::npos) return;
    text.remove_prefix(end + (text.substr(end).starts_with("\r\n") ? 2 : 1));
  }
}

void require_line(std::string_view field, std::string_view text) {
  if (text.find_first_of(std::string_view("\r\n\0", 3)) != std::string_view::npos)
    throw Panic(fmt::format("http: CR, LF or NUL in an event's {}", field));
}

}  // namespace

void append_event(std::string& out, const Event& event) {
  require_line("name", event.event);
  if (event.id) require_line("id", *event.id);
  if (event.retry && *event.retry < Duration::zero())
    throw Panic("http: an event's retry is negative");
  if (!event.event.empty()) out.append("event: ").append(event.event).push_back('\n');
  if (event.id) out.append("id: ").append(*event.id).push_back('\n');
  if (event.retry)
    fmt::format_to(std::back_inserter(out), "retry: {}\n",
                   std::chrono::duration_cast<std::chrono::milliseconds>(*event.retry).count());
  append_lines(out, "data", event.data);
  out.push_back('\n');
}

void append_comment(std::string& out, std::string_view text) {
  append_lines(out, {}, text);
  out.push_back('\n');
}

EventStream::EventStream(Response& res, const Request& req) : res_(res), req_(req) {
  res.status(status::kOk)
      .header("Content-Type", "text/event-stream")
      .header("Cache-Control", "no-cache")
      .header("X-Accel-Buffering", "no")
      .streaming();
  res.flush();
}

Result<void> EventStream::send(const Event& event) {
  text_.clear();
  append_event(text_, event);
  return send_text();
}

Result<void> EventStream::comment(std::string_view text) {
  text_.clear();
  append_comment(text_, text);
  return send_text();
}

Result<void> EventStream::send_text() {
  if (const std::error_code e = error()) return fail(e);
  if (auto ok = res_.write(text_); !ok) return ok;
  return res_.flush();
}

std::error_code EventStream::error() const noexcept {
  if (const std::error_code e = res_.error()) return e;
  return req_.context().error();
}

std::string_view last_event_id(const Request& req) noexcept { return req.header("Last-Event-ID"); }

}  // namespace treadle::http
