#include <treadle/http/deadline.h>

#include <utility>

#include "request_state.h"

namespace treadle::http {

DeadlineScope::DeadlineScope(const Request& req, Duration limit)
    : request_(req),
      before_(req.state().context),
      scope_(req.state().context = with_timeout(before_, limit).context) {}

DeadlineScope::~DeadlineScope() { request_.state().context = std::move(before_); }

}  // namespace treadle::http
