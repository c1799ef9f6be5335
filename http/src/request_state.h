// What a Request shows, and what the server keeps beside it. One object serves one request after
// another and keeps its memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <system_error>

#include <treadle/context.h>
#include <treadle/http/request.h>
#include <treadle/http/response.h>
#include <treadle/net/conn.h>

#include "parser.h"
#include "route_tree.h"
#include "url.h"

namespace treadle::net {
class TlsConn;
}

namespace treadle::http {
struct RequestLimits;
}

namespace treadle::http::detail {

// What a request may ask of the connection it came by. For the goroutine that runs the handler.
class RequestHost {
 public:
  // When the handler's time is over; never: it is exempt. May park, see DeadlineScope.
  virtual void set_handler_deadline(Deadline d) = 0;
  virtual Deadline handler_deadline() const noexcept = 0;
  // Gives the connection away; the response must be the handler's. Never parks.
  virtual Hijacked hijack() = 0;

 protected:
  ~RequestHost() = default;
};

// How much of a request's target the operator's log shows.
inline constexpr std::size_t kLoggedTarget = 256;

// Touched only by the goroutine that serves the request. The views in it point into the
// connection's InputBuffer, pinned meanwhile, or into what the parser remembers of the head.
//
// What follows from a head alone is kept from one request to the next, beside the number of the
// head (RequestHead::memo): where the same head comes again nothing has to be done for it.
struct RequestState {
  RequestHead head;          // cleared between requests unless it has a number
  DecodedPath path;          // see take_path()
  std::string_view pattern;  // the route's, for logs; empty before routing and where none matched
  Body* body = nullptr;
  RequestHost* host = nullptr;
  const Context* context = nullptr;       // the request's own; null: background
  const RequestLimits* limits = nullptr;  // the server's; null: the defaults
  std::error_code unusable;  // what a reader of the query or the body found wrong with it first

  // Who is behind it: by the connection, by a PROXY header, or by what a trusted proxy says.
  // Addresses are borrowed: those of a connection do not change from request to request.
  const net::SocketAddress* peer = nullptr;    // the connection's, or of its PROXY header
  const net::SocketAddress* client = nullptr;  // as believed
  net::SocketAddress forwarded;                // what `client` points to where a proxy named it
  bool secure = false;                         // https, as believed
  const net::TlsConn* tls = nullptr;           // null: not TLS
  bool trusted = false;                        // the peer's own X-Request-Id is believed
  std::string request_id;                      // empty until id() is asked for

  std::string user;  // who basic_auth() has found the client to be; empty: nobody

  // Splits the head's path into `path`.
  DecodedPath::Status take_path();
  // Finds the request's way through a router; from then on match() tells it.
  RoutedHandler take_route(const Router& router);
  // What the router has found; before one has looked, as for a request that no route matches.
  const RouteMatch& match() const noexcept { return routed_ ? match_ : unrouted(); }

  // The one that a trusted proxy sent, or a new one.
  const std::string& id();

  // Says that what was read is no good, so that a handler that writes nothing gets it answered.
  std::unexpected<std::error_code> refuse(std::error_code why) noexcept {
    if (!unusable) unusable = why;
    return std::unexpected(why);
  }
  // Why the request's content could not be used: its body failed, or what was made of it.
  std::error_code content_error() const noexcept {
    return body != nullptr && body->error() ? body->error() : unusable;
  }

  void clear() noexcept;

 private:
  static const RouteMatch& unrouted() noexcept;

  std::uint64_t path_of_ = 0;  // the number of the head whose path, a clean one, `path` is; 0: none
  bool routed_ = false;        // match_ is this request's
  RouteMatch match_;
  RoutedHandler to_;
  std::uint64_t match_of_ = 0;    // the number of the head that match_ and to_ are for; 0: none
  std::uint64_t match_from_ = 0;  // the routes that they come from: Router::State::version
};

}  // namespace treadle::http::detail
