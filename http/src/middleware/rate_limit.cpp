#include <treadle/http/rate_limit.h>

#include <fmt/format.h>

#include <treadle/http/request.h>
#include <treadle/http/response.h>
#include <treadle/http/status.h>
#include <treadle/result.h>
#include <treadle/semaphore.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <utility>

#include "../rate_table.h"

namespace treadle::http {
namespace {

void turn_away(Response& res, int code, std::chrono::seconds retry_after) {
  res.send_error(code);
  res.header("Retry-After", fmt::to_string(retry_after.count()));
}

// Places for requests, and for those that wait for one.
class Places {
 public:
  explicit Places(const ConcurrencyLimitOptions& options)
      : options_(options), free_(options.limit) {}

  bool enter() {
    if (free_.try_acquire()) return true;
    // Counted before it is looked at: of those that come at once no more than fit wait.
    const bool fits = waiting_.fetch_add(1, std::memory_order_relaxed) < options_.queue;
    const bool entered =
        fits && free_.acquire(1, with_timeout(current_context(), options_.max_wait).context);
    waiting_.fetch_sub(1, std::memory_order_relaxed);
    return entered;
  }
  Semaphore& free() noexcept { return free_; }
  std::chrono::seconds retry_after() const noexcept { return options_.retry_after; }

 private:
  const ConcurrencyLimitOptions options_;
  Semaphore free_;
  // A count and no more: nothing is published by it.
  std::atomic<std::int64_t> waiting_{0};
};

}  // namespace

Middleware rate_limit(RateLimitOptions options) {
  const auto table = std::make_shared<RateTable>(options.rate, options.burst, options.max_keys);
  return [table, key = std::move(options.key)](Handler next) -> Handler {
    return [table, key, next = std::move(next)](Response& res, const Request& req) {
      Duration wait{};
      if (!key) {
        wait = table->take(ClientKey(req.remote_address()).view(), Clock::now());
      } else if (const std::string own = key(req); !own.empty()) {
        wait = table->take(own, Clock::now());
      }
      if (wait > Duration::zero())
        return turn_away(res, status::kTooManyRequests,
                         std::chrono::ceil<std::chrono::seconds>(wait));
      next(res, req);
    };
  };
}

Middleware concurrency_limit(ConcurrencyLimitOptions options) {
  if (options.limit < 1) throw Panic("treadle::http: concurrency_limit: limit below 1");
  if (options.queue < 0 || options.max_wait < Duration::zero() || options.retry_after.count() < 0)
    throw Panic("treadle::http: concurrency_limit: a negative option");
  const auto places = std::make_shared<Places>(options);
  return [places](Handler next) -> Handler {
    return [places, next = std::move(next)](Response& res, const Request& req) {
      if (!places->enter())
        return turn_away(res, status::kServiceUnavailable, places->retry_after());
      const Semaphore::Hold hold(places->free());
      next(res, req);
    };
  };
}

}  // namespace treadle::http
