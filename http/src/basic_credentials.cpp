#include "basic_credentials.h"

#include <treadle/http/header.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "chars.h"
#include "field_list.h"

namespace treadle::http {
namespace {

int base64_value(char c) noexcept {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (chars::is_digit(c)) return c - '0' + 52;
  if (c == '+') return 62;
  return c == '/' ? 63 : -1;
}

// Only the canonical form, so that one text has one encoding: padded, no bits left over.
std::optional<std::string> base64_decode(std::string_view text) {
  if (text.size() % 4 != 0) return {};
  for (int i = 0; i < 2 && text.ends_with('='); ++i) text.remove_suffix(1);
  std::string out;
  std::uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    const int value = base64_value(c);
    if (value < 0) return {};
    bits = bits << 6 | static_cast<std::uint32_t>(value);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    out.push_back(static_cast<char>(bits >> count & 0xff));
    bits &= (1U << count) - 1;
  }
  if (bits != 0) return {};
  return out;
}

}  // namespace

std::optional<BasicCredentials> parse_basic_credentials(std::string_view authorization) {
  constexpr std::string_view kScheme = "Basic";
  const std::size_t space = authorization.find(' ');
  if (space == std::string_view::npos ||
      !equal_ignore_case(authorization.substr(0, space), kScheme))
    return {};
  const auto text = base64_decode(trim_ows(authorization.substr(space)));
  if (!text) return {};
  const std::size_t colon = text->find(':');
  const bool control =
      std::ranges::any_of(*text, [](char c) { return chars::is_control(c) || c == '\t'; });
  if (colon == std::string::npos || control) return {};
  return BasicCredentials{text->substr(0, colon), text->substr(colon + 1)};
}

bool equal_in_constant_time(std::string_view given, std::string_view secret) noexcept {
  // Walks what was given, and over the secret again and again, so that neither its length nor where
  // the first difference is makes the walk longer or shorter.
  const std::string_view against = secret.empty() ? std::string_view("\0", 1) : secret;
  std::size_t difference = given.size() ^ secret.size();
  std::size_t at = 0;
  for (const char c : given) {
    difference |= static_cast<unsigned char>(c ^ against[at]);
    ++at;
    at &= std::size_t{0} - static_cast<std::size_t>(at != against.size());  // back to the start
  }
  // Without this the optimiser might leave early once it is clear that they differ.
  asm volatile("" : "+r"(difference));
  return difference == 0;
}

}  // namespace treadle::http
