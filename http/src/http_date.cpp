// HTTP dates, written and read. Calendar arithmetic is std::chrono's; no time zone, no locale.
#include "http_date.h"

#include <algorithm>
#include <chrono>
#include <cstddef>

#include "chars.h"

namespace treadle::http {
namespace {

using std::chrono::days;
using std::chrono::seconds;
using std::chrono::sys_days;
using std::chrono::year_month_day;

constexpr std::array<std::string_view, 7> kDays = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
constexpr std::array<std::string_view, 7> kLongDays = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                                       "Thursday", "Friday", "Saturday"};
constexpr std::array<std::string_view, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

constexpr std::int64_t to_seconds(int year, unsigned month, unsigned day) noexcept {
  const sys_days date = std::chrono::year(year) / std::chrono::month(month) / std::chrono::day(day);
  return std::chrono::duration_cast<seconds>(date.time_since_epoch()).count();
}

constexpr std::int64_t kFirst = to_seconds(0, 1, 1);
constexpr std::int64_t kLast = to_seconds(9999, 12, 31) + 86399;

int year_of(std::int64_t unix_seconds) noexcept {
  const auto date = std::chrono::floor<days>(std::chrono::sys_seconds(seconds(unix_seconds)));
  return static_cast<int>(year_month_day(date).year());
}

// Takes a date apart from left to right; after a mismatch every later step fails too.
class Cursor {
 public:
  explicit Cursor(std::string_view text) noexcept : rest_(text) {}

  void literal(std::string_view expected) noexcept {
    if (!rest_.starts_with(expected)) return fail();
    rest_.remove_prefix(expected.size());
  }

  // Exactly `width` digits.
  int number(std::size_t width) noexcept {
    if (rest_.size() < width) return fail(), 0;
    int value = 0;
    for (const char c : rest_.substr(0, width)) {
      if (!chars::is_digit(c)) return fail(), 0;
      value = value * 10 + (c - '0');
    }
    rest_.remove_prefix(width);
    return value;
  }

  // asctime's day: two digits, or a space and one.
  int padded_day() noexcept {
    if (!rest_.starts_with(' ')) return number(2);
    rest_.remove_prefix(1);
    return number(1);
  }

  // Which of `names` comes next, from 0 on.
  int name(const auto& names) noexcept {
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (rest_.starts_with(names[i])) {
        rest_.remove_prefix(names[i].size());
        return static_cast<int>(i);
      }
    }
    return fail(), 0;
  }

  bool complete() const noexcept { return good_ && rest_.empty(); }

 private:
  void fail() noexcept {
    good_ = false;
    rest_ = {};
  }

  std::string_view rest_;
  bool good_ = true;
};

struct Fields {
  int year = 0;
  int month = 0;  // 0 to 11
  int day = 0;
  int hour = 0;
  int minute = 0;
  int second = 0;
};

void read_time(Cursor& in, Fields& f) noexcept {
  f.hour = in.number(2);
  in.literal(":");
  f.minute = in.number(2);
  in.literal(":");
  f.second = in.number(2);
}

std::optional<std::int64_t> to_time(const Fields& f) noexcept {
  const year_month_day date(std::chrono::year(f.year),
                            std::chrono::month(static_cast<unsigned>(f.month + 1)),
                            std::chrono::day(static_cast<unsigned>(f.day)));
  if (!date.ok() || f.hour > 23 || f.minute > 59 || f.second > 60) return std::nullopt;
  const auto day = std::chrono::duration_cast<seconds>(sys_days(date).time_since_epoch());
  return day.count() + f.hour * 3600 + f.minute * 60 + f.second;
}

std::optional<std::int64_t> parse_fixdate(std::string_view text) noexcept {
  Cursor in(text);
  Fields f;
  in.name(kDays);
  in.literal(", ");
  f.day = in.number(2);
  in.literal(" ");
  f.month = in.name(kMonths);
  in.literal(" ");
  f.year = in.number(4);
  in.literal(" ");
  read_time(in, f);
  in.literal(" GMT");
  return in.complete() ? to_time(f) : std::nullopt;
}

std::optional<std::int64_t> parse_rfc850(std::string_view text, std::int64_t now) noexcept {
  Cursor in(text);
  Fields f;
  in.name(kLongDays);
  in.literal(", ");
  f.day = in.number(2);
  in.literal("-");
  f.month = in.name(kMonths);
  in.literal("-");
  const int two_digits = in.number(2);
  in.literal(" ");
  read_time(in, f);
  in.literal(" GMT");
  if (!in.complete()) return std::nullopt;
  now = std::clamp(now, kFirst, kLast);
  // The latest year with these digits that is not more than 50 years ahead.
  const int limit = std::min(year_of(now) + 50, 9999);
  f.year = limit - (limit - two_digits) % 100;
  const auto time = to_time(f);
  // In that very year the rest of the date decides; a year that lacks the day (29 February) tells
  // nothing, and neither does the century before then.
  if (f.year != limit || f.year < 100 || !time) return time;
  const auto limit_day = Fields{.year = limit, .month = 0, .day = 1};
  const auto now_into_year = now - *to_time(Fields{.year = year_of(now), .month = 0, .day = 1});
  if (*time - *to_time(limit_day) <= now_into_year) return time;
  f.year -= 100;
  return to_time(f);
}

std::optional<std::int64_t> parse_asctime(std::string_view text) noexcept {
  Cursor in(text);
  Fields f;
  in.name(kDays);
  in.literal(" ");
  f.month = in.name(kMonths);
  in.literal(" ");
  f.day = in.padded_day();
  in.literal(" ");
  read_time(in, f);
  in.literal(" ");
  f.year = in.number(4);
  return in.complete() ? to_time(f) : std::nullopt;
}

}  // namespace

HttpDate::HttpDate(std::int64_t unix_seconds) noexcept {
  const std::chrono::sys_seconds time(seconds(std::clamp(unix_seconds, kFirst, kLast)));
  const auto day = std::chrono::floor<days>(time);
  const year_month_day date(day);
  const auto clock = static_cast<int>((time - day).count());

  std::size_t at = 0;
  const auto put = [&](std::string_view text) {
    std::copy(text.begin(), text.end(), text_.begin() + static_cast<std::ptrdiff_t>(at));
    at += text.size();
  };
  const auto put_number = [&](int value, std::size_t width) {
    for (std::size_t i = width; i-- > 0; value /= 10) {
      text_[at + i] = static_cast<char>('0' + value % 10);
    }
    at += width;
  };
  put(kDays[std::chrono::weekday(day).c_encoding()]);
  put(", ");
  put_number(static_cast<int>(static_cast<unsigned>(date.day())), 2);
  put(" ");
  put(kMonths[static_cast<unsigned>(date.month()) - 1]);
  put(" ");
  put_number(static_cast<int>(date.year()), 4);
  put(" ");
  put_number(clock / 3600, 2);
  put(":");
  put_number(clock / 60 % 60, 2);
  put(":");
  put_number(clock % 60, 2);
  put(" GMT");
}

std::optional<std::int64_t> parse_http_date(std::string_view text, std::int64_t now) noexcept {
  // The fourth byte tells the forms apart: "Sun, ", "Sun Nov", "Sunday, ".
  if (text.size() < 4) return std::nullopt;
  if (text[3] == ',') return parse_fixdate(text);
  if (text[3] == ' ') return parse_asctime(text);
  return parse_rfc850(text, now);
}

}  // namespace treadle::http
