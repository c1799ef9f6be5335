// What happens to a response whose handler takes too long, or which the handler takes over.
#include <fmt/format.h>

#include <treadle/detail/kept_deadline.h>
#include <treadle/http/status.h>
#include <treadle/log.h>

#include "connection.h"
#include "date_cache.h"

namespace treadle::http::detail {

void Connection::set_handler_deadline(Deadline d) {
  if (claim_.lost()) return;  // the timer is set for the end of the connection now
  treadle::detail::move_kept_deadline(context_.get(), d);
  const LazyTimer::Tag number = ResponseClaim::number(claim_.look());
  if (d.is_never())
    deadline_.clear();
  else
    deadline_.set(d, number);
  // Lost meanwhile: we may have put our deadline in place of that one.
  if (claim_.lost()) deadline_.set(Deadline::after(kLingerTime), number);
}

// On the deadline timer's goroutine, under its lock. The claim says whether the request is still
// the one that the deadline was for, and who answers it.
void Connection::deadline_passed(LazyTimer::Tag number) {
  for (;;) {
    const ResponseClaim::Ticket seen = claim_.look();
    if (ResponseClaim::number(seen) != number) return;
    switch (ResponseClaim::state_of(seen)) {
      case ResponseClaim::State::idle: return;
      case ResponseClaim::State::timed_out:  // the client has had its time to read the answer
      case ResponseClaim::State::cut: conn_->close(); return;
      case ResponseClaim::State::open:
        if (claim_.try_time_out(seen)) return answer_late(number);
        break;
      case ResponseClaim::State::interim:
      case ResponseClaim::State::committed:
        if (!claim_.try_cut(seen)) break;
        log::warn("http: {}: handler's deadline passed in the middle of its response: cut",
                  describe());
        conn_->close();
        treadle::detail::expire_context(context_.get());
        return;
    }
  }
}

// Nobody else writes now: the handler's own writes fail from here on. The request stays while we
// hold the timer's lock.
void Connection::answer_late(LazyTimer::Tag number) {
  log::warn("http: {}: no response within the handler's deadline: answered with 503", describe());
  treadle::detail::expire_context(context_.get());
  const std::string_view body = "Service Unavailable\n";
  std::string text = "HTTP/1.1 503 Service Unavailable\r\n";
  append_date_field(text);
  text.append(fmt::format("Content-Length: {}\r\n", body.size()));
  text.append(
      "Connection: close\r\nContent-Type: text/plain; charset=utf-8\r\n"
      "X-Content-Type-Options: nosniff\r\n\r\n");
  if (x_->request.head.method != "HEAD") text.append(body);
  const bool behind = transport_.flush().has_value();
  conn_->set_write_deadline(deadline_after(options().write_timeout));
  if (!behind || !conn_->write_all(text) || !conn_->shutdown_write()) {
    conn_->close();
    return;
  }
  // A handler that waits for its request's body waits no more.
  conn_->set_read_deadline(Deadline::after(Duration::zero()));
  // It may run on for ever; the connection does not. Where it returns before, the connection's
  // goroutine reads on meanwhile, so that the answer is not lost to a reset.
  deadline_.again(Deadline::after(kLingerTime), number);
}

Hijacked Connection::hijack() {
  shared_ = std::move(owned_);
  hijacked_.store(true);
  set_handler_deadline(Deadline::never());
  server_->leave(*this);
  InputBuffer& in = x_->in;
  Hijacked mine{shared_, std::string(in.unread())};
  in.consume(in.unread().size());
  x_->body.give_up();
  conn_->set_deadline(Deadline::never());
  return mine;
}

}  // namespace treadle::http::detail
