// pure
// What is kept beside a repeated head's number is used for that head and those routes only.
#include "request_state.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <string_view>

#include <treadle/http/response.h>
#include <treadle/http/router.h>

namespace treadle::http {
namespace {

void nothing(Response&, const Request&) {}

void ask(detail::RequestState& state, std::string_view method, std::string_view path,
         std::uint64_t memo) {
  state.head.clear();
  state.head.method = method;
  state.head.path = state.head.target = path;
  state.head.memo = memo;
  ASSERT_EQ(state.take_path(), DecodedPath::Status::clean);
}

TEST(RequestState, AnotherRouterAnswersByItsOwnRoutes) {
  Router first;
  first.handle("GET /x/{name}", nothing);
  Router second;
  second.handle("GET /x/{other}", nothing);
  detail::RequestState state;
  ask(state, "GET", "/x/1", 7);
  EXPECT_EQ(state.take_route(first).pattern, "GET /x/{name}");
  EXPECT_EQ(state.match().value("name"), "1");
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(state.take_route(second).pattern, "GET /x/{other}");
    EXPECT_EQ(state.match().value("name"), "");
    EXPECT_EQ(state.match().value("other"), "1");
    EXPECT_EQ(state.take_route(first).pattern, "GET /x/{name}");
    EXPECT_EQ(state.match().value("name"), "1");
  }
}

// At the same address, too.
TEST(RequestState, ARouterThatIsNoMoreIsForgotten) {
  detail::RequestState state;
  for (const char* pattern : {"/{a}", "/{b}", "/{c...}"}) {
    std::optional<Router> router(std::in_place);
    router->handle(pattern, nothing);
    ask(state, "GET", "/x", 7);
    EXPECT_EQ(state.take_route(*router).pattern, pattern);
    EXPECT_EQ(state.take_route(*router).pattern, pattern);
  }
}

TEST(RequestState, ARouteThatIsAddedIsSeen) {
  Router router;
  detail::RequestState state;
  ask(state, "GET", "/x", 7);
  EXPECT_EQ(state.take_route(router).handler, nullptr);
  router.handle("/", nothing);
  EXPECT_EQ(state.take_route(router).pattern, "/");
  router.handle("POST /x", nothing);
  EXPECT_EQ(state.take_route(router).pattern, "/");
  router.handle("/x", nothing);
  EXPECT_EQ(state.take_route(router).pattern, "/x");
}

TEST(RequestState, AnotherHeadIsRoutedAnew) {
  Router router;
  router.handle("GET /a/{v}", nothing);
  router.handle("POST /a/{v}", nothing);
  detail::RequestState state;
  std::string path = "/a/1";
  for (const std::uint64_t memo : {0, 0, 3, 3, 4, 0, 4, 3}) {
    path.back() = static_cast<char>('0' + memo);
    const std::string_view method = memo % 2 == 0 ? "GET" : "POST";
    ask(state, method, path, memo);
    EXPECT_EQ(state.path.text(), path);
    EXPECT_EQ(state.take_route(router).pattern, std::string(method) + " /a/{v}");
    EXPECT_EQ(state.match().value("v"), path.substr(3));
    state.clear();
  }
}

TEST(RequestState, NothingMatchesBeforeARouterHasLooked) {
  Router router;
  router.handle("GET /a/{v}", nothing);
  detail::RequestState state;
  for (int i = 0; i < 3; ++i) {
    ask(state, "GET", "/a/1", 5);
    EXPECT_EQ(state.match().value("v"), "");
    EXPECT_EQ(state.match().outcome, RouteOutcome::not_found);
    EXPECT_NE(state.take_route(router).handler, nullptr);
    EXPECT_EQ(state.match().value("v"), "1");
    state.clear();
    EXPECT_EQ(state.head.memo, 5U);
    EXPECT_EQ(state.match().value("v"), "");
    EXPECT_EQ(state.pattern, "");
  }
}

TEST(RequestState, UncleanPathsAreJudgedEachTime) {
  detail::RequestState state;
  state.head.path = "/a//b";
  state.head.memo = 9;
  for (int i = 0; i < 3; ++i) EXPECT_EQ(state.take_path(), DecodedPath::Status::unclean);
}

}  // namespace
}  // namespace treadle::http
