#include "connection.h"

#include <fmt/format.h>

#include <treadle/go.h>
#include <treadle/http/error.h>
#include <treadle/http/status.h>
#include <treadle/log.h>

#include <array>
#include <exception>
#include <utility>

namespace treadle::http::detail {
namespace {

// A connection that we end while the client may still send: what it sends is read and dropped, so
// that the kernel does not answer it with a reset that would destroy our response on its way.
constexpr Duration kLingerTime = std::chrono::seconds(2);
constexpr std::size_t kLingerBytes = 256 * 1024;

void count(std::atomic<std::uint64_t>& counter) noexcept {
  counter.store(counter.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

// What to answer where the body failed and the handler said nothing; 0: nothing special.
int status_for_body_error(std::error_code e) noexcept {
  if (!e) return 0;
  if (e == Errc::body_too_large) return status::kContentTooLarge;
  if (e == treadle::Errc::timed_out) return status::kRequestTimeout;
  return status::kBadRequest;  // malformed, or ended early; a client that is gone hears nothing
}

}  // namespace

Connection::Connection(std::shared_ptr<ServerState> server, std::unique_ptr<net::Conn> conn)
    : server_(std::move(server)),
      conn_(std::move(conn)),
      transport_(*conn_, server_->options.read_timeout, server_->options.write_timeout),
      context_(with_cancel(server_->connections_context.context)) {}

Connection::~Connection() = default;

Next Connection::begin() {
  conn_->ignore_context();
  head_deadline_set_ = true;
  conn_->set_read_deadline(deadline_after(server_->options.header_timeout));
  // A shutdown that looked through the connections before may have seen this one too early.
  if (server_->stopping.load())
    conn_->set_read_deadline(Deadline::after(server_->options.drain_idle));
  return Next::wait;
}

Next Connection::go_idle() {
  x_.reset();
  conn_->set_read_deadline(deadline_after(server_->options.idle_timeout));
  phase_.store(Phase::idle);
  if (server_->stopping.load())
    conn_->set_read_deadline(Deadline::after(server_->options.drain_idle));
  return Next::wait;
}

bool Connection::wait() { return conn_->wait_readable().has_value(); }

void Connection::enter(Phase next) {
  for (;;) {
    Phase now = phase_.load();
    if (now == next) return;
    if (now != Phase::touched && phase_.compare_exchange_strong(now, next)) return;
    gosched();
  }
}

void Connection::hurry() noexcept {
  Phase expected = Phase::idle;
  if (!phase_.compare_exchange_strong(expected, Phase::touched)) return;
  conn_->set_read_deadline(Deadline::after(server_->options.drain_idle));
  phase_.store(Phase::idle);
}

// Closed first: a handler that wakes up cancelled must not get an answer out that was counted as
// cut.
void Connection::cut() noexcept {
  conn_->close();
  context_.cancel();
}

// Over before it is closed: a shutdown that still holds a reference must not count it as cut.
void Connection::end() noexcept {
  enter(Phase::over);
  x_.reset();
  conn_->close();
  context_.cancel();
}

Next Connection::step() {
  if (!x_) x_ = acquire_exchange();
  const Next next = read_head();
  return head_read_ ? serve_request() : next;
}

Next Connection::read_head() {
  InputBuffer& in = x_->in;
  in.begin_head();
  // Whether anything has come, if only the empty lines that may stand before a request.
  bool begun = false;
  for (;;) {
    if (!in.empty()) {
      begun = true;
      const RequestParser::HeadResult r =
          x_->parser.parse_head(in.unread(), server_->parser_limits, x_->request.head);
      if (r.status == ParseStatus::error) return refuse(r.error.status, r.error.reason);
      in.consume(r.consumed);
      head_read_ = r.status == ParseStatus::complete;
      if (head_read_) return Next::again;
    }
    if (begun && !head_deadline_set_) {
      head_deadline_set_ = true;
      conn_->set_read_deadline(deadline_after(server_->options.header_timeout));
    }
    const Result<std::size_t> n = conn_->read(in.room_for_head());
    if (n && *n > 0) {
      in.append(*n);
      enter(Phase::active);
      continue;
    }
    if (in.empty()) return Next::close;
    if (n) return refuse(status::kBadRequest, "request ended early");
    if (n.error() == treadle::Errc::timed_out)
      return refuse(status::kRequestTimeout, "request head took too long");
    return Next::close;
  }
}

Next Connection::serve_request() {
  head_read_ = head_deadline_set_ = false;
  if (server_->access_log) started_ = Clock::now();
  RequestState& request = x_->request;
  request.conn = conn_.get();
  request.body = &x_->body;
  request.body_limit = server_->options.limits.body;
  x_->in.pin();
  x_->body.begin(request.head, transport_, server_->parser_limits, server_->options.limits.body);
  x_->writer.begin(transport_, request, x_->body, server_->stopping);

  const std::uint64_t limit = server_->options.limits.body;
  if (limit != 0 && request.head.content_length > limit)
    return refuse(status::kContentTooLarge, "request body too large");
  switch (answer_target()) {
    case Target::bad: return refuse(status::kBadRequest, "malformed path");
    case Target::unclean: return refuse(status::kBadRequest, "path with empty or dot segments");
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
  if (head.path == "*") {
    response.status(status::kNoContent);
    return Target::answered;
  }
  switch (x_->request.path.assign(head.path)) {
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

void Connection::run_handler() {
  RequestState& request = x_->request;
  ResponseWriter& writer = x_->writer;
  const Deadline deadline = deadline_after(server_->options.handler_timeout);
  request.context = with_deadline(context_.context, deadline).context;
  // Answered outside of the catch clauses: writing parks, and what is in flight should not.
  std::string failure;
  {
    ContextScope scope(request.context);
    Response response(writer);
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
      writer.answers_broken_body() ? std::error_code() : x_->body.error();
  if (writer.committed()) {
    if (broken && !writer.length_satisfied()) writer.abandon(broken);
    return;
  }
  int code = status_for_body_error(broken);
  if (code != 0) {
    count(refused_);
  } else if (writer.untouched()) {
    if (x_->request.context.done()) code = status::kServiceUnavailable;
  } else if (writer.error() && writer.error() != Errc::content_length) {
    log::error("http: {}: response failed: {}", describe(), writer.error().message());
    code = status::kInternalServerError;
  }
  if (code != 0) Response(writer).send_error(code);
}

Next Connection::after_response(ResponseWriter::End how) {
  Exchange& x = *x_;
  const bool wants_more = x.request.head.keep_alive || !x.body.complete();
  if (x.request.context.state() != nullptr) CancelFunc{x.request.context}();
  if (x.writer.error()) log_failure();
  record();
  switch (how) {
    case ResponseWriter::End::keep: break;
    case ResponseWriter::End::close: return wants_more ? linger() : Next::close;
    case ResponseWriter::End::cut: count(cut_); return Next::close;
  }
  if (!x.body.drain()) return linger();
  x.in.unpin();
  x.body.end();
  x.request.clear();
  return x.in.empty() ? go_idle() : Next::again;
}

// A client that leaves in the middle is daily business, and any client can do so as often as it
// likes; only what is the handler's own fault is an error.
void Connection::log_failure() const {
  const std::error_code error = x_->writer.error();
  const bool handlers_fault =
      error == Errc::content_length && !x_->body.error() && !conn_->peer_closed();
  if (handlers_fault)
    log::error("http: {}: body differs from its Content-Length", describe());
  else
    log::debug("http: {}: response not completed: {}", describe(), error.message());
}

Next Connection::refuse(int code, std::string_view reason) {
  Exchange& x = *x_;
  count(refused_);
  // Of a head that was not read whole nothing can be relied on.
  if (x.request.conn == nullptr) {
    x.request.head.clear();
    x.request.conn = conn_.get();
    if (server_->access_log) started_ = Clock::now();
    x.body.begin(x.request.head, transport_, server_->parser_limits, 0);
    x.writer.begin(transport_, x.request, x.body, server_->stopping);
  }
  log::debug("http: {}: refused with {}: {}", describe(), code, reason);
  x.writer.close_after();
  Response(x.writer).send_error(code, reason);
  const ResponseWriter::End how = x.writer.finish();
  record();
  if (how == ResponseWriter::End::cut) return Next::close;
  return linger();
}

Next Connection::linger() {
  phase_.store(Phase::over);
  x_.reset();
  if (!conn_->shutdown_write()) return Next::close;
  conn_->set_read_deadline(Deadline::after(kLingerTime));
  std::array<std::byte, 4096> dropped;
  for (std::size_t total = 0; total < kLingerBytes;) {
    const Result<std::size_t> n = conn_->read(dropped);
    if (!n || *n == 0) break;
    total += *n;
  }
  return Next::close;
}

void Connection::record() {
  if (!server_->access_log) return;
  const RequestHead& head = x_->request.head;
  const HeaderView headers(head.headers);
  const net::SocketAddress peer = conn_->remote_address();
  server_->access_log->record({.peer = peer,
                               .method = head.method,
                               .target = head.target,
                               .minor_version = head.minor_version,
                               .status = x_->writer.status(),
                               .bytes = x_->writer.body_bytes(),
                               .referer = headers.get("Referer"),
                               .user_agent = headers.get("User-Agent"),
                               .took = Clock::now() - started_});
}

std::string Connection::describe() const {
  const RequestHead& head = x_->request.head;
  return fmt::format("{} {} {}", conn_->remote_address().to_string(),
                     head.method.empty() ? "-" : head.method,
                     head.target.empty() ? "-" : head.target.substr(0, kLoggedTarget));
}

}  // namespace treadle::http::detail
