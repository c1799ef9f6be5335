// One pattern of a Router, taken apart, and how two patterns relate. See route_tree.h for what they
// mean.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace treadle::http {

struct RouteSegment {
  enum class Kind : std::uint8_t {
    literal,  // `text` is the decoded segment
    single,   // {text}
    rest,     // {text...}, or a trailing slash, whose name is empty; always last
    slash,    // {$}: nothing after the slash; always last
  };
  Kind kind = Kind::literal;
  std::string text;
};

struct RoutePattern {
  std::string source;  // as it was registered
  std::string method;  // empty: every method
  std::string host;    // lower case; empty: every host
  std::vector<RouteSegment> segments;
};

// Takes a pattern apart. Panics, naming the pattern and what is wrong with it, when it is
// malformed or could never match: an unknown method, no path, a bad escape, empty or dot segments,
// a wildcard that is not a whole segment, has no proper name, comes twice, or stands before the end
// though it takes all that follows.
RoutePattern parse_route_pattern(std::string_view source);

// How the requests that two patterns match relate.
enum class RouteRelation : std::uint8_t {
  disjoint,  // no request matches both
  equal,     // the same requests
  wider,     // the first matches all of the second's and more
  narrower,  // the second matches all of the first's and more
  overlap,   // some match both, and each matches some the other does not
};
RouteRelation compare_route_paths(const RoutePattern& a, const RoutePattern& b) noexcept;
RouteRelation compare_route_methods(const RoutePattern& a, const RoutePattern& b) noexcept;
// Whether they cannot both be registered: same host, and equal or overlapping otherwise.
bool routes_conflict(const RoutePattern& a, const RoutePattern& b) noexcept;

}  // namespace treadle::http
