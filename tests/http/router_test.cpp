// pure
// Registration with a Router, and the lookup behind its dispatch.
#include <treadle/http/router.h>

#include <gtest/gtest.h>

#include <string>

#include <treadle/result.h>

#include "route_tree.h"

using namespace treadle::http;
using treadle::Panic;

namespace {

const Handler kNothing = [](Response&, const Request&) {};

// The pattern found for a GET of `path`; empty when there is none.
std::string pattern_of(const Router& router, std::string_view path) {
  DecodedPath decoded;
  decoded.assign(path);
  RouteMatch match;
  const RoutedHandler to = route(router, "GET", "h", decoded, match);
  EXPECT_EQ(to.handler != nullptr, match.outcome == RouteOutcome::found);
  return std::string(to.pattern);
}

}  // namespace

TEST(Router, RoutesFindTheirHandlers) {
  Router router;
  int which = 0;
  router.handle("GET /a", [&](Response&, const Request&) { which = 1; });
  router.handle("/", kNothing);
  EXPECT_EQ(pattern_of(router, "/a"), "GET /a");
  EXPECT_EQ(pattern_of(router, "/b"), "/");
}

TEST(Router, CopiesShareTheirRoutes) {
  Router router;
  const Router copy = router;
  router.handle("/late", kNothing);
  EXPECT_EQ(pattern_of(copy, "/late"), "/late");
}

TEST(Router, RefusedRegistrationChangesNothing) {
  Router router;
  router.handle("/a/{x}", kNothing);
  EXPECT_THROW(router.handle("/a/{y}", kNothing), Panic);
  EXPECT_THROW(router.handle("/a/{", kNothing), Panic);
  EXPECT_THROW(router.handle("/b", nullptr), Panic);
  router.handle("/c", kNothing);
  EXPECT_EQ(pattern_of(router, "/a/1"), "/a/{x}");
  EXPECT_EQ(pattern_of(router, "/b"), "");
  EXPECT_EQ(pattern_of(router, "/c"), "/c");
}

TEST(Router, RegisteringWhileServingPanics) {
  Router router;
  router.handle("/a", kNothing);
  freeze(router);
  EXPECT_THROW(router.handle("/b", kNothing), Panic);
  EXPECT_EQ(pattern_of(router, "/a"), "/a");
}

TEST(Router, GroupsPutTheirPrefixBeforePatterns) {
  Router router;
  RouteGroup api = router.group("/api");
  RouteGroup users = api.group("/users/{user}/");
  api.handle("GET /x", kNothing);
  api.handle("POST example.org/x", kNothing);
  api.handle("/{$}", kNothing);
  users.handle("GET /notes/{note...}", kNothing);
  router.group("v2.example.org/v2").handle("GET  /x", kNothing);
  router.group().handle("GET /plain", kNothing);
  EXPECT_EQ(pattern_of(router, "/api/x"), "GET /api/x");
  EXPECT_EQ(pattern_of(router, "/api/"), "/api/{$}");
  EXPECT_EQ(pattern_of(router, "/api/users/7/notes/a/b"), "GET /api/users/{user}/notes/{note...}");
  EXPECT_EQ(pattern_of(router, "/plain"), "GET /plain");
  EXPECT_EQ(pattern_of(router, "/x"), "");

  DecodedPath path;
  path.assign("/api/x");
  RouteMatch match;
  EXPECT_EQ(route(router, "POST", "example.org", path, match).pattern, "POST example.org/api/x");
  path.assign("/v2/x");
  EXPECT_EQ(route(router, "GET", "v2.example.org:80", path, match).pattern,
            "GET v2.example.org/v2/x");
}

TEST(Router, MalformedPrefixesPanic) {
  Router router;
  for (const char* prefix :
       {"api", "GET /api", "/a b", "/{x...}", "/{", "/a//b", "/{$}", "/..", "h{o}st/a", "/{x}/{x}"})
    EXPECT_THROW(router.group(prefix), Panic) << prefix;
  RouteGroup hosted = router.group("example.org/");
  EXPECT_THROW(hosted.group("other.org/a"), Panic);
  EXPECT_THROW(hosted.handle("other.org/a", kNothing), Panic);
  EXPECT_THROW(hosted.handle("GET", kNothing), Panic);
  EXPECT_THROW(router.group("/{id}").handle("/{id}", kNothing), Panic);
  hosted.handle("/a", kNothing);
}

TEST(Router, MiddlewareComesBeforeRoutesAndGroups) {
  const Middleware nothing = [](Handler next) { return next; };
  Router router;
  router.use(nothing);
  EXPECT_THROW(router.use(nullptr), Panic);
  RouteGroup group = router.group("/a");
  EXPECT_THROW(router.use(nothing), Panic);
  group.use(nothing);
  EXPECT_THROW(group.handle("bad", kNothing), Panic);
  group.use(nothing);
  group.handle("/x", kNothing);
  EXPECT_THROW(group.use(nothing), Panic);
}

TEST(Router, MiddlewareThatReturnsNoHandlerPanics) {
  const Middleware broken = [](const Handler&) { return Handler(); };
  Router router;
  EXPECT_THROW(router.use(broken), Panic);
  router.handle("/a", kNothing);
  EXPECT_THROW(router.handle("/b", chain({broken})(kNothing)), Panic);
  EXPECT_THROW(chain({broken, nullptr}), Panic);
}

TEST(Router, NothingIsAddedWhileServing) {
  Router router;
  RouteGroup group = router.group("/a");
  freeze(router);
  EXPECT_THROW(group.use([](Handler next) { return next; }), Panic);
  EXPECT_THROW(group.handle("/b", kNothing), Panic);
  EXPECT_THROW(group.group("/b"), Panic);
  EXPECT_THROW(router.group("/b"), Panic);
}
