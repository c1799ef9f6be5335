// Media types by file name.
#pragma once

#include <string_view>

namespace treadle::http {

// The Content-Type for a file called `name` (a path is fine), by its extension, case ignored; text
// types carry "; charset=utf-8". "application/octet-stream" for what is not known. Static text.
std::string_view mime_type(std::string_view name) noexcept;

}  // namespace treadle::http
