// Middleware: what is done around handlers.
//
//   router.use(http::recover());
//   router.use(http::request_id());
//   auto api = router.group("/api");
//   api.use(http::timeout(5s));
//   api.handle("GET /jobs/{id}", show_job);                 // GET /api/jobs/{id}
//   api.handle("POST /jobs", http::chain({only_json})(make_job));
//
// One of your own is a function from a handler to a handler:
//
//   http::Middleware only_json = [](http::Handler next) {
//     return [next = std::move(next)](http::Response& res, const http::Request& req) {
//       if (req.header("Content-Type") != "application/json") return void(res.send_error(415));
//       next(res, req);
//     };
//   };
#pragma once

#include <functional>
#include <vector>

#include <treadle/http/handler.h>

namespace treadle::http {

// Makes of a handler one that does something before it, after it, or in its place. It is called
// while routes are registered, once for each route and now and then for the router's own answers
// (404 and the like), so what those shall share it captures by a shared pointer. What it returns
// obeys the rules of a Handler: it serves many requests at once, and may park.
using Middleware = std::function<Handler(Handler)>;

// One middleware that does what all of these do: the first is the outermost, the one that sees a
// request first and the response last. Panics when one of them is empty. Never parks.
Middleware chain(std::vector<Middleware> all);

}  // namespace treadle::http
