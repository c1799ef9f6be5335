#include "request_content.h"

#include <treadle/http/error.h>
#include <treadle/http/status.h>
#include <treadle/log.h>

#include "request_state.h"

namespace treadle::http::detail {

const RequestLimits& limits_of(const Request& req) noexcept {
  static constexpr RequestLimits kDefaults{};
  const RequestLimits* own = req.state().limits;
  return own != nullptr ? *own : kDefaults;
}

std::string_view content_type_of(HeaderView headers) noexcept {
  return headers.count("Content-Type") == 1 ? headers.get("Content-Type") : std::string_view();
}

std::unexpected<std::error_code> refuse_content(const Request& req, std::error_code error,
                                                std::string_view why) {
  if (log::enabled(log::Level::debug))
    log::debug("http: {} {} {}: refused: {}: {}", req.remote_address().to_string(), req.method(),
               req.target().substr(0, kLoggedTarget), error.message(), why);
  return req.state().refuse(error);
}

int status_for_content_error(std::error_code e) noexcept {
  if (!e) return 0;
  if (e == treadle::Errc::timed_out) return status::kRequestTimeout;
  // Malformed, or ended early. A client that is gone hears nothing anyway.
  if (e.category() != http_category()) return status::kBadRequest;
  switch (static_cast<Errc>(e.value())) {
    case Errc::body_too_large:
    case Errc::form_too_large:
    case Errc::json_too_large: return status::kContentTooLarge;
    case Errc::unsupported_media_type: return status::kUnsupportedMediaType;
    case Errc::storage_failed: return status::kInternalServerError;
    default: return status::kBadRequest;
  }
}

}  // namespace treadle::http::detail
