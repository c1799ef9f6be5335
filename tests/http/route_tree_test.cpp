// pure
#include "route_tree.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <initializer_list>
#include <string>
#include <vector>

#include <treadle/result.h>

using namespace treadle::http;

namespace {

RouteTree tree_of(const std::vector<std::string>& patterns) {
  RouteTree tree;
  for (const std::string& pattern : patterns) tree.add(parse_route_pattern(pattern));
  return tree;
}

// The pattern that a request goes to with its path values; or what else came of it.
std::string find(const RouteTree& tree, std::string_view method, std::string_view path,
                 std::string_view host = "h") {
  DecodedPath decoded;
  EXPECT_EQ(decoded.assign(path), DecodedPath::Status::clean) << path;
  RouteMatch match;
  tree.find(method, host, decoded, match);
  switch (match.outcome) {
    case RouteOutcome::not_found: return "404";
    case RouteOutcome::method_not_allowed: return "405 " + match.allow;
    case RouteOutcome::add_slash: return "slash";
    case RouteOutcome::found: break;
  }
  std::string out = tree.pattern(match.route).source;
  for (const PathValue& v : match.values) {
    out.append(" ").append(v.name).append("=").append(v.value);
  }
  return out;
}

}  // namespace

TEST(RouteTree, LiteralsMatchExactly) {
  const RouteTree tree = tree_of({"/a", "/a/b", "/hello"});
  EXPECT_EQ(find(tree, "GET", "/a"), "/a");
  EXPECT_EQ(find(tree, "PUT", "/a/b"), "/a/b");
  EXPECT_EQ(find(tree, "GET", "/hell"), "404");
  EXPECT_EQ(find(tree, "GET", "/A"), "404");
  EXPECT_EQ(find(tree, "GET", "/"), "404");
  EXPECT_EQ(find(tree, "GET", "/a/"), "404");
  EXPECT_EQ(find(tree, "GET", "/a/b/c"), "404");
}

TEST(RouteTree, EscapesInPathsMatchDecodedLiterals) {
  const RouteTree tree = tree_of({"/caf%C3%A9", "/a%2Fb", "/x/y"});
  EXPECT_EQ(find(tree, "GET", "/caf%c3%a9"), "/caf%C3%A9");
  EXPECT_EQ(find(tree, "GET", "/%61%2fb"), "/a%2Fb");
  EXPECT_EQ(find(tree, "GET", "/a/b"), "404");
  EXPECT_EQ(find(tree, "GET", "/x%2Fy"), "404");
}

TEST(RouteTree, WildcardTakesOneSegmentThatIsNotEmpty) {
  const RouteTree tree = tree_of({"GET /hello/{name}", "/{a}/x/{b}"});
  EXPECT_EQ(find(tree, "GET", "/hello/world"), "GET /hello/{name} name=world");
  EXPECT_EQ(find(tree, "GET", "/hello/a%20b%2Fc"), "GET /hello/{name} name=a b/c");
  EXPECT_EQ(find(tree, "GET", "/hello/"), "404");
  EXPECT_EQ(find(tree, "GET", "/hello/a/"), "404");
  EXPECT_EQ(find(tree, "GET", "/1/x/2"), "/{a}/x/{b} a=1 b=2");
}

TEST(RouteTree, RestTakesAllThatFollows) {
  const RouteTree tree = tree_of({"/files/{rest...}", "/sub/"});
  EXPECT_EQ(find(tree, "GET", "/files/a/b%20c/"), "/files/{rest...} rest=a/b c/");
  EXPECT_EQ(find(tree, "GET", "/files/"), "/files/{rest...} rest=");
  EXPECT_EQ(find(tree, "GET", "/sub/x/y"), "/sub/");
}

