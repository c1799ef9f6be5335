// Router and RouteGroup handles: registration, and the lookup that the server's dispatch uses.
#include <treadle/http/router.h>

#include <string>
#include <utility>

#include <treadle/result.h>

#include "route_tree.h"

namespace treadle::http {

Router::Router() : state_(std::make_shared<State>()) {}

void Router::use(Middleware middleware) {
  state_->use(state_->scopes.front(), std::move(middleware));
}
void Router::handle(std::string_view pattern, Handler handler) {
  state_->handle(state_->scopes.front(), pattern, std::move(handler));
}
RouteGroup Router::group(std::string_view prefix) {
  return {state_, state_->group(state_->scopes.front(), prefix)};
}

RouteGroup::RouteGroup(std::shared_ptr<Router::State> state, RouteScope& scope) noexcept
    : state_(std::move(state)), scope_(&scope) {}

void RouteGroup::use(Middleware middleware) { state_->use(*scope_, std::move(middleware)); }
void RouteGroup::handle(std::string_view pattern, Handler handler) {
  state_->handle(*scope_, pattern, std::move(handler));
}
RouteGroup RouteGroup::group(std::string_view prefix) {
  return {state_, state_->group(*scope_, prefix)};
}

void Router::State::use(RouteScope& scope, Middleware middleware) {
  if (!middleware) throw Panic("treadle::http: use of an empty middleware");
  if (serving.load(std::memory_order_relaxed))
    throw Panic("treadle::http: middleware added while the router serves; add all of it before");
  if (scope.closed)
    throw Panic(
        "treadle::http: middleware added after routes or groups, which would not have it; "
        "call use() before");
  scope.middleware.push_back(std::move(middleware));
  try {
    scope.unrouted = wrap(scope, answer_unrouted, "/");
  } catch (...) {
    scope.middleware.pop_back();
    throw;
  }
}

void Router::State::handle(RouteScope& scope, std::string_view pattern, Handler handler) {
  const std::string whole = scoped_pattern(scope, pattern);
  const auto refuse = [&whole](const char* why) {
    throw Panic("treadle::http: pattern \"" + whole + "\": " + why);
  };
  if (!handler) refuse("the handler is empty");
  if (serving.load(std::memory_order_relaxed)) {
    refuse("registered while the router serves; register every route before");
  }
  RoutePattern parsed = parse_route_pattern(whole);
  // The handler first: should the tree refuse the pattern, it goes again.
  handlers.push_back(wrap(scope, std::move(handler), whole));
  scope_of.push_back(&scope);
  try {
    tree.add(std::move(parsed));
  } catch (...) {
    scope_of.pop_back();
    handlers.pop_back();
    throw;
  }
  scope.closed = true;
  version = next_version();
}

// Relaxed: it has to be unique, and says nothing else.
std::uint64_t Router::State::next_version() noexcept {
  static constinit std::atomic<std::uint64_t> next{1};
  return next.fetch_add(1, std::memory_order_relaxed);
}

RouteScope& Router::State::group(RouteScope& parent, std::string_view prefix) {
  if (serving.load(std::memory_order_relaxed))
    throw Panic("treadle::http: group made while the router serves; make every group before");
  scopes.push_back(make_scope(parent, prefix));
  parent.closed = true;
  return scopes.back();
}

RoutedHandler route(const Router& router, std::string_view method, std::string_view host,
                    const DecodedPath& path, RouteMatch& match) {
  const Router::State& state = router.state();
  state.tree.find(method, host, path, match);
  if (match.outcome != RouteOutcome::found) return {};
  return {&state.handlers[match.route], state.tree.pattern(match.route).source};
}

void freeze(const Router& router) noexcept {
  router.state().serving.store(true, std::memory_order_relaxed);
}

}  // namespace treadle::http
