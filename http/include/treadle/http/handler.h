// Handler: what answers a request.
#pragma once

#include <functional>

namespace treadle::http {

class Request;
class Response;

// Answers one request by writing to the Response; the answer is complete when it returns. It runs
// on the connection's goroutine and may block as it likes. One Handler serves many requests at
// once, so what it captures must be safe to share. An exception that leaves it is logged and
// answered with 500, or, when the head has gone already, cuts the connection. Writing nothing
// answers 200 with an empty body; 503 when the request's Context has ended.
using Handler = std::function<void(Response&, const Request&)>;

}  // namespace treadle::http
