// What a Request shows, and what the server keeps beside it. One object serves one request after
// another and keeps its memory.
#pragma once

#include <cstddef>
#include <expected>
#include <string_view>
#include <system_error>

#include <treadle/context.h>
#include <treadle/http/request.h>
#include <treadle/net/conn.h>

#include "parser.h"
#include "route_tree.h"
#include "url.h"

namespace treadle::http {
struct RequestLimits;
}

namespace treadle::http::detail {

// How much of a request's target the operator's log shows.
inline constexpr std::size_t kLoggedTarget = 256;

// Touched only by the goroutine that serves the request. The views in it point into the
// connection's InputBuffer, pinned meanwhile.
struct RequestState {
  RequestHead head;
  DecodedPath path;
  RouteMatch match;          // filled by the router
  std::string_view pattern;  // the route's, for logs; empty before routing and where none matched
  Body* body = nullptr;
  net::Conn* conn = nullptr;
  Context context;                        // the request's own
  const RequestLimits* limits = nullptr;  // the server's; null: the defaults
  std::error_code unusable;  // what a reader of the query or the body found wrong with it first

  void clear() noexcept;

  // Cancels the request's Context when the client has gone. As cheap as a load; called where the
  // handler comes by anyway.
  void watch_peer() const noexcept;

  // Says that what was read is no good, so that a handler that writes nothing gets it answered.
  std::unexpected<std::error_code> refuse(std::error_code why) noexcept {
    if (!unusable) unusable = why;
    return std::unexpected(why);
  }
  // Why the request's content could not be used: its body failed, or what was made of it.
  std::error_code content_error() const noexcept {
    return body != nullptr && body->error() ? body->error() : unusable;
  }
};

}  // namespace treadle::http::detail
