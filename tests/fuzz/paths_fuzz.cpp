// From a request's path to its handler: splitting, decoding, cleaning and routing together, beside
// RFC 3986's own algorithm.
//
// Input: patterns, one per line, an empty line, then paths, one per line.
#include <string>
#include <string_view>
#include <vector>

#include <treadle/result.h>

#include "fuzz.h"
#include "route_tree.h"
#include "target.h"
#include "url.h"

using namespace treadle;
using namespace treadle::http;

namespace {

using Status = DecodedPath::Status;

// remove_dot_segments (RFC 3986 5.2.4) over decoded segments, without empty ones.
struct Cleaned {
  std::vector<std::string> segments;
  bool slash = false;
};

Cleaned cleaned(const DecodedPath& path) {
  Cleaned out;
  const auto segments = path.segments();
  for (std::size_t i = 0; i < segments.size(); ++i) {
    const std::string_view segment = segments[i];
    const bool dots = segment == "." || segment == "..";
    if (segment == ".." && !out.segments.empty()) out.segments.pop_back();
    if (!dots && !segment.empty()) out.segments.emplace_back(segment);
    out.slash = dots || segment.empty();
  }
  out.slash = out.slash || path.trailing_slash() || out.segments.empty();
  return out;
}

void check_location(std::string_view location) {
  FUZZ_CHECK(location.starts_with('/'));
  FUZZ_CHECK(!location.starts_with("//") && !location.starts_with("/\\"));
  for (const char c : location) FUZZ_CHECK(c > ' ' && c < 0x7f && c != '\\');
  // It is a target that the server itself takes.
  const auto target = parse_target("GET", location);
  FUZZ_CHECK(target && target->path == location && target->authority.empty());
}

void check_routed(const RouteTree& tree, const DecodedPath& path) {
  RouteMatch match;
  tree.find("GET", "h", path, match);
  if (match.outcome == RouteOutcome::found) {
    for (const auto& value : match.values) {
      // What a wildcard took is a part of the decoded path: whole segments of it.
      const bool whole = path.rest(0).find(value.value) != std::string_view::npos;
      FUZZ_CHECK(whole);
      FUZZ_CHECK(value.value != ".." && value.value != ".");
    }
    return;
  }
  if (match.outcome != RouteOutcome::add_slash) return;
  // The redirection leads to a route at once, and not to another redirection.
  FUZZ_CHECK(!path.trailing_slash());
}

void check_path(const RouteTree& tree, std::string_view text) {
  const auto target = parse_target("GET", text);
  if (!target || target->path == "*") return;
  DecodedPath path;
  const Status status = path.assign(target->path);
  // What the request line lets through can be decoded.
  FUZZ_CHECK(status != Status::bad);
  const Cleaned expected = cleaned(path);
  const std::string location = clean_path(target->path);
  check_location(location);
  DecodedPath clean;
  FUZZ_CHECK(clean.assign(location) == Status::clean);
  const auto segments = clean.segments();
  FUZZ_CHECK(std::vector<std::string>(segments.begin(), segments.end()) == expected.segments);
  FUZZ_CHECK(clean.trailing_slash() == expected.slash);
  if (status == Status::clean) {
    FUZZ_CHECK(clean.text() == path.text());
    check_routed(tree, path);
    RouteMatch match;
    tree.find("GET", "h", path, match);
    if (match.outcome == RouteOutcome::add_slash) {
      const std::string slashed = location + "/";
      check_location(slashed);
      DecodedPath there;
      FUZZ_CHECK(there.assign(slashed) == Status::clean);
      tree.find("GET", "h", there, match);
      FUZZ_CHECK(match.outcome == RouteOutcome::found);
    }
  } else {
    FUZZ_CHECK(location != target->path);
  }
  check_routed(tree, clean);
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
  while (!input.empty()) check_path(tree, input.until('\n'));
  return 0;
}
