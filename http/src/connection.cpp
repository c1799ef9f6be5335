#include "connection.h"

#include <fmt/format.h>

#include <treadle/detail/park_alarm.h>
#include <treadle/go.h>
#include <treadle/http/status.h>
#include <treadle/log.h>

#include <algorithm>
#include <array>
#include <utility>

namespace treadle::http::detail {
namespace {

// How long the rest of a TLS record is waited for with an Exchange in hand.
constexpr Duration kRecordTime = std::chrono::seconds(1);

}  // namespace
Connection::Connection(std::shared_ptr<ServerState> server, Arrival arrival)
    : server_(std::move(server)),
      settings_(std::move(arrival.settings)),
      owned_(std::move(arrival.conn)),
      conn_(owned_.get()),
      raw_(arrival.raw != nullptr ? arrival.raw : conn_),
      tls_(arrival.tls),
      transport_(*conn_, settings_->peer_limits),
      context_(server_->connections_context.context),
      deadline_(*this),
      idle_since_(coarse_now()),
      proxy_protocol_(arrival.proxy_protocol),
      peer_(conn_->remote_address()) {}

Connection::~Connection() = default;

Next Connection::begin() {
  if (!open()) return Next::close;
  head_deadline_set_ = true;
  idle_since_.store(coarse_now(), std::memory_order_relaxed);
  read_until_ = deadline_after(options().header_timeout);
  conn_->set_read_deadline(read_until_);
  enter(Phase::idle);
  obey_server(read_until_);
  // A client mostly sends its request right behind its connect: a look whether it is there would
  // cost a system call that the read does not need.
  may_be_empty_ = tls_ == nullptr;
  return may_be_empty_ ? Next::again : Next::wait;
}

// After each deadline of our own: what asked for less time before may have seen us too early.
void Connection::obey_server(Deadline ours) {
  if (shed_.load())
    raw_->set_read_deadline(Deadline::after(Duration::zero()));
  else if (server_->keep_alive.stopping.load())
    raw_->set_read_deadline(std::min(ours, Deadline::after(options().drain_idle)));
}

Next Connection::go_idle() {
  drop_exchange();
  const TimePoint now = coarse_now();
  idle_since_.store(now, std::memory_order_relaxed);
  read_until_ = deadline_after(options().idle_timeout, now);
  conn_->set_read_deadline(read_until_);
  phase_.store(Phase::idle);
  obey_server(read_until_);
  return Next::wait;
}

// Nothing that a client does may end the process, so what the server itself throws, out of memory
// as a rule, ends this connection only.
const treadle::detail::Pollable* Connection::go_on() noexcept {
  try {
    if (const auto* awaited = next_wait()) return awaited;
  } catch (const std::exception& e) {
    says_goodbye_ = false;  // what was being sent is not complete
    log::error("http: a connection ended: {}", e.what());
  } catch (...) {
    says_goodbye_ = false;
    log::error("http: a connection ended: exception of unknown type");
  }
  end();
  return nullptr;
}

// Null when the connection is over: the peer closed it, the idle deadline has passed, it was closed
// here.
const treadle::detail::Pollable* Connection::next_wait() {
  // With an error there will be nothing to read.
  if (begun_ && !conn_->end_dormant_wait()) return nullptr;
  for (Next next = std::exchange(begun_, true) ? step() : begin(); next != Next::close;
       next = step()) {
    if (next == Next::again) continue;
    const auto awaited = conn_->begin_dormant_wait();
    if (!awaited) return nullptr;
    if (*awaited != nullptr) return *awaited;
  }
  return nullptr;
}

void Connection::enter(Phase next) {
  for (;;) {
    Phase now = phase_.load();
    if (now == next) return;
    if (now != Phase::touched && phase_.compare_exchange_strong(now, next)) return;
    gosched();
  }
}

bool Connection::touch(Deadline d) noexcept {
  Phase before = phase_.load();
  if (before != Phase::idle && before != Phase::opening && before != Phase::lingering) return false;
  if (!phase_.compare_exchange_strong(before, Phase::touched)) return false;
  conn_->set_read_deadline(d);
  phase_.store(before);
  return true;
}

void Connection::hurry() noexcept {
  if (!lingering()) touch(Deadline::after(options().drain_idle));
}

bool Connection::shed() noexcept {
  shed_.store(true);
  return touch(Deadline::after(Duration::zero()));
}

// Closed first: a handler that wakes up cancelled must not get an answer out that was counted as
// cut.
void Connection::cut() noexcept {
  if (!hijacked_.load()) {
    transport_.flush_now();
    conn_->close();
  }
  context_.cancel();
}

// Over before it is closed: a shutdown that still holds a reference must not count it as cut.
void Connection::end() noexcept {
  enter(Phase::over);
  if (begun_) {
    // After an exception a request may be under way, and its deadline's goroutine at work on it.
    claim_.end();
    deadline_.stop();
    deadline_.wait_for_call();
  }
  if (counted_) server_->per_address->remove(peer_);
  counted_ = false;
  drop_exchange();
  cut_.store(cut_.load(std::memory_order_relaxed) + transport_.held().lost(),
             std::memory_order_relaxed);
  if (!hijacked_.load()) {
    if (says_goodbye_) say_goodbye();
    conn_->close();
  }
  context_.cancel();
}

// Without close_notify the client could not tell the end from an attack that cut it (RFC 8446 6.1).
// Nobody waits long for it to go.
void Connection::say_goodbye() noexcept {
  constexpr Duration kPatience = std::chrono::seconds(1);
  conn_->set_write_deadline(Deadline::after(kPatience));
  (void)conn_->shutdown_write();
}

std::string Connection::straggler() const {
  if (claim_.state() == ResponseClaim::State::idle) return {};
  return fmt::format("{} {}", peer_.to_string(), doing_.get());
}

Next Connection::step() {
  if (!x_) {
    x_ = acquire_exchange();
    transport_.held().lend(&x_->held);
  }
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
          x_->parser.parse_head(in.unread(), settings_->parser_limits, x_->request.head);
      if (r.status == ParseStatus::error) return refuse(r.error.status, r.error.reason);
      in.consume(r.consumed);
      head_read_ = r.status == ParseStatus::complete;
      if (head_read_) return Next::again;
      x_->request.head.clear();  // of another request, which the parser remembers
    }
    if (!transport_.flush()) {
      says_goodbye_ = false;
      return Next::close;
    }
    if (begun)
      limit_head();
    else if (tls_ != nullptr)
      limit_record();
    const bool look = std::exchange(may_be_empty_, false);
    const Result<std::size_t> n =
        look ? conn_->read_now(in.room_for_head()) : conn_->read(in.room_for_head());
    if (look && !n && n.error() == std::errc::operation_would_block) {
      x_.reset();
      return Next::wait;
    }
    if (n && *n > 0) {
      in.append(*n);
      enter(Phase::active);
      continue;
    }
    if (tls_ != nullptr && !begun && !n && n.error() == treadle::Errc::timed_out) return wait_on();
    if (in.empty()) return Next::close;
    if (n) return refuse(status::kBadRequest, "request ended early");
    if (n.error() == treadle::Errc::timed_out)
      return refuse(status::kRequestTimeout, "request head took too long");
    return Next::close;
  }
}

