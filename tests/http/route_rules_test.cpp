// pure
// The rules that Go 1.22 documents for the patterns of its mux, one table each. What differs on
// purpose: methods are those the server knows, wildcard names are ASCII, and a redirection of
// anything but GET and HEAD is a 308.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include <treadle/result.h>

#include "route_tree.h"

using namespace treadle::http;

namespace {

struct Asked {
  const char* method;
  const char* host;
  const char* path;
  const char* answer;  // the pattern and its values, "404", "405 ALLOW" or "slash"
};

std::string find(const RouteTree& tree, const Asked& asked) {
  DecodedPath path;
  RouteMatch match;
  path.assign(asked.path);
  tree.find(asked.method, asked.host, path, match);
  switch (match.outcome) {
    case RouteOutcome::not_found: return "404";
    case RouteOutcome::method_not_allowed: return "405 " + match.allow;
    case RouteOutcome::add_slash: return "slash";
    case RouteOutcome::found: break;
  }
  std::string out = tree.pattern(match.route).source;
  for (const PathValue& v : match.values)
    out.append(" ").append(v.name).append("=").append(v.value);
  return out;
}

// Registered in both orders, the answers are the same.
void expect(std::vector<std::string> patterns, const std::vector<Asked>& table) {
  for (int order = 0; order < 2; ++order) {
    RouteTree tree;
    for (const std::string& p : patterns) tree.add(parse_route_pattern(p));
    for (const Asked& asked : table)
      EXPECT_EQ(find(tree, asked), asked.answer)
          << asked.method << " " << asked.host << " " << asked.path;
    std::reverse(patterns.begin(), patterns.end());
  }
}

bool cannot_add_both(std::string_view a, std::string_view b) {
  RouteTree tree;
  tree.add(parse_route_pattern(a));
  try {
    tree.add(parse_route_pattern(b));
  } catch (const treadle::Panic&) {
    return true;
  }
  return false;
}

}  // namespace

TEST(RouteRules, MethodAndHostAreOptional) {
  expect({"/about", "GET /news", "docs.test/", "POST docs.test/upload"},
         {{"DELETE", "x", "/about", "/about"},
          {"GET", "x", "/news", "GET /news"},
          {"PUT", "docs.test", "/any/thing", "docs.test/"},
          {"POST", "docs.test", "/upload", "POST docs.test/upload"},
          {"GET", "docs.test", "/upload", "docs.test/"},
          {"GET", "www.docs.test", "/upload", "404"}});
}

TEST(RouteRules, GetTakesHeadUnlessHeadHasItsOwn) {
  expect({"GET /both", "GET /own", "HEAD /own", "POST /post"},
         {{"HEAD", "x", "/both", "GET /both"},
          {"HEAD", "x", "/own", "HEAD /own"},
          {"GET", "x", "/own", "GET /own"},
          {"HEAD", "x", "/post", "405 POST"}});
}

TEST(RouteRules, WildcardsTakeASegmentOrAllThatIsLeft) {
  expect({"/shelf/{shelf}/book/{path...}", "/exact/{$}", "/tree/"},
         {{"GET", "x", "/shelf/7/book/a/b", "/shelf/{shelf}/book/{path...} shelf=7 path=a/b"},
          {"GET", "x", "/shelf/7/book/", "/shelf/{shelf}/book/{path...} shelf=7 path="},
          {"GET", "x", "/shelf//book/x", "404"},
          {"GET", "x", "/shelf/7/8/book/x", "404"},
          {"GET", "x", "/exact/", "/exact/{$}"},
          {"GET", "x", "/exact/more", "404"},
          {"GET", "x", "/tree/", "/tree/"},
          {"GET", "x", "/tree/of/all", "/tree/"}});
}

TEST(RouteRules, TheMoreSpecificPatternWins) {
  expect({"/pics/", "/pics/small/", "/posts/{id}", "/posts/latest", "/", "/{$}"},
         {{"GET", "x", "/pics/small/cat", "/pics/small/"},
          {"GET", "x", "/pics/large/cat", "/pics/"},
          {"PUT", "x", "/posts/latest", "/posts/latest"},
          {"PUT", "x", "/posts/7", "/posts/{id} id=7"},
          {"GET", "x", "/posts/7", "/posts/{id} id=7"},
          {"GET", "x", "/", "/{$}"},
          {"GET", "x", "/else", "/"}});
}

