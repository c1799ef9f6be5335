// Sixteen bytes at once, in the vector types that g++ and clang share. Compilers do not make vector
// code of such loops by themselves at -O2.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace treadle::http {

using Bytes16 [[gnu::vector_size(16)]] = std::uint8_t;

inline Bytes16 load16(const char* from) noexcept {
  Bytes16 bytes;
  std::memcpy(&bytes, from, sizeof bytes);
  return bytes;
}

// Fewer than sixteen bytes, with spaces behind them.
inline Bytes16 load_tail(std::string_view text) noexcept {
  char padded[sizeof(Bytes16)];
  std::memset(padded, ' ', sizeof padded);
  text.copy(padded, sizeof padded);
  return load16(padded);
}

inline bool any(Bytes16 mask) noexcept {
  std::uint64_t halves[2];
  std::memcpy(halves, &mask, sizeof halves);
  return (halves[0] | halves[1]) != 0;
}

// All ones in the bytes that are control characters other than HT: what must not stand in a field
// value (RFC 9110 5.5).
inline Bytes16 control_mask(Bytes16 bytes) noexcept {
  return (Bytes16)(((bytes < 0x20) & (bytes != '\t')) | (bytes == 0x7f));
}

inline bool has_control(std::string_view text) noexcept {
  constexpr std::size_t kStep = sizeof(Bytes16);
  if (text.size() < kStep) return any(control_mask(load_tail(text)));
  // The last sixteen, some of them perhaps for the second time.
  Bytes16 found = control_mask(load16(text.data() + text.size() - kStep));
  for (; text.size() >= kStep; text.remove_prefix(kStep))
    found |= control_mask(load16(text.data()));
  return any(found);
}

}  // namespace treadle::http
