// recover(): one's own answer to handlers that throw.
#pragma once

#include <functional>
#include <string_view>

#include <treadle/http/middleware.h>

namespace treadle::http {

// Answers for a handler that threw; `what` is the exception's text. Runs outside of the catch
// clause and may park.
using Recovery = std::function<void(Response&, const Request&, std::string_view what)>;

// Catches what the handlers inside throw, logs it with the request's line, and, where nothing has
// been sent, lets `answer` answer (500 when it is empty); else the response is cut, since its
// client could not tell that something is missing. The server does as much for an exception that
// reaches it; recover() is for answers of one's own, and for middleware further out that wants to
// see the answer.
Middleware recover(Recovery answer = {});

}  // namespace treadle::http
