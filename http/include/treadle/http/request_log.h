// log_requests(): what handlers did, for one's own structured logs.
//
//   router.use(http::log_requests([&](const http::RequestRecord& r) {
//     metrics.observe(r.pattern, r.status, r.took);
//   }));
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

#include <treadle/http/middleware.h>
#include <treadle/timer.h>

namespace treadle::http {

// One request that a handler has answered. Valid during the call that it is given to.
struct RequestRecord {
  const Request& request;
  std::string_view pattern;  // the route's; empty where there was none
  int status;                // 500 when the handler threw
  std::uint64_t bytes;       // of body that the handler wrote, before compression
  Duration took;  // from here to the handler's return; what is still buffered leaves later
  bool failed;    // the handler threw
};
// Called on the request's goroutine, so many at once; may park, which delays the response's end.
using RequestSink = std::function<void(const RequestRecord&)>;

// Calls `sink` after each request; without one, a line of the program's log says what there was.
// Unlike the server's access log it knows nothing of requests that never reached it, of answers
// that the server gives for a handler (413 and the like), nor whether the client got it all.
Middleware log_requests(RequestSink sink = {});

}  // namespace treadle::http
