// What the lines of the access log are made of: text from clients made harmless, numbers,
// addresses.
#pragma once

#include <fmt/format.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include <treadle/net/addr.h>
#include <treadle/timer.h>

namespace treadle::http::detail {

// Of each field this many bytes are shown at most.
inline constexpr std::size_t kLoggedField = 2048;

// As long as nearly all lines, so that they need no memory but the stack's.
using LogLine = fmt::basic_memory_buffer<char, 2048>;

inline void append(LogLine& out, std::string_view text) {
  out.append(text.data(), text.data() + text.size());
}
template <class Number>
void append_number(LogLine& out, Number n) {
  const fmt::format_int digits(n);
  out.append(digits.data(), digits.data() + digits.size());
}
// With six decimals: "0.000123". Never negative.
void append_seconds(LogLine& out, Duration d);

// Appends `text`, cut after `most` bytes of it, with quotes, backslashes, control characters and
// all beyond ASCII as \xHH; append_word() does so with spaces, too. "-" when it is empty. What a
// client sends can neither forge lines nor drive a terminal.
void append_escaped(LogLine& out, std::string_view text, std::size_t most = kLoggedField);
void append_word(LogLine& out, std::string_view text, std::size_t most = kLoggedField);

// Appends `text` as the inside of a JSON string (RFC 8259 7), cut likewise but not within a
// character. What is not UTF-8 becomes U+FFFD, what is not ASCII an escape by \u: no terminal is
// driven by it either.
void append_json_escaped(LogLine& out, std::string_view text, std::size_t most = kLoggedField);

// The address as SocketAddress::host() and to_string() have it, without making a string. A Unix
// address is "unix:" and its path, escaped as a word.
void append_host(LogLine& out, const net::SocketAddress& address);
void append_address(LogLine& out, const net::SocketAddress& address);

// A URL in the two pieces that are left of it without the user and password which some clients put
// before its host. Of what it is unsure it cuts more rather than less.
std::array<std::string_view, 2> without_userinfo(std::string_view url) noexcept;

}  // namespace treadle::http::detail
