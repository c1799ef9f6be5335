// The request line and its target (RFC 9112 3).
#pragma once

#include <cstddef>
#include <expected>
#include <string_view>

#include "parser.h"

namespace treadle::http {

// What a request-target says. Views into it, or static text.
struct Target {
  std::string_view path;       // still encoded; "/" for an empty one, "*" for the whole server
  std::string_view query;      // without '?'
  std::string_view authority;  // of an absolute-form target; empty for the other forms
};

// Reads origin-form, absolute-form (http and https) and, for OPTIONS, "*", which an absolute-form
// without path and query stands for too. Anything that RFC 3986
// does not let stand in a URI is refused: raw delimiters, bad escapes, fragments, non-ASCII bytes.
std::expected<Target, ParseError> parse_target(std::string_view method,
                                               std::string_view target) noexcept;

// uri-host [ ":" port ] (RFC 3986 3.2.2, RFC 9110 7.2), not empty. Stricter than the grammar in
// this: a port fits 16 bits, there is no IPvFuture, and no ',', which would let two hosts joined by
// an intermediary pass for one.
bool valid_authority(std::string_view authority) noexcept;

struct RequestLine {
  std::string_view method;  // static text
  std::string_view target;
  int minor_version = 1;
  Target parts;
};

// Reads a request line without its CRLF: exactly `method SP target SP HTTP/1.[01]`.
std::expected<RequestLine, ParseError> parse_request_line(std::string_view line) noexcept;

// Judges the beginning of a request line as soon as it can be judged, so that a peer that speaks
// something else altogether (TLS, HTTP/2, a binary protocol) is refused at its first bytes rather
// than waited for. Every verdict depends on the shortest prefix that allows it.
struct MethodVerdict {
  ParseStatus status = ParseStatus::need_more;  // complete: a known method and its space are there
  ParseError error;
};
MethodVerdict judge_method(std::string_view begin) noexcept;

}  // namespace treadle::http
