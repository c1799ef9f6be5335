// HTTP dates beside the C library's calendar: what is written is read, in all three forms, and what
// is read is a date of one of them.
//
// Input: eight bytes of a time, four of the time now, then a text.
#include <time.h>

#include <array>
#include <string>
#include <string_view>

#include "fuzz.h"
#include "http_date.h"

using namespace treadle;
using namespace treadle::http;

namespace {

constexpr std::int64_t kFirst = -62167219200;  // 0000-01-01 00:00:00
constexpr std::int64_t kLast = 253402300799;   // 9999-12-31 23:59:59

tm calendar(std::int64_t time) {
  tm out{};
  const time_t t = time;
  gmtime_r(&t, &out);
  return out;
}

// strftime in the C locale, whose names are those of RFC 9110.
std::string format(const tm& when, const char* form) {
  std::array<char, 64> text{};
  return {text.data(), strftime(text.data(), text.size(), form, &when)};
}

std::string year_digits(const tm& when) {
  std::string digits = std::to_string(when.tm_year + 1900);
  return std::string(4 - digits.size(), '0') + digits;
}

void check_time(std::int64_t time, std::int64_t now) {
  const HttpDate written(time);
  const std::int64_t held = time < kFirst ? kFirst : time > kLast ? kLast : time;
  const tm when = calendar(held);
  const std::string year = year_digits(when);
  FUZZ_CHECK(written.view() ==
             format(when, "%a, %d %b ") + year + format(when, " %H:%M:%S") + " GMT");
  FUZZ_CHECK(parse_http_date(written.view(), now) == held);
  FUZZ_CHECK(parse_http_date(format(when, "%a %b %e %H:%M:%S ") + year, now) == held);

  // Two digits of a year mean the nearest that is not more than 50 years ahead.
  const auto rfc850 = parse_http_date(
      format(when, "%A, %d-%b-") + year.substr(2) + format(when, " %H:%M:%S GMT"), now);
  if (!rfc850) {
    FUZZ_CHECK(when.tm_mon == 1 && when.tm_mday == 29);
    return;
  }
  const tm got = calendar(*rfc850);
  FUZZ_CHECK((got.tm_year + 1900) % 100 == (when.tm_year + 1900) % 100);
  FUZZ_CHECK(got.tm_mon == when.tm_mon && got.tm_mday == when.tm_mday);
  FUZZ_CHECK(got.tm_hour == when.tm_hour && got.tm_sec == when.tm_sec);
  const std::int64_t years = got.tm_year - calendar(now).tm_year;
  FUZZ_CHECK(years <= 50 && years >= -100);
}

void check_text(std::string_view text, std::int64_t now) {
  const auto time = parse_http_date(text, now);
  if (!time) return;
  FUZZ_CHECK(*time >= kFirst && *time <= kLast + 1);
  // Written back in its form, it is the text, but for a wrong weekday and a leap second.
  const tm when = calendar(*time);
  const bool leap = text.find(":60") != std::string_view::npos;
  const auto ends_alike = [&](std::string_view written, std::size_t weekday) {
    return leap || written.substr(written.find_first_of(", ")) == text.substr(weekday);
  };
  const std::size_t weekday = text.find_first_of(", ");
  FUZZ_CHECK(weekday != std::string_view::npos);
  if (text[3] == ',') {
    FUZZ_CHECK(text.size() == 29 && ends_alike(HttpDate(*time).view(), weekday));
  } else if (text[3] == ' ') {
    FUZZ_CHECK(text.size() == 24);
    // A day below ten may also be written with a zero.
    std::string day = std::string(text);
    if (day[8] == '0') day[8] = ' ';
    FUZZ_CHECK(leap || format(when, "%b %e %H:%M:%S ") + year_digits(when) == day.substr(4));
  } else {
    FUZZ_CHECK(ends_alike(
        format(when, ", %d-%b-") + year_digits(when).substr(2) + format(when, " %H:%M:%S GMT"),
        weekday));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  // Most numbers of 64 bits are no year that anybody writes.
  const std::uint64_t number = input.number();
  const std::int64_t span = kLast - kFirst + 1;
  const auto any = static_cast<std::int64_t>(number);
  const std::int64_t time = number % 8 == 0 ? any : kFirst + (any >> 1 & 0x3fffffffffff) % span;
  std::int64_t now = 0;
  for (int i = 0; i < 4; ++i) now = now << 8 | input.byte();
  check_time(time, now);
  check_text(input.rest(), now);
  return 0;
}
