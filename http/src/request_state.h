// What a Request shows, and what the server keeps beside it. One object serves one request after
// another and keeps its memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <treadle/context.h>
#include <treadle/http/request.h>
#include <treadle/net/conn.h>

#include "parser.h"
#include "route_tree.h"
#include "url.h"

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
  Context context;               // the request's own
  std::string request_id;        // empty until somebody gives it one; see request_id.h
  std::string user;              // who basic_auth() has found the client to be; empty: nobody
  std::uint64_t body_limit = 0;  // RequestLimits::body

  void clear() noexcept;

  // Cancels the request's Context when the client has gone. As cheap as a load; called where the
  // handler comes by anyway.
  void watch_peer() const noexcept;
};

}  // namespace treadle::http::detail
