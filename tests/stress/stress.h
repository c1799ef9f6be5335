// What a load of treadle-stress is made of: one file per kind of load, each of which adds itself:
//
//   void round(Random& random) { ...; require(got == sent, "elements lost: {} of {}", got, sent); }
//   const Registered registered{{"channels", "producers and consumers", &round}};
//
// A round runs on a goroutine, beside any number of others of any kind. It must end by itself
// within some 50 ms on an idle machine, leave no goroutine behind, and check what it can: a round
// that does not end is a lost wake-up, and found by the watchdog.
#pragma once

#include <fmt/core.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <treadle/timer.h>

namespace treadle::stress {

// Numbers that follow from a seed alone.
class Random {
 public:
  explicit Random(std::uint64_t seed) noexcept : state_(seed) {}
  std::uint64_t next() noexcept {
    // splitmix64
    std::uint64_t x = state_ += 0x9E3779B97F4A7C15ull;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
    return x ^ (x >> 31);
  }
  // 0 to n - 1.
  int below(int n) noexcept { return static_cast<int>(next() % static_cast<std::uint64_t>(n)); }
  // Both ends included.
  int between(int low, int high) noexcept { return low + below(high - low + 1); }
  bool once_in(int n) noexcept { return below(n) == 0; }
  Duration up_to(Duration most) noexcept {
    return Duration(
        static_cast<std::int64_t>(next() % static_cast<std::uint64_t>(most.count() + 1)));
  }
  // For a goroutine of its own.
  Random fork() noexcept { return Random(next()); }

 private:
  std::uint64_t state_;
};

struct Load {
  const char* name;
  const char* what;  // for --list
  void (*round)(Random& random);
};

// Adds a load before main().
struct Registered {
  explicit Registered(const Load& load);
};
const std::vector<Load>& loads();

// Ends the process with the message, the seeds and a dump of all goroutines.
[[noreturn]] void broken(const std::string& what);

template <class... Args>
void require(bool ok, fmt::format_string<Args...> what, Args&&... args) {
  if (!ok) [[unlikely]]
    broken(fmt::format(what, std::forward<Args>(args)...));
}

// Keeps the thread busy without a call.
inline void burn(int steps) noexcept {
  for (int i = 0; i < steps; ++i) asm volatile("");
}

}  // namespace treadle::stress
