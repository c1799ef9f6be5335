// The tree of routes answers as a plain walk over all patterns would.
//
// Input: patterns, one per line, an empty line, then requests as "METHOD host path".
#include <string>
#include <vector>

#include <treadle/http/header.h>
#include <treadle/result.h>

#include "fuzz.h"
#include "route_tree.h"

using namespace treadle;
using namespace treadle::http;

namespace {

using Kind = RouteSegment::Kind;

struct Asked {
  std::string_view method;
  std::string_view host;  // without port
  const DecodedPath& path;
};

bool method_matches(const RoutePattern& p, std::string_view method) {
  return p.method.empty() || p.method == method || (p.method == "GET" && method == "HEAD");
}

bool host_matches(const RoutePattern& p, std::string_view host) {
  return p.host.empty() || equal_ignore_case(p.host, host);
}

bool path_matches(const RoutePattern& p, const DecodedPath& path) {
  // With a last, empty segment for the trailing slash.
  std::vector<std::string_view> segments(path.segments().begin(), path.segments().end());
  if (path.trailing_slash()) segments.emplace_back();
  std::size_t i = 0;
  for (const RouteSegment& want : p.segments) {
    if (i == segments.size()) return false;
    if (want.kind == Kind::rest) return true;
    const std::string_view have = segments[i++];
    if (want.kind == Kind::literal && have != want.text) return false;
    if (want.kind == Kind::single && have.empty()) return false;
    if (want.kind == Kind::slash && !(have.empty() && i == segments.size())) return false;
    if (want.kind == Kind::literal && have.empty()) return false;
  }
  return i == segments.size();
}

std::string percent_encode_path(const DecodedPath& path) {
  std::string out;
  for (const std::string_view segment : path.segments()) out += "/" + percent_encode(segment);
  return out;
}

bool narrower_or_equal(RouteRelation r) {
  return r == RouteRelation::narrower || r == RouteRelation::equal;
}

// Whether `a` rather than `b` must answer a request that both match.
bool beats(const RoutePattern& a, const RoutePattern& b) {
  if (a.host != b.host) return !a.host.empty();
  return narrower_or_equal(compare_route_methods(a, b)) &&
         narrower_or_equal(compare_route_paths(a, b));
}

void check_values(const RoutePattern& p, const RouteMatch& match) {
  std::size_t i = 0;
  for (const RouteSegment& segment : p.segments) {
    if (segment.kind == Kind::single || (segment.kind == Kind::rest && !segment.text.empty())) {
      FUZZ_CHECK(i < match.values.size());
      FUZZ_CHECK(match.values[i].name == segment.text);
      FUZZ_CHECK(segment.kind == Kind::rest || !match.values[i].value.empty());
      ++i;
    }
  }
  FUZZ_CHECK(i == match.values.size());
}

// The pattern that must answer `asked`; null when there is none.
const RoutePattern* best_for(const RouteTree& tree, const Asked& asked) {
  const RoutePattern* best = nullptr;
  for (std::uint32_t i = 0; i < tree.size(); ++i) {
    const RoutePattern& p = tree.pattern(i);
    if (!host_matches(p, asked.host) || !path_matches(p, asked.path)) continue;
    if (!method_matches(p, asked.method)) continue;
    if (best == nullptr || beats(p, *best))
      best = &p;
    else
      FUZZ_CHECK(beats(*best, p));  // else the two should have been a conflict
  }
  return best;
}

bool other_method_for(const RouteTree& tree, const Asked& asked) {
  for (std::uint32_t i = 0; i < tree.size(); ++i) {
    const RoutePattern& p = tree.pattern(i);
    if (host_matches(p, asked.host) && path_matches(p, asked.path) && !p.method.empty())
      return true;
  }
  return false;
}

// Whether a last wildcard that takes all that follows has something to take.
bool inexact(const RoutePattern& p, const DecodedPath& path) {
  const std::size_t segments = path.segments().size() + (path.trailing_slash() ? 1 : 0);
  return p.segments.back().kind == Kind::rest &&
         (segments > p.segments.size() || !path.trailing_slash());
}

void check_request(const RouteTree& tree, const Asked& asked) {
  RouteMatch match;
  tree.find(asked.method, asked.host, asked.path, match);

  const RoutePattern* best = best_for(tree, asked);
  bool slash = false;
  bool other_method = other_method_for(tree, asked);
  if (!asked.path.trailing_slash()) {
    DecodedPath longer;
    const std::string text = percent_encode_path(asked.path) + "/";
    FUZZ_CHECK(longer.assign(text) == DecodedPath::Status::clean);
    const Asked with_slash{asked.method, asked.host, longer};
    const RoutePattern* there = best_for(tree, with_slash);
    slash = (best == nullptr || inexact(*best, asked.path)) && there != nullptr &&
            !inexact(*there, longer);
    other_method = other_method || other_method_for(tree, with_slash);
  }
  if (slash) {
    FUZZ_CHECK(match.outcome == RouteOutcome::add_slash);
  } else if (best != nullptr) {
    FUZZ_CHECK(match.outcome == RouteOutcome::found);
    FUZZ_CHECK(&tree.pattern(match.route) == best);
    check_values(*best, match);
  } else {
    FUZZ_CHECK(match.outcome ==
               (other_method ? RouteOutcome::method_not_allowed : RouteOutcome::not_found));
    FUZZ_CHECK(match.allow.empty() != other_method);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  RouteTree tree;
  while (!input.empty()) {
    const std::string_view line = input.until('\n');
    if (line.empty()) break;
    try {
      tree.add(parse_route_pattern(line));
    } catch (const Panic&) {
    }
  }
  while (!input.empty()) {
    const std::string_view line = input.until('\n');
    fuzz::Input parts(reinterpret_cast<const std::uint8_t*>(line.data()), line.size());
    const std::string_view method = parts.until(' ');
    const std::string_view host = parts.until(' ');
    if (method.empty() || host.find_first_of(":]") != std::string_view::npos) continue;
    DecodedPath path;
    if (path.assign(parts.rest()) != DecodedPath::Status::clean) continue;
    check_request(tree, {method, host, path});
  }
  return 0;
}
