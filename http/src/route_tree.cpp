// Building the tree of patterns, and finding the narrowest that matches.
#include "route_tree.h"

#include <algorithm>
#include <array>

#include <treadle/http/header.h>
#include <treadle/result.h>

#include "chars.h"

namespace treadle::http {
namespace {

using Kind = RouteSegment::Kind;

// An authority without its port: "[::1]:80" is "[::1]".
std::string_view without_port(std::string_view authority) noexcept {
  const std::size_t colon = authority.rfind(':');
  if (colon == std::string_view::npos) return authority;
  const std::size_t bracket = authority.rfind(']');
  if (bracket != std::string_view::npos && bracket > colon) return authority;
  return authority.substr(0, colon);
}

// Order of host names, `pattern` being in lower case already.
bool host_less(std::string_view pattern, std::string_view host) noexcept {
  return std::lexicographical_compare(
      pattern.begin(), pattern.end(), host.begin(), host.end(),
      [](char a, char b) { return chars::to_lower(a) < chars::to_lower(b); });
}

}  // namespace

void RouteMatch::clear() noexcept {
  outcome = RouteOutcome::not_found;
  route = 0;
  values.clear();
  rest_from = kNoRest;
  allow.clear();
}

std::string_view RouteMatch::value(std::string_view name) const noexcept {
  for (const PathValue& v : values) {
    if (v.name == name) return v.value;
  }
  return {};
}

// ---- building

std::uint32_t RouteTree::add(RoutePattern pattern) {
  for (const RoutePattern& other : patterns_) {
    if (!routes_conflict(pattern, other)) continue;
    const bool same = compare_route_paths(pattern, other) == RouteRelation::equal &&
                      pattern.method == other.method;
    throw Panic("treadle::http: pattern \"" + pattern.source + "\" conflicts with pattern \"" +
                other.source + "\": " +
                (same ? "they match the same requests"
                      : "some requests match both, and neither is narrower than the other"));
  }

  const auto index = static_cast<std::uint32_t>(patterns_.size());
  std::uint32_t node = root_for(pattern);
  bool ended = false;
  for (const RouteSegment& segment : pattern.segments) {
    switch (segment.kind) {
      case Kind::literal: node = literal_child(node, segment.text); break;
      case Kind::single:
        if (nodes_[node].single == kNone) {
          const auto child = static_cast<std::uint32_t>(nodes_.size());
          nodes_.emplace_back();
          nodes_[node].single = child;
        }
        node = nodes_[node].single;
        break;
      case Kind::rest:
        nodes_[node].rest = index;
        ended = true;
        break;
      case Kind::slash:
        nodes_[node].slash = index;
        ended = true;
        break;
    }
  }
  if (ended)
    slash_depths_ |= depth_bit(pattern.segments.size() - 1);
  else
    nodes_[node].here = index;
  patterns_.push_back(std::move(pattern));
  return index;
}

RouteTree::HostRoots& RouteTree::host_roots(const std::string& host) {
  auto at = std::lower_bound(
      hosts_.begin(), hosts_.end(), host,
      [](const HostRoots& roots, const std::string& key) { return host_less(roots.host, key); });
  if (at == hosts_.end() || at->host != host) at = hosts_.insert(at, HostRoots{host, {}});
  if (!host.empty()) names_hosts_ = true;
  return *at;
}

std::uint32_t RouteTree::root_for(const RoutePattern& pattern) {
  HostRoots& roots = host_roots(pattern.host);
  for (const MethodRoot& root : roots.methods) {
    if (root.method == pattern.method) return root.node;
  }
  const auto node = static_cast<std::uint32_t>(nodes_.size());
  nodes_.emplace_back();
  roots.methods.push_back({pattern.method, node});
  return node;
}

std::uint32_t RouteTree::literal_child(std::uint32_t node, const std::string& text) {
  const auto child = static_cast<std::uint32_t>(nodes_.size());
  auto& literals = nodes_[node].literals;
  const auto at = std::lower_bound(
      literals.begin(), literals.end(), text,
      [](const Literal& literal, const std::string& key) { return literal.text < key; });
  if (at != literals.end() && at->text == text) return at->node;
  literals.insert(at, Literal{text, child});
  nodes_.emplace_back();
  return child;
}

// ---- finding

void RouteTree::find(std::string_view method, std::string_view host, const DecodedPath& path,
                     RouteMatch& match) const {
  match.clear();
  host = names_hosts_ ? without_port(host) : std::string_view();
  const Walk walk{path.segments(), path.trailing_slash()};
  const std::uint32_t found = match_host(host, method, walk);
  if (!exact(found, walk) && !walk.slash && ends_in_slash_behind(walk.segments.size())) {
    const Walk with_slash{walk.segments, true};
    if (exact(match_host(host, method, with_slash), with_slash)) {
      match.outcome = RouteOutcome::add_slash;
      return;
    }
  }
  if (found == kNone) {
    match.allow = allowed_methods(host, walk);
    if (!match.allow.empty()) match.outcome = RouteOutcome::method_not_allowed;
    return;
  }

  match.outcome = RouteOutcome::found;
  match.route = found;
  const auto& segments = patterns_[found].segments;
  for (std::size_t i = 0; i < segments.size(); ++i) {
    const RouteSegment& segment = segments[i];
    if (segment.kind == Kind::single) {
      match.values.push_back({segment.text, walk.segments[i]});
    } else if (segment.kind == Kind::rest) {
      match.rest_from = i;
      if (!segment.text.empty()) match.values.push_back({segment.text, path.rest(i)});
    }
  }
}

const RouteTree::HostRoots* RouteTree::find_host(std::string_view host) const noexcept {
  if (!names_hosts_) return host.empty() && !hosts_.empty() ? hosts_.data() : nullptr;
  const auto at = std::lower_bound(
      hosts_.begin(), hosts_.end(), host,
      [](const HostRoots& roots, std::string_view key) { return host_less(roots.host, key); });
  if (at == hosts_.end() || !equal_ignore_case(at->host, host)) return nullptr;
  return &*at;
}

// Whether the pattern names the very path: it may have wildcards, but a last one that takes all
// that follows has taken nothing.
bool RouteTree::exact(std::uint32_t found, const Walk& walk) const noexcept {
  if (found == kNone) return false;
  const auto& segments = patterns_[found].segments;
  return segments.back().kind != Kind::rest || segments.size() > walk.segments.size();
}

std::uint32_t RouteTree::match_host(std::string_view host, std::string_view method,
                                    const Walk& walk) const {
  std::uint32_t found = kNone;
  if (!host.empty()) {
    if (const HostRoots* roots = find_host(host)) found = match_method(*roots, method, walk);
  }
  if (found == kNone) {
    if (const HostRoots* roots = find_host({})) found = match_method(*roots, method, walk);
  }
  return found;
}

std::uint32_t RouteTree::match_method(const HostRoots& roots, std::string_view method,
                                      const Walk& walk) const {
  const auto under = [&](std::string_view wanted) {
    for (const MethodRoot& root : roots.methods) {
      if (root.method == wanted) return match_node(root.node, 0, walk);
    }
    return kNone;
  };
  std::uint32_t found = method.empty() ? kNone : under(method);
  if (found == kNone && method == "HEAD") found = under("GET");
  if (found == kNone) found = under({});
  return found;
}

std::uint32_t RouteTree::find_literal(const Node& node, std::string_view segment) noexcept {
  constexpr std::size_t kFew = 16;
  if (node.literals.size() <= kFew) {
    // Their lengths tell most of them apart.
    for (const Literal& literal : node.literals)
      if (literal.text == segment) return literal.node;
    return kNone;
  }
  const auto at = std::lower_bound(
      node.literals.begin(), node.literals.end(), segment,
      [](const Literal& literal, std::string_view key) { return literal.text < key; });
  return at != node.literals.end() && at->text == segment ? at->node : kNone;
}

// Recursion ends with the pattern, so it is as deep as the longest pattern, whatever the path.
std::uint32_t RouteTree::match_node(std::uint32_t index, std::size_t depth,
                                    const Walk& walk) const {
  const Node& node = nodes_[index];
  if (depth == walk.segments.size()) {
    if (!walk.slash) return node.here;
    return node.slash != kNone ? node.slash : node.rest;
  }
  const std::string_view segment = walk.segments[depth];
  const std::uint32_t child = find_literal(node, segment);
  if (child != kNone) {
    const std::uint32_t found = match_node(child, depth + 1, walk);
    if (found != kNone) return found;
  }
  if (node.single != kNone && !segment.empty()) {
    const std::uint32_t found = match_node(node.single, depth + 1, walk);
    if (found != kNone) return found;
  }
  return node.rest;
}

std::string RouteTree::allowed_methods(std::string_view host, const Walk& walk) const {
  std::vector<std::string_view> methods;
  const auto add = [&](std::string_view method) {
    if (std::find(methods.begin(), methods.end(), method) == methods.end()) {
      methods.push_back(method);
    }
  };
  // A host without routes of its own is looked up as "" twice; add() does not mind.
  for (const HostRoots* roots : std::array{find_host(host), find_host({})}) {
    if (roots == nullptr) continue;
    for (const MethodRoot& root : roots->methods) {
      if (root.method.empty()) continue;
      // Where a redirection to the slash would have followed, the method is what is wrong.
      if (match_node(root.node, 0, walk) == kNone &&
          (walk.slash || match_node(root.node, 0, {walk.segments, true}) == kNone))
        continue;
      add(root.method);
      if (root.method == "GET") add("HEAD");
    }
  }
  std::sort(methods.begin(), methods.end());

  std::string allow;
  for (const std::string_view method : methods) {
    if (!allow.empty()) allow += ", ";
    allow += method;
  }
  return allow;
}

}  // namespace treadle::http
