#include "content_error.h"

#include <treadle/http/error.h>
#include <treadle/http/status.h>
#include <treadle/result.h>

namespace treadle::http::detail {

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
