#include "route_scope.h"

#include <treadle/result.h>

#include <algorithm>
#include <ranges>
#include <utility>

#include "route_pattern.h"

namespace treadle::http {
namespace {

[[noreturn]] void reject(std::string_view what, std::string_view text, const char* why) {
  throw Panic("treadle::http: " + std::string(what) + " \"" + std::string(text) + "\": " + why);
}

}  // namespace

Handler wrap(const RouteScope& scope, Handler handler, std::string_view pattern) {
  for (const RouteScope* s = &scope; s != nullptr; s = s->parent) {
    for (const Middleware& one : s->middleware | std::views::reverse) {
      handler = one(std::move(handler));
      if (!handler) reject("pattern", pattern, "a middleware has returned an empty handler");
    }
  }
  return handler;
}

std::string scoped_pattern(const RouteScope& scope, std::string_view pattern) {
  std::string method;
  std::string_view rest = pattern;
  if (const std::size_t blank = rest.find_first_of(" \t"); blank != std::string_view::npos) {
    method = std::string(rest.substr(0, blank)) + " ";
    rest = rest.substr(std::min(rest.find_first_not_of(" \t", blank), rest.size()));
  }
  const std::size_t slash = rest.find('/');
  if (slash == std::string_view::npos) return std::string(pattern);
  const std::string_view host = rest.substr(0, slash);
  if (!host.empty() && !scope.host.empty())
    reject("pattern", pattern, "names a host, and so does its group");
  return method + scope.host + std::string(host) + scope.prefix + std::string(rest.substr(slash));
}

RouteScope make_scope(const RouteScope& parent, std::string_view prefix) {
  RouteScope scope;
  scope.parent = &parent;
  scope.host = parent.host;
  scope.prefix = parent.prefix;
  scope.unrouted = parent.unrouted;
  if (prefix.empty()) return scope;

  if (prefix.find_first_of(" \t") != std::string_view::npos)
    reject("group", prefix, "a prefix has neither a method nor white space");
  const std::size_t slash = prefix.find('/');
  if (slash == std::string_view::npos) reject("group", prefix, "a prefix must have a '/'");
  if (slash > 0) {
    if (!parent.host.empty())
      reject("group", prefix, "names a host, and so does the group it is in");
    scope.host = prefix.substr(0, slash);
  }
  std::string_view path = prefix.substr(slash);
  if (path.ends_with('/')) path.remove_suffix(1);
  scope.prefix += path;
  // Whatever else is wrong with it shows here and not first at a route.
  parse_route_pattern(scope.host + scope.prefix + "/{$}");
  return scope;
}

}  // namespace treadle::http
