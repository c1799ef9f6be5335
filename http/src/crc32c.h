// CRC32C, the Castagnoli polynomial (RFC 4960 appendix B), a table look-up per byte.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace treadle::http {

class Crc32c {
 public:
  constexpr void add(std::string_view bytes) noexcept {
    for (const char c : bytes)
      state_ = state_ >> 8 ^ kTable[(state_ ^ static_cast<unsigned char>(c)) & 0xff];
  }
  constexpr std::uint32_t value() const noexcept { return ~state_; }

 private:
  static constexpr std::array<std::uint32_t, 256> kTable = [] {
    constexpr std::uint32_t kReversedPolynomial = 0x82f63b78;
    std::array<std::uint32_t, 256> table{};
    for (std::uint32_t i = 0; i < table.size(); ++i) {
      std::uint32_t r = i;
      for (int bit = 0; bit < 8; ++bit) r = (r & 1) != 0 ? r >> 1 ^ kReversedPolynomial : r >> 1;
      table[i] = r;
    }
    return table;
  }();

  std::uint32_t state_ = ~std::uint32_t{0};
};

}  // namespace treadle::http
