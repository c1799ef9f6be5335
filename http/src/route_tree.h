// Where a request goes: the patterns of a Router as a tree, and the state behind Router handles.
//
// Concepts. A pattern is "[METHOD ][host]/path". Its path is a list of segments: literals, {name}
// for one segment that is not empty, and as the last one {name...} for all that follows, or {$} for
// exactly a trailing slash. A path that ends in '/' stands for an anonymous {...}. Literals are
// compared decoded, segment by segment, so that an encoded slash never splits one.
//
// Invariant: of any two patterns in the tree that can match one request, one is strictly narrower,
// or one alone names a host; add() panics for anything else. Therefore trying the host before no
// host, the method before GET for HEAD before none, and a literal before {name} before {name...}
// finds the narrowest pattern, whatever the order of registration.
//
// As in Go's mux, a path without a last slash goes to "path/" where a pattern names exactly that
// and none names "path": with "/" and "/images/", "/images" is redirected and not answered by "/".
//
// Cost: each tree node is visited once at most, so a lookup is bounded by the routes, never
// exponential in the path. It allocates nothing once the RouteMatch is warm.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <treadle/http/handler.h>
#include <treadle/http/router.h>

#include "route_pattern.h"
#include "route_scope.h"
#include "url.h"

namespace treadle::http {

struct PathValue {
  std::string_view name;   // lives as long as the tree
  std::string_view value;  // into the DecodedPath or the path it was made from
};

enum class RouteOutcome : std::uint8_t {
  found,
  not_found,           // 404
  method_not_allowed,  // 405 with `allow`; for OPTIONS a 204 with it does as well
  add_slash,  // "path/" has a pattern, "path" at most a wider one: 301 to GET and HEAD, else 308
};

// The answer of a lookup. Reuse one object: it keeps its memory.
struct RouteMatch {
  static constexpr std::size_t kNoRest = static_cast<std::size_t>(-1);

  RouteOutcome outcome = RouteOutcome::not_found;
  std::uint32_t route = 0;        // for found: the index given by add()
  std::vector<PathValue> values;  // for found: in the order of the pattern; only named wildcards
  std::size_t rest_from =
      kNoRest;        // for found: the first segment that {name...} or a trailing '/' took
  std::string allow;  // for method_not_allowed: "GET, HEAD, POST"

  void clear() noexcept;
  // The value of {name}; empty when the pattern has no such name.
  std::string_view value(std::string_view name) const noexcept;
};

class RouteTree {
 public:
  // Takes a pattern in and returns its index: 0, 1, 2... in the order they came. Panics when it
  // conflicts with one already there, naming both.
  std::uint32_t add(RoutePattern pattern);

  // Looks a request up. `host` is an authority; its port does not count and neither does case.
  // `path` must be clean. Never parks; any thread, while nobody calls add().
  void find(std::string_view method, std::string_view host, const DecodedPath& path,
            RouteMatch& match) const;

  const RoutePattern& pattern(std::uint32_t index) const noexcept { return patterns_[index]; }
  std::size_t size() const noexcept { return patterns_.size(); }

 private:
  static constexpr std::uint32_t kNone = static_cast<std::uint32_t>(-1);

  struct Literal {
    std::string text;
    std::uint32_t node;
  };
  // What may follow a prefix of segments. Indices of nodes and patterns; kNone: there is none.
  struct Node {
    std::vector<Literal> literals;  // sorted by text
    std::uint32_t single = kNone;   // node behind {name}
    std::uint32_t here = kNone;     // pattern that ends here, without a slash
    std::uint32_t slash = kNone;    // pattern that ends in {$}
    std::uint32_t rest = kNone;     // pattern that ends in {name...} or '/'
  };
  struct MethodRoot {
    std::string method;
    std::uint32_t node;
  };
  struct HostRoots {
    std::string host;
    std::vector<MethodRoot> methods;
  };
  // The path of one lookup.
  struct Walk {
    std::span<const std::string_view> segments;
    bool slash;  // whether a slash follows the last segment
  };

  HostRoots& host_roots(const std::string& host);
  const HostRoots* find_host(std::string_view host) const noexcept;
  std::uint32_t root_for(const RoutePattern& pattern);
  std::uint32_t literal_child(std::uint32_t node, const std::string& text);
  // The node behind the literal, or kNone.
  static std::uint32_t find_literal(const Node& node, std::string_view segment) noexcept;
  bool exact(std::uint32_t found, const Walk& walk) const noexcept;
  std::uint32_t match_host(std::string_view host, std::string_view method, const Walk& walk) const;
  std::uint32_t match_method(const HostRoots& roots, std::string_view method,
                             const Walk& walk) const;
  std::uint32_t match_node(std::uint32_t node, std::size_t depth, const Walk& walk) const;
  std::string allowed_methods(std::string_view host, const Walk& walk) const;

  std::deque<RoutePattern> patterns_;  // a deque: names handed out as views stay where they are
  std::vector<Node> nodes_;
  std::vector<HostRoots> hosts_;    // sorted by host; "" is the one for every host
  bool names_hosts_ = false;        // any is not ""
  std::uint64_t slash_depths_ = 0;  // behind how many segments a pattern ends in a slash, by bits

  // The last bit stands for all that are deeper.
  static std::uint64_t depth_bit(std::size_t depth) noexcept {
    return std::uint64_t{1} << std::min<std::size_t>(depth, 63);
  }
  bool ends_in_slash_behind(std::size_t segments) const noexcept {
    return (slash_depths_ & depth_bit(segments)) != 0;
  }
};

// What Router and RouteGroup handles share: patterns, and under each pattern's index the handler,
// within its middleware, and the scope it came by.
struct Router::State {
  RouteTree tree;
  // A number that no router in the process has had with other routes than these.
  std::uint64_t version = next_version();
  std::deque<Handler> handlers;
  std::vector<const RouteScope*> scope_of;
  std::deque<RouteScope> scopes{1};  // the router's own first; a deque: they stay where they are
  // Set by the server before the first request. From then on the tables are read by many threads
  // without a lock, so handle() panics. Written and read with plain ordering: it catches a mistake,
  // it does not order anything.
  std::atomic<bool> serving{false};

  // Behind Router and RouteGroup; see there.
  void use(RouteScope& scope, Middleware middleware);
  void handle(RouteScope& scope, std::string_view pattern, Handler handler);
  RouteScope& group(RouteScope& parent, std::string_view prefix);

 private:
  static std::uint64_t next_version() noexcept;
};

// One request's way through a router, as the server's dispatch uses it:
//
//   RoutedHandler to = route(router, method, host, path, match);
//   if (to.handler) (*to.handler)(res, req); else switch (match.outcome) ...
struct RoutedHandler {
  const Handler* handler = nullptr;  // null unless match.outcome is found
  std::string_view pattern;  // as registered, for logs and metrics; lives as the router does
};

// Looks up the handler of a clean path; `match` says the rest (path values, Allow). Never parks;
// any thread.
RoutedHandler route(const Router& router, std::string_view method, std::string_view host,
                    const DecodedPath& path, RouteMatch& match);

// Answers a request that route() found no handler for, by what `req.state().match()` says: 404, 405
// or 204 with Allow, or a redirection. May park.
void answer_unrouted(Response& res, const Request& req);

// From here on registering panics. Never parks; any thread.
void freeze(const Router& router) noexcept;

}  // namespace treadle::http
