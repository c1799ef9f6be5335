// The scopes of a Router: the router itself, and its groups.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <treadle/http/handler.h>
#include <treadle/http/middleware.h>

namespace treadle::http {

// What a route takes from where it was registered. Scopes form a tree by `parent`; one that has
// children or routes is closed, so that the middleware of all its ancestors is known for good once
// a scope exists.
struct RouteScope {
  const RouteScope* parent = nullptr;  // null: the router's own
  std::string host;                    // what the prefixes say of the host; empty: nothing
  std::string prefix;                  // "/api/v1", without a slash at its end; empty: none
  std::vector<Middleware> middleware;  // its own, the outermost first
  bool closed = false;                 // a route or a group was made: use() would come too late
  // Answers what no route does (404, 405, redirections) within the middleware of this scope and its
  // ancestors. Empty when there is none.
  Handler unrouted;
};

// The handler within the middleware of the scope and its ancestors, the router's outermost. Panics,
// naming the pattern, when a middleware returns an empty one.
Handler wrap(const RouteScope& scope, Handler handler, std::string_view pattern);

// "GET /x" in a scope of "/api" is "GET /api/x". A malformed pattern stays malformed. Panics when
// both name a host.
std::string scoped_pattern(const RouteScope& scope, std::string_view pattern);

// The scope that a group of `prefix` within `parent` has. Panics when the prefix is malformed.
RouteScope make_scope(const RouteScope& parent, std::string_view prefix);

}  // namespace treadle::http
