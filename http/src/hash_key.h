// A keyed hash for tables whose keys clients choose: without the key nobody can choose keys that
// collide.
#pragma once

#include <cstdint>
#include <string_view>

namespace treadle::http {

struct HashKey {
  std::uint64_t k0 = 0;
  std::uint64_t k1 = 0;

  // A new one from the kernel. Never parks; any thread.
  static HashKey random() noexcept;
};

// SipHash-2-4 (Aumasson and Bernstein, 2012) of `text`. Never parks; any thread.
std::uint64_t keyed_hash(const HashKey& key, std::string_view text) noexcept;

}  // namespace treadle::http
