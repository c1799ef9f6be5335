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
  // What readers of queries, forms and JSON say. A handler that then writes nothing gets the status
  // answered for it, as with a body that could not be read.
  unsupported_media_type,  // Content-Type or an encoding is not what the handler reads: 415
  malformed_query,         // a bad escape: 400
  malformed_form,          // an urlencoded or multipart body breaks its format: 400
  form_too_large,          // more pairs or parts, or larger ones, than RequestLimits allow: 413
  malformed_json,          // not a JSON text (RFC 8259), or an object's name comes twice: 400
  json_too_deep,           // arrays and objects inside of each other beyond the limit: 400
  json_too_large,          // more values than the limit: 413
  storage_failed,          // a form's files could not be kept; the log says why: 500
  // What write_json() says.
  unprintable_json,  // a string that is not UTF-8, or arrays and objects nested too deep
};

// Never parks; any thread. The category outlives every static object.
const std::error_category& http_category() noexcept;

inline std::error_code make_error_code(Errc e) noexcept {
  return {static_cast<int>(e), http_category()};
}

}  // namespace treadle::http

template <>
struct std::is_error_code_enum<treadle::http::Errc> : std::true_type {};
