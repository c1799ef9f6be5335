// The router: patterns to handlers.
#pragma once

#include <memory>
#include <string_view>

#include <treadle/http/handler.h>

namespace treadle::http {

// Maps requests to handlers by patterns:
//
//   router.handle("/", home);                          // every path: a trailing slash is a subtree
//   router.handle("GET /{$}", front);                  // exactly "/"
//   router.handle("GET /hello/{name}", hello);         // one segment: req.path_value("name")
//   router.handle("/files/{rest...}", files);          // all that follows, slashes included
//   router.handle("POST api.example.org/jobs", jobs);  // only for that host
//
// A pattern without a method takes every method; GET also takes HEAD. Of several that match, the
// narrowest wins, in whatever order they came. Where only other methods match the answer is 405
// with Allow; where nothing does, 404. A path that lacks the slash of a subtree is redirected to it
// unless it has a pattern of its own, even where a wider one would answer. Matching is by decoded
// segments: %2F never splits one.
//
// A Router is a handle: copies share their routes. Register everything before serving begins; from
// then on any number of goroutines use it at once.
class Router {
 public:
  Router();

  // Registers a handler. Panics when the pattern is malformed, when it conflicts with one already
  // there (both match some request and neither is narrower), when the handler is empty, and when
  // the router already serves. Never parks; one thread at a time.
  void handle(std::string_view pattern, Handler handler);

  // Answers `req` by the handler that fits it best. Parks when the handler does; call from a G.
  void serve(Response& res, const Request& req) const;
  // The same, so that a router can stand where a handler does.
  void operator()(Response& res, const Request& req) const { serve(res, req); }

  // treadle's own door to the routes; the type is private to it.
  struct State;
  State& state() const noexcept { return *state_; }

 private:
  std::shared_ptr<State> state_;
};

}  // namespace treadle::http
