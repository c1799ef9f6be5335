#include "date_cache.h"

#include <time.h>

#include <string>

#include "http_date.h"

namespace treadle::http::detail {
namespace {

constexpr std::size_t kDateSize = 29;

CachedText format_date(std::int64_t second) noexcept {
  CachedText text{};
  const HttpDate date(second);
  date.view().copy(text.data(), kDateSize);
  return text;
}

// Rearranges "Sun, 06 Nov 1994 08:49:37 GMT" into "06/Nov/1994:08:49:37 +0000".
CachedText format_log_time(std::int64_t second) noexcept {
  CachedText text{};
  const HttpDate date(second);
  const std::string_view d = date.view();
  char* to = text.data();
  d.copy(to, 2, 5);
  to[2] = '/';
  d.copy(to + 3, 3, 8);
  to[6] = '/';
  d.copy(to + 7, 4, 12);
  to[11] = ':';
  d.copy(to + 12, 8, 17);
  std::string_view(" +0000").copy(to + 20, 6);
  return text;
}

constinit SecondCache<format_date> date_cache;
constinit SecondCache<format_log_time> log_time_cache;

}  // namespace

std::int64_t wall_seconds() noexcept {
  timespec now{};
  clock_gettime(CLOCK_REALTIME_COARSE, &now);
  return now.tv_sec;
}

void put_date_field(TextRoom& to, std::int64_t second) noexcept {
  const CachedText text = date_cache.get(second);
  to.put("Date: ").put(std::string_view(text.data(), kDateSize)).put("\r\n");
}

void append_date_field(std::string& out) {
  append_text(out, kDateField, [](TextRoom& to) { put_date_field(to, wall_seconds()); });
}

CachedText log_time() noexcept { return log_time_cache.get(wall_seconds()); }

}  // namespace treadle::http::detail
