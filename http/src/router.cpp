// Router handles: registration, and the lookup that the server's dispatch uses.
#include <treadle/http/router.h>

#include <utility>

#include <treadle/result.h>

#include "route_tree.h"

namespace treadle::http {

Router::Router() : state_(std::make_shared<State>()) {}

void Router::handle(std::string_view pattern, Handler handler) {
  const auto refuse = [pattern](const char* why) {
    throw Panic("treadle::http: pattern \"" + std::string(pattern) + "\": " + why);
  };
  if (!handler) refuse("the handler is empty");
  if (state_->serving.load(std::memory_order_relaxed)) {
    refuse("registered while the router serves; register every route before");
  }
  RoutePattern parsed = parse_route_pattern(pattern);
  // The handler first: should the tree refuse the pattern, it goes again.
  state_->handlers.push_back(std::move(handler));
  try {
    state_->tree.add(std::move(parsed));
  } catch (...) {
    state_->handlers.pop_back();
    throw;
  }
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
