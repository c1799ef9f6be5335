// timeout(): a deadline for some routes.
#pragma once

#include <treadle/http/middleware.h>
#include <treadle/timer.h>

namespace treadle::http {

// Gives the handlers inside `limit` from when they begin, in place of
// ServerOptions::handler_timeout: then the request's Context ends with timed_out, and what they
// wait for with it; where nothing has been sent the client gets 503, else the connection is cut.
// Panics when `limit` is not above zero.
Middleware timeout(Duration limit);

}  // namespace treadle::http
