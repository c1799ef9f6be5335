#include <treadle/http/recover.h>

#include <treadle/http/error.h>
#include <treadle/http/request.h>
#include <treadle/http/response.h>
#include <treadle/http/status.h>
#include <treadle/log.h>

#include <exception>
#include <string>
#include <utility>

#include "../request_state.h"
#include "../response_writer.h"

namespace treadle::http {

Middleware recover(Recovery answer) {
  return [answer = std::move(answer)](Handler next) -> Handler {
    return [answer, next = std::move(next)](Response& res, const Request& req) {
      // Answered outside of the catch clauses: writing parks, and what is in flight should not.
      std::string failure;
      try {
        return next(res, req);
      } catch (const std::exception& e) {
        failure = e.what();
      } catch (...) {
        failure = "exception of unknown type";
      }
      log::error("http: {} {} {}: handler failed: {}", req.remote_address().to_string(),
                 req.method(), req.target().substr(0, detail::kLoggedTarget), failure);
      if (res.head_sent()) return res.writer().abandon(Errc::aborted);
      if (!answer) return void(res.send_error(status::kInternalServerError));
      res.writer().restart();
      res.status(status::kInternalServerError);
      answer(res, req, failure);
    };
  };
}

}  // namespace treadle::http
