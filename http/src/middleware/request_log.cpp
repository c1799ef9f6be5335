#include <treadle/http/request_log.h>

#include <treadle/http/request.h>
#include <treadle/http/response.h>
#include <treadle/http/status.h>
#include <treadle/log.h>

#include <chrono>
#include <exception>
#include <utility>

#include "../request_state.h"
#include "../response_writer.h"

namespace treadle::http {
namespace {

void log_line(const RequestRecord& r) {
  log::info("http: {} {} {}: {}, {} bytes, {} us", r.request.remote_address().to_string(),
            r.request.method(), r.request.target().substr(0, detail::kLoggedTarget), r.status,
            r.bytes, std::chrono::duration_cast<std::chrono::microseconds>(r.took).count());
}

}  // namespace

Middleware log_requests(RequestSink sink) {
  if (!sink) sink = log_line;
  return [sink = std::move(sink)](Handler next) -> Handler {
    return [sink, next = std::move(next)](Response& res, const Request& req) {
      const TimePoint started = Clock::now();
      std::exception_ptr failure;
      try {
        next(res, req);
      } catch (...) {
        failure = std::current_exception();  // thrown on below: the sink may park
      }
      const bool failed = failure != nullptr;
      sink({.request = req,
            .pattern = req.state().pattern,
            .status = failed && !res.head_sent() ? status::kInternalServerError : res.status(),
            .bytes = res.writer().written(),
            .took = Clock::now() - started,
            .failed = failed});
      if (failed) std::rethrow_exception(failure);
    };
  };
}

}  // namespace treadle::http
