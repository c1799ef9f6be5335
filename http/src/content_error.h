// What to answer where a request's content could not be read and its handler says nothing.
#pragma once

#include <system_error>

namespace treadle::http::detail {

// The status for the failure of a body, or of a reader of forms, queries and JSON; 0 for none.
int status_for_content_error(std::error_code e) noexcept;

}  // namespace treadle::http::detail
