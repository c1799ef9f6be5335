#include "body.h"

#include <treadle/http/error.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace treadle::http::detail {
namespace {

// From this size on a read goes straight into the caller's memory: below it, one system call into
// the buffer serves several reads.
constexpr std::size_t kDirectRead = 4 * 1024;

// All the time a client gets to finish a body that nobody wants.
constexpr Duration kDrainTime = std::chrono::seconds(5);

}  // namespace

void ConnectionBody::begin(const RequestHead& head, Transport& transport,
                           const ParserLimits& parser_limits, std::uint64_t limit,
                           ResponseClaim& claim) noexcept {
  forget_error();
  claim_ = &claim;
  transport_ = &transport;
  parser_limits_ = &parser_limits;
  kind_ = head.body;
  length_ = kind_ == BodyKind::length ? head.content_length : 0;
  received_ = 0;
  limit_ = limit;
  pending_ = {};
  complete_ = kind_ == BodyKind::none || (kind_ == BodyKind::length && length_ == 0);
  expects_continue_ = head.expect_continue && !complete_;
}

std::optional<std::uint64_t> ConnectionBody::content_length() const noexcept {
  if (kind_ == BodyKind::chunked) return {};
  return length_;
}

HeaderView ConnectionBody::trailers() const noexcept {
  if (kind_ != BodyKind::chunked || !complete_) return {};
  return HeaderView(parser_->trailers());
}

Result<std::size_t> ConnectionBody::read(std::span<std::byte> into) {
  if (error()) return fail(error());
  if (into.empty()) return 0;
  if (claim_->lost()) return stick(treadle::Errc::timed_out);
  for (;;) {
    if (!pending_.empty()) return take(into);
    if (complete_) return 0;
    if (in_->empty()) {
      if (auto r = send_continue(); !r) return stick(r.error());
      if (kind_ == BodyKind::length && into.size() >= kDirectRead) return read_direct(into);
      if (auto r = refill(); !r) return stick(r.error());
    }
    if (auto r = parse_buffered(); !r) return stick(r.error());
  }
}

std::size_t ConnectionBody::take(std::span<std::byte> into) noexcept {
  const std::size_t n = std::min(into.size(), pending_.size());
  std::memcpy(into.data(), pending_.data(), n);
  pending_.remove_prefix(n);
  return n;
}

Result<std::size_t> ConnectionBody::read_direct(std::span<std::byte> into) {
  const auto most = static_cast<std::size_t>(std::min<std::uint64_t>(into.size(), unparsed()));
  Result<std::size_t> n = transport_->read(into.first(most));
  if (!n) return stick(n.error());
  if (*n == 0) return stick(treadle::Errc::eof);
  // All of it is body, in place; the parser only has to keep count.
  std::string_view bytes(reinterpret_cast<const char*>(into.data()), *n);
  while (!bytes.empty() && !complete_) {
    const RequestParser::BodyResult r = parser_->parse_body(bytes, *parser_limits_);
    if (auto ok = account(r); !ok) return stick(ok.error());
    bytes.remove_prefix(r.consumed);
  }
  return *n;
}

Result<void> ConnectionBody::refill() { return appended(transport_->read(in_->room_for_body())); }

Result<void> ConnectionBody::appended(const Result<std::size_t>& n) {
  if (!n) return fail(n.error());
  if (*n == 0) return fail(treadle::Errc::eof);
  in_->append(*n);
  return {};
}

Result<void> ConnectionBody::parse_buffered() {
  const RequestParser::BodyResult r = parser_->parse_body(in_->unread(), *parser_limits_);
  in_->consume(r.consumed);
  if (auto ok = account(r); !ok) return ok;
  pending_ = r.data;
  return {};
}

Result<void> ConnectionBody::account(const RequestParser::BodyResult& r) {
  if (r.status == ParseStatus::error)
    return fail(r.error.status == 413 ? Errc::body_too_large : Errc::malformed_body);
  received_ += r.data.size();
  complete_ = r.status == ParseStatus::complete;
  if (limit_ != 0 && received_ > limit_) return fail(Errc::body_too_large);
  // A parser that neither takes a byte nor reports an end would keep us here for ever.
  if (!complete_ && r.consumed == 0) return fail(Errc::malformed_body);
  return {};
}

// RFC 9110 10.1.1: once, when the handler first wants the body, unless the client has not waited,
// or the final response is on its way.
Result<void> ConnectionBody::send_continue() {
  if (!expects_continue_) return {};
  expects_continue_ = false;
  if (!claim_->begin_interim()) return {};
  std::string_view text = "HTTP/1.1 100 Continue\r\n\r\n";
  std::array<iovec, 1> part{iovec{const_cast<char*>(text.data()), text.size()}};
  const net::WriteResult r = transport_->write(part);
  if (!claim_->end_interim()) return fail(treadle::Errc::timed_out);
  if (!r) return fail(r.error);
  return {};
}

bool ConnectionBody::can_drain() const noexcept {
  if (complete_) return true;
  if (error()) return false;
  if (expects_continue_ && in_->empty()) return false;
  return kind_ == BodyKind::chunked || unparsed() <= kMaxDrain;
}

bool ConnectionBody::drain() {
  if (complete_) {
    pending_ = {};
    return true;
  }
  if (!can_drain()) return false;
  // The client was told not to expect 100 any more by the final response.
  expects_continue_ = false;
  net::Conn& conn = transport_->conn();
  conn.set_read_deadline(Deadline::after(kDrainTime));
  std::uint64_t dropped = 0;
  while (!complete_ && dropped <= kMaxDrain) {
    if (in_->empty() && !appended(conn.read(in_->room_for_body()))) return false;
    const std::size_t before = in_->unread().size();
    if (!parse_buffered()) return false;
    // Framing counts as well: chunks of one byte cost six.
    dropped += before - in_->unread().size();
  }
  pending_ = {};
  return complete_;
}

}  // namespace treadle::http::detail
