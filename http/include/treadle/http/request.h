// Request: what a client asked for.
//
//   router.handle("POST /notes/{id}", [](http::Response& res, const http::Request& req) {
//     auto text = req.body().read_all();
//     if (!text) return;                        // 413, 400 or 408 is answered for us
//     res.print("{} is now {} bytes\n", req.path_value("id"), text->size());
//   });
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

#include <treadle/context.h>
#include <treadle/http/header.h>
#include <treadle/net/addr.h>
#include <treadle/result.h>

namespace treadle::net {
class TlsConn;
}

namespace treadle::http {

namespace detail {
struct RequestState;
}

// A request's body, read as it arrives: the client sends no faster than the handler reads. The
// first read answers `Expect: 100-continue`. What a handler leaves unread the server reads and
// drops, up to 256 KiB; beyond that it closes the connection after the response.
// Belongs to the request's goroutine, like all of a Request.
class Body {
 public:
  virtual ~Body() = default;
  Body(const Body&) = delete;
  Body& operator=(const Body&) = delete;

  // Reads up to into.size() bytes; 0 means the end (or `into` is empty).
  // Parks the calling G. Obeys the connection's deadlines, not the request's Context.
  // Errors, all of which stick: body_too_large (the server's limit), malformed_body, eof (the
  // client ended the stream early), timed_out (nothing came for ServerOptions::read_timeout), else
  // the system's code. A handler that then writes nothing gets 413, 400 or 408 answered for it, in
  // place of what it wrote before; if the head has left, the response is cut short of its end.
  [[nodiscard]] virtual Result<std::size_t> read(std::span<std::byte> into) = 0;

  // The rest of the body as one string, of `limit` bytes at most: body_too_large when it is longer.
  // Parks and fails as read().
  [[nodiscard]] Result<std::string> read_all(std::size_t limit = kNoLimit);

  // The length in bytes; empty for a chunked body, whose length shows only at its end.
  virtual std::optional<std::uint64_t> content_length() const noexcept = 0;

  // Fields that followed a chunked body (RFC 9110 6.5). Empty until read() has returned 0.
  virtual HeaderView trailers() const noexcept = 0;

  // Empty while all is well; the first failure otherwise.
  std::error_code error() const noexcept { return error_; }

  static constexpr std::size_t kNoLimit = ~std::size_t{0};

 protected:
  Body() = default;
  std::unexpected<std::error_code> stick(std::error_code e) noexcept {
    if (!error_) error_ = e;
    return std::unexpected(error_);
  }
  void forget_error() noexcept { error_ = {}; }
  // For a body that reads another one: what is wrong with it is wrong with that one, too.
  static void stick_to(Body& inner, std::error_code e) noexcept { (void)inner.stick(e); }

 private:
  std::error_code error_;
};

// One request. Every view lives until the handler returns. It belongs to the goroutine that runs
// the handler: hand copies, not views, to others.
class Request {
 public:
  std::string_view method() const noexcept;    // "GET"
  std::string_view target() const noexcept;    // as it stands in the request line
  std::string_view raw_path() const noexcept;  // still percent-encoded, without the query
  // Decoded once, as a whole: a "%2F" inside a segment looks like a separator here. Decide on
  // path_value(), whose segments are decoded one by one.
  std::string_view path() const noexcept;
  std::string_view raw_query() const noexcept;  // still encoded, without the '?'
  // The first value of a query parameter, decoded ('+' is a space); nothing when there is none.
  std::optional<std::string> query(std::string_view name) const;
  int minor_version() const noexcept;  // 0 or 1, of HTTP/1

  // Host and port the client addressed (RFC 9110 7.2), as sent.
  std::string_view host() const noexcept;
  // The first header field of that name; empty when there is none.
  std::string_view header(std::string_view name) const noexcept;
  HeaderView headers() const noexcept;
  // What a wildcard of the route's pattern matched, decoded; empty when there is no such wildcard.
  std::string_view path_value(std::string_view name) const noexcept;

  Body& body() const noexcept;
  std::optional<std::uint64_t> content_length() const noexcept;  // that of the body

  // The client, as far as it is known: what a PROXY header or a trusted proxy's X-Forwarded-For
  // says, else the connection's other end.
  net::SocketAddress remote_address() const;
  // The connection's other end, or what its PROXY header says; never what a field of the head says.
  net::SocketAddress peer_address() const;
  // What ties this request's lines in several logs together: X-Request-Id from a trusted proxy, or
  // 32 hex digits of our own. It stands in the access log. Lives until the handler returns.
  std::string_view id() const;
  // Whether the client spoke TLS, with us or with a trusted proxy.
  bool secure() const noexcept;
  // The connection's TLS: versions, names, certificates. Null without.
  const net::TlsConn* tls() const noexcept;
  // Done when the handler's deadline has passed (timed_out), when the client's side closes, or when
  // the server is shut down hard (canceled); also while the handler computes, or waits for
  // something else. The response is still sent then: a client that has only closed its sending side
  // looks the same. It is the handler goroutine's current Context, too: sleep and I/O end with it
  // unasked; the request's body and the Response do not, they obey the connection's deadlines only.
  // Whoever keeps it sees it end with the request; one that nobody kept serves the
  // connection's next request, too. Never parks.
  Context context() const;

  // For the server and the router.
  explicit Request(detail::RequestState& state) noexcept : state_(&state) {}
  Request(const Request&) = delete;
  Request& operator=(const Request&) = delete;
  detail::RequestState& state() const noexcept { return *state_; }

 private:
  detail::RequestState* state_;
};

}  // namespace treadle::http
