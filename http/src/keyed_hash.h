// A hash that nobody can predict without its key: for tables keyed by what clients send, and for
// names that must not tell what they are made of. Pure functions, but for random().
#pragma once

#include <cstdint>
#include <string_view>

namespace treadle::http::detail {

struct HashKey {
  std::uint64_t first = 0;
  std::uint64_t second = 0;

  // A key of this process's own. Waits for the kernel's entropy at boot only.
  static HashKey random() noexcept;
};

// SipHash-2-4 of `bytes`: some 25 ns for a path.
std::uint64_t keyed_hash(const HashKey& key, std::string_view bytes) noexcept;

}  // namespace treadle::http::detail
