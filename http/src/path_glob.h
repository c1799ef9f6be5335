// Patterns for paths. Pure functions.
#pragma once

#include <string_view>

namespace treadle::http {

// Whether `path` (decoded, without a leading slash) fits `pattern`:
//
//   *   any run of bytes within a segment      ?    one byte other than '/'
//   **  any run of bytes, slashes too          all other bytes stand for themselves
//
// A pattern without a slash is matched against the last segment alone ("*.css"), others against the
// whole path ("/assets/**"; the leading slash may be left out). Case counts. Takes time in
// proportion to the product of both lengths at most.
bool glob_matches(std::string_view pattern, std::string_view path);

}  // namespace treadle::http
