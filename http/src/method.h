// The request methods the server knows: those llhttp does, without CONNECT, which only proxies
// take.
#pragma once

#include <cstddef>
#include <string_view>

namespace treadle::http {

// No known method is longer.
inline constexpr std::size_t kLongestMethod = 11;

// The known method spelled exactly like `text` (methods are case-sensitive, RFC 9110 9.1), as
// static text; empty when there is none.
std::string_view known_method(std::string_view text) noexcept;

}  // namespace treadle::http
