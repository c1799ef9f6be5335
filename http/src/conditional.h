// Conditional requests (RFC 9110 13). Pure: the caller says what the representation is like now.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include <treadle/http/header.h>

namespace treadle::http {

// The validators of the representation that would be sent.
struct Validators {
  bool exists = true;       // what "*" asks about
  std::string_view etag{};  // with its quotes, W/ first if weak; empty: has none
  std::optional<std::int64_t> last_modified{};  // seconds since 1970
};

enum class Precondition : std::uint8_t {
  proceed,
  not_modified,  // answer 304
  failed,        // answer 412
};

// Evaluates If-Match, If-Unmodified-Since, If-None-Match and If-Modified-Since in the order of RFC
// 9110 13.2.2. Dates that cannot be read, or come twice, are ignored. `now`, in seconds since 1970,
// only reads two-digit years.
Precondition evaluate_preconditions(std::string_view method, const HeaderView& headers,
                                    const Validators& current, std::int64_t now) noexcept;

// True when a Range may be honoured: there is no If-Range, or it names exactly the current strong
// etag or the current Last-Modified (RFC 9110 13.1.5). The date counts only once it is 2 s old: it
// is a weak validator until then.
bool if_range_holds(const HeaderView& headers, const Validators& current,
                    std::int64_t now) noexcept;

// Comparison of entity tags (RFC 9110 8.8.3.2). Malformed tags equal nothing.
bool etag_strong_equal(std::string_view a, std::string_view b) noexcept;
bool etag_weak_equal(std::string_view a, std::string_view b) noexcept;

}  // namespace treadle::http
