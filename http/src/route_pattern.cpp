// Patterns: their syntax, and how two of them relate.
#include "route_pattern.h"

#include <algorithm>
#include <cstddef>
#include <optional>

#include <treadle/result.h>

#include "chars.h"
#include "method.h"
#include "url.h"

namespace treadle::http {
namespace {

using Kind = RouteSegment::Kind;

[[noreturn]] void reject(std::string_view source, const std::string& why) {
  throw Panic("treadle::http: pattern \"" + std::string(source) + "\": " + why);
}

std::string quoted(std::string_view text) { return "\"" + std::string(text) + "\""; }

bool is_identifier(std::string_view text) noexcept {
  const auto starts = [](char c) { return chars::is_alpha(c) || c == '_'; };
  return !text.empty() && starts(text.front()) &&
         std::all_of(text.begin(), text.end(),
                     [&](char c) { return starts(c) || chars::is_digit(c); });
}

std::string parse_host(std::string_view source, std::string_view host) {
  const bool literal = host.starts_with('[');
  if (literal && !host.ends_with(']')) reject(source, "the host's '[' has no ']' at its end");
  std::string lower;
  for (const char c : literal ? host.substr(1, host.size() - 2) : host) {
    if (c == '{' || c == '}') reject(source, "a host cannot have wildcards");
    if (c == ':' && !literal) reject(source, "a host is given without its port");
    if (c != ':' && !chars::is(c, chars::kRegName)) {
      reject(source, "bad character in the host " + quoted(host));
    }
    lower += chars::to_lower(c);
  }
  return literal ? "[" + lower + "]" : lower;
}

// What stands between the braces of a segment.
RouteSegment parse_wildcard(std::string_view source, std::string_view inside, bool last) {
  if (inside == "$") {
    if (!last) reject(source, "{$} must be the end");
    return {Kind::slash, {}};
  }
  RouteSegment segment{Kind::single, {}};
  if (inside.ends_with("...")) {
    inside.remove_suffix(3);
    segment.kind = Kind::rest;
    if (!last) reject(source, "{" + std::string(inside) + "...} must be the end");
  }
  if (inside.empty()) reject(source, "a wildcard has no name");
  if (!is_identifier(inside)) reject(source, "bad wildcard name " + quoted(inside));
  segment.text = inside;
  return segment;
}

RouteSegment parse_segment(std::string_view source, std::string_view text, bool last) {
  if (text.empty()) {
    if (!last) reject(source, "has an empty segment, which no clean path has");
    return {Kind::rest, {}};
  }
  if (text.find_first_of("{}") != std::string_view::npos) {
    const bool whole =
        text.front() == '{' && text.find_first_of("{}", 1) == text.size() - 1 && text.back() == '}';
    if (!whole) reject(source, "a wildcard must be a whole segment, unlike " + quoted(text));
    return parse_wildcard(source, text.substr(1, text.size() - 2), last);
  }
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte <= 0x20 || byte == 0x7f) reject(source, "has white space or a control character");
    if (c == '?' || c == '#') reject(source, "a pattern matches the path only, without ? or #");
  }
  auto literal = percent_decode(text);
  if (!literal || literal->find('\0') != std::string::npos) {
    reject(source, "bad escape in " + quoted(text));
  }
  if (*literal == "." || *literal == "..") {
    reject(source, "has a dot segment, which no clean path has");
  }
  return {Kind::literal, std::move(*literal)};
}

void check_names(const RoutePattern& pattern) {
  const auto& segments = pattern.segments;
  for (auto one = segments.begin(); one != segments.end(); ++one) {
    if (one->kind == Kind::literal || one->text.empty()) continue;
    for (auto other = segments.begin(); other != one; ++other) {
      if (other->kind != Kind::literal && other->text == one->text) {
        reject(pattern.source, "has two wildcards named " + quoted(one->text));
      }
    }
  }
}