// A host decides before everything else, even where its path is the wider one.
TEST(RouteRules, AHostWins) {
  expect({"shop.test/", "/cart", "GET /cart/{id}", "[::1]/cart"},
         {{"GET", "shop.test", "/cart", "shop.test/"},
          {"GET", "shop.test:8080", "/cart/7", "shop.test/"},
          {"GET", "SHOP.test", "/", "shop.test/"},
          {"GET", "other.test", "/cart", "/cart"},
          {"GET", "[::1]:80", "/cart", "[::1]/cart"},
          {"GET", "[::1]:80", "/cart/7", "GET /cart/{id} id=7"}});
}

TEST(RouteRules, PatternsOfWhichNeitherIsNarrowerConflict) {
  EXPECT_TRUE(cannot_add_both("GET /", "/index.html"));
  EXPECT_TRUE(cannot_add_both("/posts/{id}", "/{kind}/latest"));
  EXPECT_TRUE(cannot_add_both("/a/{x}/", "/{y}/b/{z...}"));
  EXPECT_TRUE(cannot_add_both("/{x}", "/{y}"));
  EXPECT_TRUE(cannot_add_both("/tree/", "/tree/{rest...}"));
  EXPECT_TRUE(cannot_add_both("HEAD /{x}", "GET /a"));
  EXPECT_TRUE(cannot_add_both("GET shop.test/", "shop.test/index.html"));

  EXPECT_FALSE(cannot_add_both("/posts/{id}", "/posts/latest"));
  EXPECT_FALSE(cannot_add_both("GET /posts/{id}", "POST /{kind}/latest"));
  EXPECT_FALSE(cannot_add_both("shop.test/", "/index.html"));
  EXPECT_FALSE(cannot_add_both("GET shop.test/", "/index.html"));
  EXPECT_FALSE(cannot_add_both("shop.test/{x}/b", "mail.test/a/{y}"));
  EXPECT_FALSE(cannot_add_both("/{x}/", "/{x}/{$}"));
  EXPECT_FALSE(cannot_add_both("/{x}", "/{$}"));
  EXPECT_FALSE(cannot_add_both("GET /a", "/{x}"));
  EXPECT_FALSE(cannot_add_both("HEAD /a", "GET /{x}"));
}

// Even where a wider pattern would answer: or "/" would hide what every subtree promises.
TEST(RouteRules, ASubtreesRootWithoutItsSlashIsRedirected) {
  expect({"/", "/tree/", "/own", "/own/", "/exact/{$}", "/rest/{r...}", "GET /get/"},
         {{"GET", "x", "/tree", "slash"},
          {"POST", "x", "/tree", "slash"},
          {"GET", "x", "/own", "/own"},
          {"GET", "x", "/exact", "slash"},
          {"GET", "x", "/rest", "slash"},
          {"GET", "x", "/get", "slash"},
          {"POST", "x", "/get", "/"},  // "POST /get/" would be answered by "/" as well
          {"GET", "x", "/other", "/"},
          {"GET", "x", "/tree/leaf", "/tree/"}});
  expect({"/{x...}", "h/tree/"}, {{"GET", "h", "/tree", "slash"},
                                  {"GET", "i", "/tree", "/{x...} x=tree"},
                                  {"GET", "h", "/other", "/{x...} x=other"}});
  expect({"/{x}", "/tree/"}, {{"GET", "x", "/tree", "/{x} x=tree"}});
  expect({"/{x}/deep/", "/"}, {{"GET", "x", "/a/deep", "slash"}, {"GET", "x", "/a", "/"}});
}

TEST(RouteRules, WhereOnlyTheMethodIsWrongItIs405) {
  expect({"GET /a", "POST /a", "PUT h/a", "DELETE /tree/", "/any"},
         {{"PATCH", "x", "/a", "405 GET, HEAD, POST"},
          {"PATCH", "h", "/a", "405 GET, HEAD, POST, PUT"},
          {"GET", "x", "/tree/leaf", "405 DELETE"},
          {"GET", "x", "/tree", "405 DELETE"},
          {"PATCH", "x", "/any", "/any"},
          {"PATCH", "x", "/none", "404"}});
}

TEST(RouteRules, SegmentsAreMatchedDecoded) {
  expect({"/a%2Fb/{x}", "/caf\xc3\xa9"}, {{"GET", "x", "/a%2fb/c%2Fd", "/a%2Fb/{x} x=c/d"},
                                          {"GET", "x", "/a/b/c", "404"},
                                          {"GET", "x", "/caf%C3%A9", "/caf\xc3\xa9"}});
}
