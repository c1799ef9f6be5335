#include <treadle/http/request_id.h>

#include <treadle/http/header.h>
#include <treadle/http/request.h>
#include <treadle/http/response.h>
#include <treadle/result.h>

#include <utility>

#include "../request_id.h"
#include "../request_state.h"

namespace treadle::http {

Middleware request_id(RequestIdOptions options) {
  if (!is_token(options.header))
    throw Panic("treadle::http: request_id: invalid header name \"" + options.header + "\"");
  return [options = std::move(options)](Handler next) -> Handler {
    return [options, next = std::move(next)](Response& res, const Request& req) {
      detail::RequestState& state = req.state();
      if (options.trusted && options.trusted(req))
        choose_request_id(state.request_id, req.header(options.header));
      res.keep_header(options.header, state.id());
      next(res, req);
    };
  };
}

}  // namespace treadle::http