TEST(RouteTree, MatchSaysWhereTheRestBegins) {
  const RouteTree tree = tree_of({"/{a}/files/{rest...}", "/{a}/sub/", "/{a}"});
  DecodedPath path;
  RouteMatch match;
  path.assign("/x/files/a%2Fb/c");
  tree.find("GET", "h", path, match);
  ASSERT_EQ(match.outcome, RouteOutcome::found);
  ASSERT_EQ(match.rest_from, 2u);
  EXPECT_EQ(path.segments()[match.rest_from], "a/b");
  EXPECT_EQ(match.value("rest"), "a/b/c");
  EXPECT_EQ(match.value("a"), "x");
  EXPECT_EQ(match.value("b"), "");
  path.assign("/x/sub/y");
  tree.find("GET", "h", path, match);
  EXPECT_EQ(match.rest_from, 2u);
  EXPECT_EQ(match.values.size(), 1u);
  path.assign("/y");
  tree.find("GET", "h", path, match);
  EXPECT_EQ(match.rest_from, RouteMatch::kNoRest);
}

TEST(RouteTree, SubtreeWithoutItsSlashIsRedirected) {
  const RouteTree tree =
      tree_of({"/files/", "/docs/{$}", "/a/{rest...}", "GET /get/", "/both", "/both/"});
  EXPECT_EQ(find(tree, "GET", "/files"), "slash");
  EXPECT_EQ(find(tree, "GET", "/docs"), "slash");
  EXPECT_EQ(find(tree, "GET", "/docs/"), "/docs/{$}");
  EXPECT_EQ(find(tree, "GET", "/docs/x"), "404");
  EXPECT_EQ(find(tree, "GET", "/a"), "slash");
  EXPECT_EQ(find(tree, "POST", "/get"), "405 GET, HEAD");
  EXPECT_EQ(find(tree, "GET", "/both"), "/both");
  EXPECT_EQ(find(tree, "GET", "/both/"), "/both/");
}

TEST(RouteTree, NarrowestWinsWhateverTheOrder) {
  std::vector<std::string> patterns = {"/",           "/{$}",      "/{a}",   "/a",
                                       "/{a}/{b...}", "/a/",       "/a/{b}", "/a/b",
                                       "GET /a/b",    "HEAD /a/b", "h/",     "POST h/a/b"};
  std::sort(patterns.begin(), patterns.end());
  for (int order = 0; order < 40; ++order) {
    const RouteTree tree = tree_of(patterns);
    EXPECT_EQ(find(tree, "GET", "/", "x"), "/{$}");
    EXPECT_EQ(find(tree, "GET", "/z", "x"), "/{a} a=z");
    EXPECT_EQ(find(tree, "GET", "/a", "x"), "/a");
    EXPECT_EQ(find(tree, "GET", "/z/y/x", "x"), "/{a}/{b...} a=z b=y/x");
    EXPECT_EQ(find(tree, "GET", "/z/", "x"), "/{a}/{b...} a=z b=");
    EXPECT_EQ(find(tree, "GET", "/a/", "x"), "/a/");
    EXPECT_EQ(find(tree, "GET", "/a/z", "x"), "/a/{b} b=z");
    EXPECT_EQ(find(tree, "GET", "/a/z/y", "x"), "/a/");
    EXPECT_EQ(find(tree, "PUT", "/a/b", "x"), "/a/b");
    EXPECT_EQ(find(tree, "GET", "/a/b", "x"), "GET /a/b");
    EXPECT_EQ(find(tree, "HEAD", "/a/b", "x"), "HEAD /a/b");
    EXPECT_EQ(find(tree, "POST", "/a/b", "h"), "POST h/a/b");
    EXPECT_EQ(find(tree, "GET", "/a/b", "h"), "h/");
    for (int step = 0; step < 997; ++step) std::next_permutation(patterns.begin(), patterns.end());
    std::rotate(patterns.begin(), patterns.begin() + 5, patterns.end());
  }
}

