// Deadlines of single routes and requests.
//
//   router.handle("POST /reports", [](http::Response& res, const http::Request& req) {
//     http::DeadlineScope slow(req, 5min);   // instead of ServerOptions::handler_timeout
//     res.print("{}\n", make_report());
//   });
#pragma once

#include <treadle/http/request.h>
#include <treadle/timer.h>

namespace treadle::http {

// Puts a request's deadline at `d` from its construction, earlier or later than it was, and back to
// what it was when the scope ends: of the request's Context, and of the 503 that the server sends
// once it passes. Once it has passed nothing brings it back. Zero: no deadline. Scopes nest. For
// the goroutine that runs the handler. Never parks for long: it may wait for a deadline that passes
// just now to be answered.
class DeadlineScope {
 public:
  DeadlineScope(const Request& req, Duration d);
  ~DeadlineScope();
  DeadlineScope(const DeadlineScope&) = delete;
  DeadlineScope& operator=(const DeadlineScope&) = delete;

 private:
  const Request& req_;
  const Deadline before_;
};

}  // namespace treadle::http
