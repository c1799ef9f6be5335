// HTTP dates (RFC 9110 5.6.7). Seconds are since 1970-01-01 00:00:00 UTC, without leap seconds.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace treadle::http {

// An IMF-fixdate, "Sun, 06 Nov 1994 08:49:37 GMT", without allocation. Years outside 0000 to 9999
// are brought to the nearer end.
class HttpDate {
 public:
  explicit HttpDate(std::int64_t unix_seconds) noexcept;
  std::string_view view() const noexcept { return {text_.data(), text_.size()}; }

 private:
  std::array<char, 29> text_;
};

// Reads the three forms a recipient must know: IMF-fixdate, RFC 850 and asctime. `now` decides the
// century of RFC 850's two digits: a date more than 50 years ahead is in the past. Nothing for any
// other text, a day that the month lacks, or an hour past 23; a leap second is the next second.
std::optional<std::int64_t> parse_http_date(std::string_view text, std::int64_t now) noexcept;

}  // namespace treadle::http
