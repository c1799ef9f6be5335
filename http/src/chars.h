// Character classes of RFC 3986 and RFC 9110 as tables: one load per byte.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace treadle::http::chars {

enum Class : std::uint8_t {
  kToken = 1,        // RFC 9110 5.6.2 tchar
  kPath = 2,         // RFC 3986 pchar and '/', without '%'
  kQuery = 4,        // the same and '?', and what browsers leave as it is in queries: '[' ']' '|'
  kRegName = 8,      // RFC 3986 reg-name without '%' and ',' (see valid_authority())
  kUnreserved = 16,  // RFC 3986 2.3
};

constexpr bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }
constexpr bool is_alpha(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
constexpr char to_lower(char c) noexcept {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

// The value of a hex digit; -1 for anything else.
constexpr int hex_value(char c) noexcept {
  if (is_digit(c)) return c - '0';
  const char lower = to_lower(c);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

namespace detail {

constexpr bool among(char c, std::string_view set) noexcept {
  return set.find(c) != std::string_view::npos;
}

constexpr std::uint8_t classes(char c) noexcept {
  const bool alnum = is_alpha(c) || is_digit(c);
  const bool unreserved = alnum || among(c, "-._~");
  const bool sub_delim = among(c, "!$&'()*+,;=");
  const bool path = unreserved || sub_delim || among(c, ":@/");
  int all = 0;
  if (alnum || among(c, "!#$%&'*+-.^_`|~")) all |= kToken;
  if (path) all |= kPath;
  if (path || among(c, "?[]|")) all |= kQuery;
  if (unreserved || (sub_delim && c != ',')) all |= kRegName;
  if (unreserved) all |= kUnreserved;
  return static_cast<std::uint8_t>(all);
}

constexpr std::array<std::uint8_t, 256> make_table() noexcept {
  std::array<std::uint8_t, 256> table{};
  for (std::size_t i = 0; i < 128; ++i) table[i] = i == 0 ? 0 : classes(static_cast<char>(i));
  return table;
}

inline constexpr std::array<std::uint8_t, 256> kTable = make_table();

}  // namespace detail

constexpr bool is(char c, Class which) noexcept {
  return (detail::kTable[static_cast<unsigned char>(c)] & which) != 0;
}

constexpr bool all(std::string_view text, Class which) noexcept {
  std::uint8_t common = which;
  for (const char c : text) common &= detail::kTable[static_cast<unsigned char>(c)];
  return common != 0;
}

// A control character other than HT: what must not stand in a field value (RFC 9110 5.5).
constexpr bool is_control(char c) noexcept {
  const auto u = static_cast<unsigned char>(c);
  return (u < 0x20 && c != '\t') || u == 0x7f;
}

}  // namespace treadle::http::chars
