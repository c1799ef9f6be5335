#include <treadle/http/timeout.h>

#include <treadle/http/deadline.h>
#include <treadle/http/request.h>
#include <treadle/http/response.h>
#include <treadle/http/status.h>

#include <utility>

#include "../request_state.h"
#include "../response_writer.h"

namespace treadle::http {

Middleware timeout(Duration limit) {
  if (limit <= Duration::zero()) throw Panic("treadle::http: timeout of no time");
  return [limit](Handler next) -> Handler {
    return [limit, next = std::move(next)](Response& res, const Request& req) {
      DeadlineScope scope(req, limit);
      next(res, req);
      // The Context that says so ends with the scope, and the server would take silence for 200.
      if (req.context().done() && res.writer().untouched())
        res.send_error(status::kServiceUnavailable);
    };
  };
}

}  // namespace treadle::http
