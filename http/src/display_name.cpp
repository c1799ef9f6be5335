#include "display_name.h"

#include <cstddef>
#include <cstdint>

namespace treadle::http {
namespace {

constexpr std::size_t kMaxName = 200;  // file systems take 255; this leaves room for a suffix

struct Character {
  char32_t code = 0;
  std::size_t size = 0;  // in bytes; 0: the bytes are no UTF-8
};

// The first character of `text`, which is not empty.
Character decode(std::string_view text) noexcept {
  const auto byte = [text](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned first = byte(0);
  if (first < 0x80) return {first, 1};
  const std::size_t size = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < size) return {};
  char32_t code = first & (0x7fU >> size);
  for (std::size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return {};
    code = code << 6 | (byte(i) & 0x3fU);
  }
  constexpr char32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  if (code < kLeast[size] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return {};
  return {code, size};
}

// What could hide or disguise a part of the name, end a line, or be special to a file system.
bool harmful(char32_t c) noexcept {
  if (c < 0x20 || (c >= 0x7f && c < 0xa0)) return true;
  if (c < 0x80)
    return std::string_view("/\\:*?\"<>|").find(static_cast<char>(c)) != std::string_view::npos;
  return c == 0x061c || (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
         (c >= 0x2060 && c <= 0x206f) || c == 0xfeff || (c >= 0xfff9 && c <= 0xfffb);
}

}  // namespace

std::string display_name(std::string_view sent) {
  if (const std::size_t slash = sent.find_last_of("/\\"); slash != std::string_view::npos)
    sent.remove_prefix(slash + 1);
  constexpr std::string_view kTrimmed = ". ";
  sent.remove_prefix(std::min(sent.find_first_not_of(kTrimmed), sent.size()));

  std::string name;
  while (!sent.empty()) {
    const Character c = decode(sent);
    const std::size_t size = c.size == 0 ? 1 : c.size;
    if (name.size() + size > kMaxName) break;
    if (c.size == 0 || harmful(c.code))
      name += '_';
    else
      name += sent.substr(0, size);
    sent.remove_prefix(size);
  }
  const std::size_t last = name.find_last_not_of(kTrimmed);
  name.resize(last == std::string::npos ? 0 : last + 1);
  return name.empty() ? "file" : name;
}

}  // namespace treadle::http
