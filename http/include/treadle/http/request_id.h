// request_id(): a name for each request, to find it again in the logs of all who took part.
#pragma once

#include <functional>
#include <string>

#include <treadle/http/middleware.h>

namespace treadle::http {

struct RequestIdOptions {
  // The field that ids come and go by.
  std::string header = "X-Request-Id";
  // Whether the client is one whose ids are taken over, besides those that come by one of
  // ServerOptions::trusted_proxies. Empty: nobody. Anybody else could choose the ids in our logs.
  std::function<bool(const Request&)> trusted{};
};

// Gives each request an id: that of a proxy that is trusted, if it is 1 to 128 of A-Z a-z 0-9 . _
// -, else a new one, 32 hex digits. It goes to the client in the same field and stands in the
// access log. New ones differ from all others, those of other processes too; they are no secret,
// since whoever knows one may guess the next. Request::id() tells it. Panics when the field's name
// is invalid.
Middleware request_id(RequestIdOptions options = {});

}  // namespace treadle::http
