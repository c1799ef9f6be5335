// How many connections descriptors allow.
#pragma once

#include <cstdint>

namespace treadle::http::detail {

// Half of what is left once 128 are set aside for listeners, logs and the like: a connection may
// need a second descriptor, for a file or a connection of its handler's. `limit` is RLIMIT_NOFILE's
// soft value, RLIM_INFINITY included; at least 1.
constexpr std::uint64_t connection_cap(std::uint64_t limit) noexcept {
  constexpr std::uint64_t kSetAside = 128;
  return limit < kSetAside + 2 ? 1 : (limit - kSetAside) / 2;
}

}  // namespace treadle::http::detail
