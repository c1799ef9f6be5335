// Ways of cutting a stream into the pieces that reads bring.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace treadle::fuzz {

// Pieces of one byte or more whose sizes follow from `seed`; the larger seed % 64, the larger they
// are.
inline std::vector<std::string_view> cut(std::string_view stream, std::uint8_t seed) {
  std::vector<std::string_view> pieces;
  std::uint32_t state = seed * 2654435761u + 1;
  while (!stream.empty()) {
    state = state * 1664525 + 1013904223;
    const std::string_view piece = stream.substr(0, 1 + (state >> 24) % (1 + seed % 64));
    pieces.push_back(piece);
    stream.remove_prefix(piece.size());
  }
  return pieces;
}

}  // namespace treadle::fuzz
