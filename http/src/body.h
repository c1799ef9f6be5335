// The body of the request in progress, read from its connection.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include <treadle/http/error.h>
#include <treadle/http/request.h>

#include "input_buffer.h"
#include "parser.h"
#include "response_claim.h"
#include "transport.h"

namespace treadle::http::detail {

// What is left to do for a body once its handler has returned.
inline constexpr std::uint64_t kMaxDrain = 256 * 1024;

// Reused from request to request. Bytes come from the connection's InputBuffer, where what follows
// the body stays for the next request, or straight from the socket into the reader's memory when
// the buffer is empty and the end of the body is known.
//
// `pending_` is body data already parsed but not yet handed out; it lies in the InputBuffer, which
// is refilled only when `pending_` is empty and the parser has used all.
class ConnectionBody final : public Body {
 public:
  ConnectionBody(RequestParser& parser, InputBuffer& in) noexcept : parser_(&parser), in_(&in) {}

  // Begins the body of a request whose head was just consumed from the buffer and pinned.
  void begin(const RequestHead& head, Transport& transport, const ParserLimits& parser_limits,
             std::uint64_t limit, ResponseClaim& claim) noexcept;
  void end() noexcept { transport_ = nullptr; }
  // The connection is no longer ours: reading fails from now on.
  void give_up() noexcept { (void)stick(Errc::aborted); }

  [[nodiscard]] Result<std::size_t> read(std::span<std::byte> into) override;
  std::optional<std::uint64_t> content_length() const noexcept override;
  HeaderView trailers() const noexcept override;

  // Reads and drops what the handler left, up to kMaxDrain. True when the body is at its end, so
  // that the next request can be read. Parks.
  bool drain();

  // Whether drain() has a chance: no error, no client still waiting for 100, not too much left.
  // Decides about `Connection: close` before the head goes.
  bool can_drain() const noexcept;
  bool complete() const noexcept { return complete_ && pending_.empty(); }
  // Whether bytes of what follows the body have come already.
  bool followed() const noexcept { return complete_ && !in_->empty(); }

 private:
  Result<std::size_t> read_direct(std::span<std::byte> into);
  Result<void> parse_buffered();
  Result<void> refill();
  Result<void> appended(const Result<std::size_t>& n);
  Result<void> send_continue();
  Result<void> account(const RequestParser::BodyResult& r);
  std::size_t take(std::span<std::byte> into) noexcept;
  // Bytes of a length-delimited body that the parser has not seen.
  std::uint64_t unparsed() const noexcept { return length_ - received_; }

  RequestParser* parser_;
  InputBuffer* in_;
  Transport* transport_ = nullptr;
  ResponseClaim* claim_ = nullptr;
  const ParserLimits* parser_limits_ = nullptr;
  BodyKind kind_ = BodyKind::none;
  std::uint64_t length_ = 0;
  std::uint64_t received_ = 0;  // body bytes that the parser has seen
  std::uint64_t limit_ = 0;     // 0: none
  std::string_view pending_;
  bool complete_ = true;           // the parser has seen the end
  bool expects_continue_ = false;  // the client waits for 100 before it sends
};

}  // namespace treadle::http::detail