// Before each read of a head's rest. Its time counts from its first byte, that of a connection's
// first one from the beginning.
void Connection::limit_head() {
  const bool counts_already = std::exchange(head_deadline_set_, true);
  if (!counts_already) read_until_ = deadline_after(options().header_timeout);
  if (!counts_already || tls_ != nullptr) conn_->set_read_deadline(read_until_);
}

// Before the read of a head's first byte over TLS, which may find that part of a record has come:
// then it waits for the rest with an Exchange in hand, for a while only.
void Connection::limit_record() {
  const Deadline rest_of_record = std::min(read_until_, Deadline::after(kRecordTime));
  conn_->set_read_deadline(rest_of_record);
  obey_server(rest_of_record);
}

// Part of a TLS record has come, and no more for a while: an Exchange is not held for that. What is
// left of the time to wait goes on.
Next Connection::wait_on() {
  if (read_until_.passed() || shed_.load()) return Next::close;
  drop_exchange();
  conn_->set_read_deadline(read_until_);
  obey_server(read_until_);
  return Next::wait;
}

Next Connection::refuse(int code, std::string_view reason) {
  Exchange& x = *x_;
  count(refused_);
  // Of a head that was refused the parser leaves method and target, if they were good.
  if (x.request.host == nullptr) begin_request();
  log::debug("http: {}: refused with {}: {}", describe(), code, reason);
  x.writer.close_after();
  Response(x.writer).send_error(code, reason);
  const ResponseWriter::End how = x.writer.finish();
  claim_.end();
  record(x.writer.status(), x.writer.body_bytes());
  if (how != ResponseWriter::End::cut) return linger();
  says_goodbye_ = false;
  return Next::close;
}

Next Connection::linger() {
  drop_exchange();
  discard_input(*conn_);
  return Next::close;
}

void Connection::drop_exchange() noexcept {
  if (!transport_.flush()) says_goodbye_ = false;
  if (park_alarm_) treadle::detail::set_park_alarm(nullptr);
  x_.reset();
}

void Connection::see_to_held() {
  HeldOutput& held = transport_.held();
  if (held.take_wants_watch()) server_->sweep->watch(weak_from_this());
  if (!held.waits()) return;
  if (!park_alarm_) {
    park_alarm_ = after_func(std::chrono::hours(1), [weak = weak_from_this()] {
      if (const auto c = weak.lock()) c->send_held();
    });
    park_alarm_.stop();
  }
  treadle::detail::set_park_alarm(&park_alarm_);
}

// When it fails the handler at work can answer no more, as if its own write had failed.
void Connection::send_held() noexcept {
  if (const Result<void> sent = transport_.flush(); !sent) context_.cancel(sent.error());
}

// Ends our side and reads on for a while.
void Connection::discard_input(net::Conn& conn) {
  idle_since_.store(coarse_now(), std::memory_order_relaxed);
  const Deadline patience = Deadline::after(kLingerTime);
  conn.set_read_deadline(patience);
  conn.set_write_deadline(patience);  // of close_notify; that of the last write may have passed
  enter(Phase::lingering);            // before the client can know that it is
  if (!conn.shutdown_write() || shed_.load()) return;
  std::array<std::byte, 4096> dropped;
  for (std::size_t total = 0; total < kLingerBytes;) {
    const Result<std::size_t> n = conn.read(dropped);
    if (!n || *n == 0) break;
    total += *n;
  }
}

}  // namespace treadle::http::detail