// Which of two segments matches more; nothing when no segment matches both. For segments of kind
// rest there is more to say: see compare_route_paths().
std::optional<RouteRelation> compare_segments(const RouteSegment& a, const RouteSegment& b) {
  if (a.kind == b.kind) {
    if (a.kind == Kind::literal && a.text != b.text) return std::nullopt;
    return RouteRelation::equal;
  }
  // {name} takes any literal, but not the emptiness behind a last slash.
  if (a.kind == Kind::single && b.kind == Kind::literal) return RouteRelation::wider;
  if (a.kind == Kind::literal && b.kind == Kind::single) return RouteRelation::narrower;
  return std::nullopt;
}

// The relation of patterns that have these relations in two independent respects.
RouteRelation combine(RouteRelation a, RouteRelation b) noexcept {
  if (a == RouteRelation::disjoint || b == RouteRelation::disjoint) return RouteRelation::disjoint;
  if (a == RouteRelation::equal) return b;
  if (b == RouteRelation::equal || a == b) return a;
  return RouteRelation::overlap;
}

}  // namespace

RoutePattern parse_route_pattern(std::string_view source) {
  RoutePattern pattern;
  pattern.source = source;
  std::string_view rest = source;
  const std::size_t blank = rest.find_first_of(" \t");
  if (blank != std::string_view::npos) {
    pattern.method = rest.substr(0, blank);
    if (pattern.method.find('/') != std::string::npos)
      reject(source, "has white space in its path");
    const std::size_t next = rest.find_first_not_of(" \t", blank);
    rest = next == std::string_view::npos ? std::string_view{} : rest.substr(next);
    if (known_method(pattern.method).empty()) {
      reject(source, "the server does not know the method " + quoted(pattern.method));
    }
  }
  const std::size_t slash = rest.find('/');
  if (slash == std::string_view::npos) reject(source, "has no path: it must have a '/'");
  pattern.host = parse_host(source, rest.substr(0, slash));

  rest.remove_prefix(slash);
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('/', 1), rest.size());
    pattern.segments.push_back(parse_segment(source, rest.substr(1, end - 1), end == rest.size()));
    rest.remove_prefix(end);
  }
  check_names(pattern);
  return pattern;
}

RouteRelation compare_route_paths(const RoutePattern& a, const RoutePattern& b) noexcept {
  RouteRelation so_far = RouteRelation::equal;
  for (std::size_t i = 0;; ++i) {
    const bool a_ends = i == a.segments.size();
    const bool b_ends = i == b.segments.size();
    if (a_ends && b_ends) return so_far;
    // Even {name...} wants a slash: "/a/{x...}" does not match "/a".
    if (a_ends || b_ends) return RouteRelation::disjoint;

    const bool a_rest = a.segments[i].kind == Kind::rest;
    const bool b_rest = b.segments[i].kind == Kind::rest;
    if (a_rest && b_rest) return so_far;
    if (a_rest) return combine(so_far, RouteRelation::wider);
    if (b_rest) return combine(so_far, RouteRelation::narrower);

    const auto here = compare_segments(a.segments[i], b.segments[i]);
    if (!here) return RouteRelation::disjoint;
    so_far = combine(so_far, *here);
  }
}

RouteRelation compare_route_methods(const RoutePattern& a, const RoutePattern& b) noexcept {
  if (a.method == b.method) return RouteRelation::equal;
  if (a.method.empty()) return RouteRelation::wider;
  if (b.method.empty()) return RouteRelation::narrower;
  if (a.method == "GET" && b.method == "HEAD") return RouteRelation::wider;
  if (a.method == "HEAD" && b.method == "GET") return RouteRelation::narrower;
  return RouteRelation::disjoint;
}

bool routes_conflict(const RoutePattern& a, const RoutePattern& b) noexcept {
  if (a.host != b.host) return false;  // different hosts are disjoint, and a host beats none
  const RouteRelation relation = combine(compare_route_methods(a, b), compare_route_paths(a, b));
  return relation == RouteRelation::equal || relation == RouteRelation::overlap;
}

}  // namespace treadle::http
