// Counts what the calling thread executes, for tests that hold a cost to a bound: instructions do
// not depend on what else the machine does.
#pragma once

#include <linux/perf_event.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <optional>

#include "runtime/sanitizer.h"

namespace treadle::test {

#if TREADLE_ASAN || TREADLE_TSAN
inline constexpr bool kSanitized = true;
#elif defined(__has_feature)
inline constexpr bool kSanitized =
    __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
inline constexpr bool kSanitized = false;
#endif

// User-mode instructions of this thread during `f`; empty where the kernel does not let us count,
// or a sanitizer would be what is counted. Call it from a plain thread.
template <class F>
std::optional<std::uint64_t> count_instructions(F&& f) {
  if (kSanitized) {
    f();
    return {};
  }
  perf_event_attr a{};
  a.type = PERF_TYPE_HARDWARE;
  a.size = sizeof a;
  a.config = PERF_COUNT_HW_INSTRUCTIONS;
  a.exclude_kernel = 1;
  a.exclude_hv = 1;
  const int fd = static_cast<int>(::syscall(SYS_perf_event_open, &a, 0, -1, -1, 0));
  std::uint64_t before = 0, after = 0;
  const auto get = [fd](std::uint64_t& to) { return ::read(fd, &to, sizeof to) == sizeof to; };
  bool ok = fd >= 0 && get(before);
  f();
  ok = ok && get(after);
  if (fd >= 0) ::close(fd);
  if (!ok || after == before) return {};
  return after - before;
}

}  // namespace treadle::test
