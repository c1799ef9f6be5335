// One request: from its head to what becomes of the connection after the response.
#include <fmt/format.h>

#include <treadle/detail/kept_deadline.h>
#include <treadle/http/error.h>
#include <treadle/http/status.h>
#include <treadle/log.h>

#include <exception>

#include "connection.h"
#include "log_gate.h"
#include "request_content.h"

namespace treadle::http::detail {

// Prepares everything that a response needs; the head is whole, or cleared.
void Connection::begin_request() {
  RequestState& request = x_->request;
  if (server_->access_log) {
    started_ = Clock::now();
    handler_time_ = {};
  }
  request.host = this;
  request.peer = &peer_;
  request.tls = tls_;
  judge_forwarded();
  request.body = &x_->body;
  request.limits = &options().limits;
  doing_.set(request.head.method, request.head.target, request.head.memo);
  transport_.begin_message();
  claim_.begin();
  x_->body.begin(request.head, transport_, settings_->parser_limits, options().limits.body, claim_);
  x_->writer.begin(transport_, request, x_->body, claim_, server_->keep_alive);
  const std::uint64_t most = options().max_requests_per_connection;
  if (most != 0 && requests_.load(std::memory_order_relaxed) + 1 >= most) x_->writer.close_after();
}

// Who the client is, how it speaks, and whose request id it is.
void Connection::judge_forwarded() {
  RequestState& request = x_->request;
  request.client = &peer_;
  request.secure = tls_ != nullptr || proxy_tls_;
  request.trusted = false;
  if (settings_->trusted.empty()) return;
  const Forwarded f =
      evaluate_forwarded(settings_->trusted, peer_, request.secure ? Scheme::https : Scheme::http,
                         HeaderView(request.head.headers));
  request.trusted = f.trusted;
  request.secure = f.scheme == Scheme::https;
  request.forwarded = f.client;
  request.client = &request.forwarded;
}

// Who proved who he is to one host must not be taken for it at another (RFC 9110 7.4).
bool Connection::host_is_elsewhere() const {
  if (!options().tls || options().tls->client_auth != net::ClientAuth::require) return false;
  std::string_view host = x_->request.head.host;
  if (const auto colon = host.rfind(':');
      colon != std::string_view::npos && host.find(']', colon) == std::string_view::npos)
    host = host.substr(0, colon);
  return !tls_->name_matches(host);
}

Next Connection::serve_request() {
  head_read_ = head_deadline_set_ = false;
  x_->in.pin();
  begin_request();

  const std::uint64_t limit = options().limits.body;
  if (limit != 0 && x_->request.head.content_length > limit)
    return refuse(status::kContentTooLarge, "request body too large");
  switch (answer_target()) {
    case Target::bad: return refuse(status::kBadRequest, "malformed path");
    case Target::unclean: return refuse(status::kBadRequest, "path with empty or dot segments");
    case Target::elsewhere:
      return refuse(status::kMisdirectedRequest, "this connection is for another host");
    case Target::answered: break;
    case Target::for_handler:
      count(requests_);
      run_handler();
      break;
  }
  return after_response(x_->writer.finish());
}

// Splits the path, and answers the requests that no handler shall see: those for the server as a
// whole, and paths that are not in the form that routes are written in.
Connection::Target Connection::answer_target() {
  const RequestHead& head = x_->request.head;
  Response response(x_->writer);
  if (tls_ != nullptr && host_is_elsewhere()) return Target::elsewhere;
  if (head.path == "*") {
    response.status(status::kNoContent);
    return Target::answered;
  }
  if (options().health && answer_health(head.path)) return Target::answered;
  switch (x_->request.take_path()) {
    case DecodedPath::Status::clean: return Target::for_handler;
    case DecodedPath::Status::bad: return Target::bad;
    case DecodedPath::Status::unclean: break;
  }
  if (head.method != "GET" && head.method != "HEAD") return Target::unclean;
  std::string location = clean_path(head.path);
  if (!head.query.empty()) location.append("?").append(head.query);
  response.redirect(location, status::kMovedPermanently);
  return Target::answered;
}

bool Connection::answer_health(std::string_view path) {
  constexpr std::size_t kLongest = 8;
  if (path.size() > kLongest || (path != "/healthz" && path != "/readyz")) return false;
  const std::string_view method = x_->request.head.method;
  if (method != "GET" && method != "HEAD") return false;
  Response response(x_->writer);
  response.header("Cache-Control", "no-store");
  if (path == "/healthz" || server_->is_ready()) {
    response.print("ok\n");
  } else {
    response.status(status::kServiceUnavailable).print("shutting down\n");
  }
  return true;
}

void Connection::run_handler() {
  RequestState& request = x_->request;
  const Deadline deadline = deadline_after(options().handler_timeout);
  context_.begin(deadline);
  request.context = &context_.get();
  if (!deadline.is_never()) deadline_.set(deadline, ResponseClaim::number(claim_.look()));
  // Answered outside of the catch clauses: writing parks, and what is in flight should not.
  std::string failure;
  {
    const treadle::detail::BorrowedContextScope scope(context_.get());
    Response response(x_->writer);
    const Request shown(request);
    try {
      server_->handler(response, shown);
    } catch (const std::exception& e) {
      failure = e.what();
      if (failure.empty()) failure = "exception";
    } catch (...) {
      failure = "exception of unknown type";
    }
  }
  // Where the deadline's side has won meanwhile, its last deadline goes as well: the connection
  // lingers as long, by after_late().
  deadline_.let_go();
  if (server_->access_log) handler_time_ = Clock::now() - started_;
  if (hijacked_.load(std::memory_order_relaxed) || claim_.lost()) {
    if (!failure.empty()) log::error("http: {}: handler failed: {}", describe(), failure);
    return;
  }
  if (failure.empty())
    answer_for_handler();
  else
    answer_failure(failure);
}

void Connection::answer_failure(std::string_view why) {
  log::error("http: {}: handler failed: {}", describe(), why);
  if (x_->writer.committed())
    x_->writer.abandon(Errc::aborted);
  else
    Response(x_->writer).send_error(status::kInternalServerError);
}

// What the handler left for the server to say.
void Connection::answer_for_handler() {
  ResponseWriter& writer = x_->writer;
  // A broken upload must not get what the handler made of its first part as if it were all.
  const std::error_code broken =
      writer.answers_broken_body() ? std::error_code() : x_->request.content_error();
  if (writer.committed()) {
    if (broken && !writer.length_satisfied()) writer.abandon(broken);
    return;
  }
  int code = status_for_content_error(broken);
  if (code != 0) {
    count(refused_);
  } else if (writer.untouched()) {
    if (context_.get().done()) code = status::kServiceUnavailable;
  } else if (writer.error() && writer.error() != Errc::content_length) {
    log::error("http: {}: response failed: {}", describe(), writer.error().message());
    code = status::kInternalServerError;
  }
  if (code != 0) Response(writer).send_error(code);
}

Next Connection::after_response(ResponseWriter::End how) {
  Exchange& x = *x_;
  const ResponseClaim::State claim = claim_.end();
  if (claim >= ResponseClaim::State::timed_out) return after_late(claim);
  // What the client has sent, or goes on to send, would turn our close into a reset, and that would
  // destroy what of the answer has not left. Of who asks for our close no more is expected, but for
  // an empty line or TLS's close_notify; short answers have left by then, the last in one packet
  // with our end. Of long ones before it the client may have read nothing yet.
  constexpr std::uint64_t kLeavesAtOnce = 8 * 1024;
  body_bytes_ += x.writer.body_bytes();
  const bool lingers = x.request.head.keep_alive || !x.body.complete() || !x.in.unread().empty() ||
                       body_bytes_ > kLeavesAtOnce;
  if (hijacked_.load(std::memory_order_relaxed)) {
    // Not context_.end(), which may watch the peer anew: the watch is the new owner's now.
    context_.cancel();
    record(status::kSwitchingProtocols, 0);
    return Next::close;
  }
  context_.end();
  if (!transport_.held().nothing()) see_to_held();
  if (x.writer.error()) log_failure();
  record(x.writer.status(), x.writer.body_bytes(),
         how == ResponseWriter::End::cut ? Outcome::cut : Outcome::complete);
  switch (how) {
    case ResponseWriter::End::keep: break;
    case ResponseWriter::End::close:
      if (lingers) return linger();
      // The answer's last bytes may wait for the end of our side, which must not be a reset.
      if (tls_ == nullptr) (void)conn_->shutdown_write();
      return Next::close;
    case ResponseWriter::End::cut:
      count(cut_);
      says_goodbye_ = false;
      // Where the connection's end would end the body, it must not look like one.
      if (x.writer.ends_with_connection()) conn_->reset();
      return Next::close;
  }
  if (!x.body.drain()) return linger();
  x.in.unpin();
  if (x.in.empty()) return go_idle();  // which clears the rest
  x.body.end();
  x.request.clear();
  return Next::again;
}

// The deadline's goroutine has answered, or cut the connection.
Next Connection::after_late(ResponseClaim::State how) {
  deadline_.wait_for_call();
  if (how == ResponseClaim::State::cut) {
    count(cut_);
    says_goodbye_ = false;
    record(x_->writer.status(), x_->writer.body_bytes(), Outcome::cut);
    return Next::close;
  }
  record(status::kServiceUnavailable, 0);
  return linger();
}

// A client that leaves in the middle is daily business, and any client can do so as often as it
// likes; what is the handler's own fault, or the file's, is the operator's business.
void Connection::log_failure() const {
  const std::error_code error = x_->writer.error();
  const std::error_code body = x_->body.error();
  if (error == Errc::content_length && !body && !conn_->peer_closed()) {
    log::error("http: {}: body differs from its Content-Length", describe());
  } else if (error == treadle::Errc::eof && !body) {
    log::warn("http: {}: cut: the file ended before what was promised", describe());
  } else if (error == treadle::Errc::timed_out || body == treadle::Errc::timed_out) {
    static constinit LogGate gate;
    if (const auto more = gate.pass())
      log::info("http: {}: cut: the client was too slow ({} more left out)", describe(), *more);
  } else {
    log::debug("http: {}: response not completed: {}", describe(), error.message());
  }
}

void Connection::record(int status, std::uint64_t bytes, Outcome outcome) {
  if (!server_->access_log) return;
  const RequestHead& head = x_->request.head;
  const HeaderView headers(head.headers);
  server_->access_log->record(
      {.peer = peer_,
       .client = x_->request.client,
       .method = head.method,
       .target = head.target,
       .minor_version = head.minor_version,
       .host = head.host,
       .status = status,
       .bytes = bytes,
       .referer = headers.get("Referer"),
       .user_agent = headers.get("User-Agent"),
       .user = x_->request.user,
       .request_id = x_->request.id(),
       .tls_version = tls_ != nullptr ? tls_->version() : std::string_view(),
       .tls_cipher = tls_ != nullptr ? tls_->cipher() : std::string_view(),
       .cut = outcome == Outcome::cut,
       .took = Clock::now() - started_,
       .handler_time = handler_time_});
}

std::string Connection::describe() const {
  const RequestHead& head = x_->request.head;
  const net::SocketAddress& client = x_->request.client != nullptr ? *x_->request.client : peer_;
  return fmt::format("{} {} {}", client.to_string(), head.method.empty() ? "-" : head.method,
                     head.target.empty() ? "-" : head.target.substr(0, kLoggedTarget));
}

}  // namespace treadle::http::detail