TEST(RouteTree, DeadEndsAreLeftAgain) {
  const RouteTree tree = tree_of({"/a/b/c", "/a/{x}/d", "/{y}/b/e", "/{z...}"});
  EXPECT_EQ(find(tree, "GET", "/a/b/c"), "/a/b/c");
  EXPECT_EQ(find(tree, "GET", "/a/b/d"), "/a/{x}/d x=b");
  EXPECT_EQ(find(tree, "GET", "/a/b/e"), "/{y}/b/e y=a");
  EXPECT_EQ(find(tree, "GET", "/a/b/f"), "/{z...} z=a/b/f");
}

TEST(RouteTree, GetServesHead) {
  const RouteTree tree = tree_of({"GET /a", "POST /a", "POST /b"});
  EXPECT_EQ(find(tree, "HEAD", "/a"), "GET /a");
  EXPECT_EQ(find(tree, "HEAD", "/b"), "405 POST");
}

TEST(RouteTree, OtherMethodsGive405WithAllow) {
  const RouteTree tree = tree_of({"GET /a", "POST /a", "DELETE /{x}", "PUT h/a", "GET /b/"});
  EXPECT_EQ(find(tree, "PATCH", "/a", "x"), "405 DELETE, GET, HEAD, POST");
  EXPECT_EQ(find(tree, "PATCH", "/a", "h"), "405 DELETE, GET, HEAD, POST, PUT");
  EXPECT_EQ(find(tree, "OPTIONS", "/z"), "405 DELETE");
  EXPECT_EQ(find(tree, "PATCH", "/b/c"), "405 GET, HEAD");
  EXPECT_EQ(find(tree, "PATCH", "/x/y"), "404");
}

TEST(RouteTree, HostsMatchWithoutCaseAndPort) {
  const RouteTree tree = tree_of({"example.org/a", "[::1]/a", "/a", "other.org/b"});
  EXPECT_EQ(find(tree, "GET", "/a", "EXAMPLE.org:8080"), "example.org/a");
  EXPECT_EQ(find(tree, "GET", "/a", "[::1]:80"), "[::1]/a");
  EXPECT_EQ(find(tree, "GET", "/a", "[::1]"), "[::1]/a");
  EXPECT_EQ(find(tree, "GET", "/a", "example.org."), "/a");
  EXPECT_EQ(find(tree, "GET", "/a", "other.org"), "/a");
  EXPECT_EQ(find(tree, "GET", "/a", ""), "/a");
  EXPECT_EQ(find(tree, "GET", "/b", "example.org"), "404");
}

TEST(RouteTree, ConflictNamesBothPatterns) {
  RouteTree tree = tree_of({"GET /a/{x}"});
  try {
    tree.add(parse_route_pattern("GET /{y}/b"));
    FAIL() << "no panic";
  } catch (const treadle::Panic& panic) {
    const std::string text = panic.what();
    EXPECT_NE(text.find("\"GET /{y}/b\""), std::string::npos) << text;
    EXPECT_NE(text.find("\"GET /a/{x}\""), std::string::npos) << text;
    EXPECT_NE(text.find("neither is narrower"), std::string::npos) << text;
  }
  EXPECT_EQ(tree.size(), 1u);
  EXPECT_EQ(find(tree, "GET", "/z/b"), "404");
}

TEST(RouteTree, EmptyTreeFindsNothing) { EXPECT_EQ(find(RouteTree(), "GET", "/a"), "404"); }

TEST(RouteTree, LongPathsAndManyRoutesStayCheap) {
  // Without the bound on visits, a path of the same segment over and over would try every mix of
  // literal and wildcard: 2^20 ways.
  std::string pattern;
  RouteTree tree;
  for (int i = 0; i < 20; ++i) {
    pattern += "/a";
    tree.add(parse_route_pattern(pattern + "/{x}/end" + std::to_string(i)));
  }
  std::string path;
  for (int i = 0; i < 4000; ++i) path += "/a";
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(find(tree, "GET", path), "404");
}
