// pure
#include "route_pattern.h"

#include <gtest/gtest.h>

#include <string>

#include <treadle/result.h>

using namespace treadle::http;
using treadle::Panic;

namespace {

// What parsing panics with; empty when it does not.
std::string panic_of(std::string_view pattern) {
  try {
    parse_route_pattern(pattern);
  } catch (const Panic& panic) {
    return panic.what();
  }
  return {};
}

RouteRelation paths(std::string_view a, std::string_view b) {
  return compare_route_paths(parse_route_pattern(a), parse_route_pattern(b));
}

bool conflict(std::string_view a, std::string_view b) {
  const bool forth = routes_conflict(parse_route_pattern(a), parse_route_pattern(b));
  const bool back = routes_conflict(parse_route_pattern(b), parse_route_pattern(a));
  EXPECT_EQ(forth, back) << a << " and " << b;
  return forth;
}

}  // namespace

TEST(RoutePattern, MethodHostAndSegmentsAreTakenApart) {
  const RoutePattern p = parse_route_pattern("GET \t Example.ORG/a%2Fb/{name}/{rest...}");
  EXPECT_EQ(p.method, "GET");
  EXPECT_EQ(p.host, "example.org");
  ASSERT_EQ(p.segments.size(), 3u);
  EXPECT_EQ(p.segments[0].text, "a/b");
  EXPECT_EQ(p.segments[1].kind, RouteSegment::Kind::single);
  EXPECT_EQ(p.segments[1].text, "name");
  EXPECT_EQ(p.segments[2].kind, RouteSegment::Kind::rest);
  EXPECT_EQ(p.segments[2].text, "rest");
}

TEST(RoutePattern, TrailingSlashIsASubtree) {
  const RoutePattern root = parse_route_pattern("/");
  ASSERT_EQ(root.segments.size(), 1u);
  EXPECT_EQ(root.segments[0].kind, RouteSegment::Kind::rest);
  EXPECT_EQ(root.segments[0].text, "");
  EXPECT_EQ(parse_route_pattern("/a/{$}").segments[1].kind, RouteSegment::Kind::slash);
  EXPECT_EQ(parse_route_pattern("[::1]/").host, "[::1]");
}

TEST(RoutePattern, MalformedPatternsPanicWithTheReason) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "no path"},
      {"GET", "no path"},
      {"GET ", "no path"},
      {"example.org", "no path"},
      {"get /", "does not know the method \"get\""},
      {"GTE /", "does not know the method \"GTE\""},
      {"CONNECT /", "does not know the method"},
      {" /a", "does not know the method \"\""},
      {"/a//b", "empty segment"},
      {"//", "empty segment"},
      {"/a/./b", "dot segment"},
      {"/a/%2e%2e", "dot segment"},
      {"/a b", "white space"},
      {"GET /a b", "white space"},
      {"/a?b", "path only"},
      {"/a#b", "path only"},
      {"/a%", "bad escape"},
      {"/a%00", "bad escape"},
      {"/{", "whole segment"},
      {"/}", "whole segment"},
      {"/a{b}", "whole segment"},
      {"/{a}b", "whole segment"},
      {"/{a}{b}", "whole segment"},
      {"/{{a}}", "whole segment"},
      {"/{}", "no name"},
      {"/{...}", "no name"},
      {"/{a b}", "white space"},
      {"GET /{a b}", "bad wildcard name"},
      {"/{1a}", "bad wildcard name"},
      {"/{a-b}", "bad wildcard name"},
      {"/{a..}", "bad wildcard name"},
      {"/{a...}/b", "must be the end"},
      {"/{a...}/", "must be the end"},
      {"/{$}/a", "{$} must be the end"},
      {"/{a}/{a}", "two wildcards named \"a\""},
      {"/{a}/b/{a...}", "two wildcards named \"a\""},
      {"{host}/a", "cannot have wildcards"},
      {"example.org:80/a", "without its port"},
      {"exa mple.org/a", "does not know the method"},
      {"GET a@b/", "bad character in the host"},
      {"[::1/", "no ']'"},
  };
  for (const auto& [pattern, reason] : cases) {
    const std::string panic = panic_of(pattern);
    EXPECT_NE(panic.find(reason), std::string::npos) << pattern << ": " << panic;
    EXPECT_NE(panic.find("\"" + std::string(pattern) + "\""), std::string::npos) << panic;
  }
}

TEST(RoutePattern, PathsRelateByWhatTheyMatch) {
  EXPECT_EQ(paths("/a", "/a"), RouteRelation::equal);
  EXPECT_EQ(paths("/{x}", "/{y}"), RouteRelation::equal);
  EXPECT_EQ(paths("/a/", "/a/{rest...}"), RouteRelation::equal);
  EXPECT_EQ(paths("/a", "/b"), RouteRelation::disjoint);
  EXPECT_EQ(paths("/a", "/a/"), RouteRelation::disjoint);
  EXPECT_EQ(paths("/a", "/a/b"), RouteRelation::disjoint);
  EXPECT_EQ(paths("/{x}", "/{$}"), RouteRelation::disjoint);
  EXPECT_EQ(paths("/a/{$}", "/a/b"), RouteRelation::disjoint);
  EXPECT_EQ(paths("/{x}", "/a"), RouteRelation::wider);
  EXPECT_EQ(paths("/a", "/{x}"), RouteRelation::narrower);
  EXPECT_EQ(paths("/", "/a/{x}"), RouteRelation::wider);
  EXPECT_EQ(paths("/", "/{$}"), RouteRelation::wider);
  EXPECT_EQ(paths("/{x...}", "/{x}/{y...}"), RouteRelation::wider);
  EXPECT_EQ(paths("/a/{x}", "/{y}/b"), RouteRelation::overlap);
  EXPECT_EQ(paths("/a/", "/{y}/b"), RouteRelation::overlap);
  EXPECT_EQ(paths("/{x}/b/", "/a/"), RouteRelation::overlap);
  EXPECT_EQ(paths("/a/{x}/c", "/{y}/b/d"), RouteRelation::disjoint);
}

TEST(RoutePattern, ConflictsAreFoundInBothDirections) {
  EXPECT_TRUE(conflict("/a", "/a"));
  EXPECT_TRUE(conflict("/{x}", "/{y}"));
  EXPECT_TRUE(conflict("/a/", "/a/{rest...}"));
  EXPECT_TRUE(conflict("/a/{x}", "/{y}/b"));
  EXPECT_TRUE(conflict("GET /{x}", "/a"));
  EXPECT_TRUE(conflict("GET /a", "GET /a"));
  EXPECT_TRUE(conflict("HEAD /{x}", "GET /a"));
  EXPECT_TRUE(conflict("GET h/a", "GET H/a"));
}

TEST(RoutePattern, NarrowerPatternsDoNotConflict) {
  EXPECT_FALSE(conflict("/a", "/b"));
  EXPECT_FALSE(conflict("/a", "/{x}"));
  EXPECT_FALSE(conflict("/a", "/a/"));
  EXPECT_FALSE(conflict("/", "/{$}"));
  EXPECT_FALSE(conflict("GET /a", "/a"));
  EXPECT_FALSE(conflict("GET /a", "/{x}"));
  EXPECT_FALSE(conflict("GET /a", "POST /a"));
  EXPECT_FALSE(conflict("GET /a/{x}", "POST /{y}/b"));
  EXPECT_FALSE(conflict("GET /a", "HEAD /a"));
  EXPECT_FALSE(conflict("h/a", "/a"));
  EXPECT_FALSE(conflict("h/", "/a"));
  EXPECT_FALSE(conflict("h/a", "i/a"));
}
