// LogGate: one line a second for what could fill a disk.
//
//   static constinit LogGate gate;
//   if (const auto left_out = gate.pass()) log::warn("... ({} more left out)", *left_out);
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>

#include <treadle/timer.h>

namespace treadle::http {

// Never parks; any thread. Costs a look at the clock.
class LogGate {
 public:
  constexpr LogGate() noexcept = default;
  constexpr explicit LogGate(Duration interval) noexcept : interval_(interval) {}

  // The number of calls turned away since the last one that passed, or nothing when less than the
  // interval has gone by since. Of calls at the same time one passes.
  std::optional<std::uint64_t> pass(TimePoint now = Clock::now()) noexcept {
    const Duration::rep time = now.time_since_epoch().count();
    Duration::rep next = next_.load(std::memory_order_relaxed);
    // The swap decides who passes; nothing else hangs on its order.
    if (time >= next &&
        next_.compare_exchange_strong(next, time + interval_.count(), std::memory_order_relaxed))
      return left_out_.exchange(0, std::memory_order_relaxed);
    left_out_.fetch_add(1, std::memory_order_relaxed);
    return std::nullopt;
  }

 private:
  const Duration interval_ = std::chrono::seconds(1);
  std::atomic<Duration::rep> next_{INT64_MIN};
  std::atomic<std::uint64_t> left_out_{0};
};

}  // namespace treadle::http
