// How a Router answers: the handler that fits, or what HTTP says where there is none.
#include <treadle/http/request.h>
#include <treadle/http/response.h>
#include <treadle/http/router.h>
#include <treadle/http/status.h>

#include <string>

#include "request_state.h"
#include "route_tree.h"

namespace treadle::http {
namespace {

void redirect_to_slash(Response& res, const RequestHead& head) {
  std::string location = clean_path(head.path);
  location.push_back('/');
  if (!head.query.empty()) location.append("?").append(head.query);
  // 308 where a 301 would turn the request into a GET (RFC 9110 15.4.9).
  const bool safe = head.method == "GET" || head.method == "HEAD";
  res.redirect(location, safe ? status::kMovedPermanently : status::kPermanentRedirect);
}

void answer_method(Response& res, const RequestHead& head, const std::string& allow) {
  if (head.method == "OPTIONS")
    res.status(status::kNoContent);
  else
    res.send_error(status::kMethodNotAllowed);
  res.header("Allow", allow);
}

// Whose middleware a request without a route goes through: the router's own. But a CORS preflight
// asks on behalf of another request, and what that one's group says of origins it says here too.
const RouteScope& scope_of_unrouted(const Router::State& router,
                                    const detail::RequestState& state) {
  if (state.match().outcome == RouteOutcome::method_not_allowed && state.head.method == "OPTIONS") {
    const HeaderView headers(state.head.headers);
    const std::string_view wanted = headers.get("Access-Control-Request-Method");
    RouteMatch asked;
    if (!wanted.empty()) router.tree.find(wanted, state.head.host, state.path, asked);
    if (asked.outcome == RouteOutcome::found) return *router.scope_of[asked.route];
  }
  return router.scopes.front();
}

}  // namespace

void answer_unrouted(Response& res, const Request& req) {
  const detail::RequestState& state = req.state();
  switch (state.match().outcome) {
    case RouteOutcome::method_not_allowed:
      return answer_method(res, state.head, state.match().allow);
    case RouteOutcome::add_slash: return redirect_to_slash(res, state.head);
    case RouteOutcome::found:
    case RouteOutcome::not_found: break;
  }
  res.send_error(status::kNotFound);
}

void Router::serve(Response& res, const Request& req) const {
  detail::RequestState& state = req.state();
  const RoutedHandler routed = state.take_route(*this);
  if (routed.handler != nullptr) {
    state.pattern = routed.pattern;
    return (*routed.handler)(res, req);
  }
  const RouteScope& scope = scope_of_unrouted(*state_, state);
  if (scope.unrouted) return scope.unrouted(res, req);
  answer_unrouted(res, req);
}

}  // namespace treadle::http
