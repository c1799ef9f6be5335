// Comma-separated lists in field values (RFC 9110 5.6.1).
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace treadle::http {

// Without spaces and tabs at both ends.
constexpr std::string_view trim_ows(std::string_view text) noexcept {
  constexpr std::string_view kOws = " \t";
  const std::size_t first = text.find_first_not_of(kOws);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kOws) - first + 1);
}

// Walks the members of one list, trimmed; empty ones are passed over. Knows no quoted strings: for
// lists of tokens.
class FieldList {
 public:
  constexpr explicit FieldList(std::string_view value) noexcept : rest_(value) {}

  constexpr std::optional<std::string_view> next() noexcept {
    while (!rest_.empty()) {
      const std::size_t comma = rest_.find(',');
      const std::string_view member = trim_ows(rest_.substr(0, comma));
      rest_ = comma == std::string_view::npos ? std::string_view{} : rest_.substr(comma + 1);
      if (!member.empty()) return member;
    }
    return std::nullopt;
  }

 private:
  std::string_view rest_;
};

}  // namespace treadle::http
