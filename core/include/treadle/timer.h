// Time: the clock everything in treadle uses, the one Deadline type, and sleep.
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>
#include <limits>

#include <treadle/result.h>

namespace treadle {

using Duration = std::chrono::nanoseconds;

// The monotonic clock of the runtime (CLOCK_MONOTONIC). Timers, deadlines and contexts use it
// and no other; changes of the wall clock do not move them.
struct Clock {
  using duration = Duration;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<Clock>;
  static constexpr bool is_steady = true;
  // About 20 ns. Never parks; any thread.
  static time_point now() noexcept;
};

using TimePoint = Clock::time_point;

// A point in time by which something must be done, or never. A value type.
class Deadline {
 public:
  constexpr Deadline() noexcept = default;  // never
  constexpr explicit Deadline(TimePoint at) noexcept : ns_(at.time_since_epoch().count()) {}

  static constexpr Deadline never() noexcept { return {}; }
  // `d` from now; a negative or zero duration has already passed; one too long for the clock
  // means never.
  static Deadline after(Duration d) noexcept;

  constexpr bool is_never() const noexcept { return ns_ == kNever; }
  constexpr TimePoint at() const noexcept { return TimePoint(Duration(ns_)); }
  bool passed() const noexcept;
  // Time left: zero when it has passed, Duration::max() when it never will.
  Duration remaining() const noexcept;

  friend constexpr auto operator<=>(Deadline, Deadline) noexcept = default;

 private:
  static constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();
  std::int64_t ns_ = kNever;
};

// Waits for `d`. Zero or less returns at once, whatever the Context. Honours the current Context:
// `canceled` or `timed_out` when that ends first. Parks the calling G; on a plain thread it blocks
// that thread.
Result<void> sleep(Duration d);
// The same up to a point in time.
Result<void> sleep_until(Deadline at);

}  // namespace treadle
