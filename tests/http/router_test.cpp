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
