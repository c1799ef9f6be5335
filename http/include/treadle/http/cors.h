// cors(): which pages of other origins may read responses (the Fetch standard's CORS protocol).
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <treadle/http/middleware.h>
#include <treadle/timer.h>

namespace treadle::http {

struct CorsOptions {
  // Origins that are allowed, as browsers send them: "https://app.example.org", with the port where
  // it is not the scheme's own.
  std::vector<std::string> origins{};
  // Asked about origins that are not in the list; never about "null". Called by many goroutines.
  std::function<bool(std::string_view origin)> allow_origin{};
  // Every origin, "null" too, by "*". Not together with credentials.
  bool any_origin = false;
  // The origin "null", which sandboxed frames and local files have, and whoever wants to pose as
  // one.
  bool null_origin = false;
  // What a preflight allows. Browsers ask about others than GET, HEAD and POST only.
  std::vector<std::string> methods{"GET", "HEAD", "POST"};
  // Request fields that pages may set beyond those that browsers always allow; "*" for whatever a
  // page asks for.
  std::vector<std::string> headers{};
  // Response fields that pages may read beyond those that browsers always show.
  std::vector<std::string> exposed_headers{};
  // Whether requests may come with cookies and the like.
  bool credentials = false;
  // For how long browsers may remember a preflight's answer. 0: says nothing, which means 5 s.
  Duration max_age = Duration::zero();
};

// Answers preflights (OPTIONS with Access-Control-Request-Method) by 204 without calling the
// handler, and adds to the responses for allowed origins what lets pages read them. Requests of
// other origins are served all the same, and their browsers keep the answers from the page: CORS
// takes no protection away, and gives none against requests that change something. Says
// `Vary: Origin` wherever the answer depends on it. Put it outside of authentication, since
// preflights carry none.
// Panics when any_origin stands with credentials, an origin is not in the form above, a method or
// field name is no token, or max_age is negative.
Middleware cors(CorsOptions options);

}  // namespace treadle::http
