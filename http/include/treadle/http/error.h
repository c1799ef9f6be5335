// What can go wrong in HTTP, beyond what treadle::Errc and the system name.
#pragma once

#include <system_error>
#include <type_traits>

namespace treadle::http {

enum class Errc {
  body_too_large = 1,  // more body than the server's limit, or than read_all() allowed
  malformed_body,      // its chunks or trailers break RFC 9112 7.1
  content_length,      // the handler wrote more than the Content-Length it declared
  head_sent,           // too late: status and header fields have left
  aborted,             // the response was given up: nothing more can be written
};

// Never parks; any thread. The category outlives every static object.
const std::error_category& http_category() noexcept;

inline std::error_code make_error_code(Errc e) noexcept {
  return {static_cast<int>(e), http_category()};
}

}  // namespace treadle::http

template <>
struct std::is_error_code_enum<treadle::http::Errc> : std::true_type {};
