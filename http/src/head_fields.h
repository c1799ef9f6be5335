// What a request's header fields mean to the server itself: host, framing, connection, expectation.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "parser.h"

namespace treadle::http {

// Fills in what the fields of `head` say: host (unless an absolute-form target set it), body,
// content_length, keep_alive, expect_continue. Refuses every framing that two parties could read in
// different ways (RFC 9112 6), and bad, missing and repeated Hosts (3.2).
std::optional<ParseError> interpret_fields(RequestHead& head) noexcept;

// Refuses trailer fields that would frame, route or authenticate the message, or say how to read
// its content, after the fact (RFC 9110 6.5.1).
std::optional<ParseError> check_trailers(const std::vector<HeaderField>& trailers) noexcept;

}  // namespace treadle::http
