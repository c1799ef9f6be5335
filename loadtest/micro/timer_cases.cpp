// Timers that are put off or stopped before they expire, as deadlines mostly are.
#include <treadle/ticker.h>

#include <chrono>
#include <vector>

#include "../operations.h"
#include "micro.h"

namespace micro {

namespace {

using std::chrono::hours;

constexpr std::int64_t kLive = 100'000;

// Within 36 minutes after an hour from now.
treadle::Duration random_time() {
  static std::uint64_t x = 1;
  x = x * 6364136223846793005u + 1442695040888963407u;
  return hours(1) + std::chrono::microseconds(x >> 33);
}

// 100,000 timers run; an operation puts one off to another time.
void churn(std::int64_t n) {
  static std::vector<treadle::Timer> timers;
  if (timers.empty())
    for (std::int64_t i = 0; i < kLive; ++i) timers.emplace_back(random_time());
  for (std::int64_t i = 0; i < n; ++i)
    (void)timers[static_cast<std::size_t>(i % kLive)].reset(random_time());
}

}  // namespace

void add_timer_cases() {
  add_case("timer", 200'000, &operations::start_and_stop_timer);
  add_case("timer-churn", 4 * kLive, &churn);
}

}  // namespace micro
