// Request ids: which are believed, and new ones.
#pragma once

#include <string>
#include <string_view>

namespace treadle::http::detail {

// 1 to 128 of A-Z a-z 0-9 . _ -: safe in headers, logs and file names.
bool is_request_id(std::string_view text) noexcept;

// Writes a new one to `out`, in place of what it holds: 16 hex digits for the process, chosen at
// random, and 16 that differ from one to the next. No system call but for the first. Any thread.
void make_request_id(std::string& out);

}  // namespace treadle::http::detail
