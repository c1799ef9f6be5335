// rate_limit(): how often each client may ask. concurrency_limit(): how many requests are served at
// one time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include <treadle/http/middleware.h>
#include <treadle/rate_limiter.h>
#include <treadle/timer.h>

namespace treadle::http {

struct RateLimitOptions {
  // What each key may have on average; above zero.
  Rate rate{};
  // How many requests may come at once after a pause; at least 1.
  std::int64_t burst = 1;
  // What is counted together; requests with an empty key are not limited. Left out it is the
  // client's address, of IPv6 its first 64 bits, since whoever has one address has all of those.
  // Called by many goroutines.
  std::function<std::string(const Request&)> key{};
  // How many keys are remembered, 16 bytes each, from the start. Where more come the one whose
  // allowance is nearest to full again is forgotten, of eight that a hash with a random key chose.
  std::size_t max_keys = 65'536;
};

// Refuses requests beyond the rate with 429 and a Retry-After that says when the next may come.
// All routes that it stands around are counted together. Behind proxies that are not in
// ServerOptions::trusted_proxies all clients have the proxy's address. Parks only when many
// requests come at once, and for no longer than a look at a table takes. Panics on a rate that is
// not above zero, a burst or max_keys below 1.
Middleware rate_limit(RateLimitOptions options);

struct ConcurrencyLimitOptions {
  // Requests in the handlers inside at one time; at least 1.
  std::int64_t limit = 1;
  // Requests that wait for one of these to end, first come, first served. 0: none.
  std::int64_t queue = 0;
  // How long each of them waits at most.
  Duration max_wait = std::chrono::seconds(1);
  // What Retry-After tells those that are turned away, in whole seconds.
  std::chrono::seconds retry_after{1};
};

// Sheds load: requests beyond the limit and the queue, and those that have waited in vain, get 503
// and Retry-After at once, so that those within the limit are served as fast as ever. All routes
// that it stands around are counted together. Waiting parks, and ends with the request's Context.
// Panics when the limit is below 1, or the queue or a duration is negative.
Middleware concurrency_limit(ConcurrencyLimitOptions options);

}  // namespace treadle::http
