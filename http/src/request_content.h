// What readers of a request's content (forms, queries, JSON) share: limits, how they refuse it, and
// what is answered then.
#pragma once

#include <expected>
#include <string_view>
#include <system_error>

#include <treadle/http/request.h>
#include <treadle/http/server.h>

namespace treadle::http::detail {

// The limits of the server that the request came to. They outlive the request.
const RequestLimits& limits_of(const Request& req) noexcept;

// The Content-Type among `headers`; empty when there is none, or more than one: then two readers
// could each take another.
std::string_view content_type_of(HeaderView headers) noexcept;

// Refuses what was read (RequestState::refuse), and tells the operator why in a debug line that
// names the peer and the request.
std::unexpected<std::error_code> refuse_content(const Request& req, std::error_code error,
                                                std::string_view why);

// The status to answer with where a body, or a reader of forms, queries or JSON, failed and the
// handler says nothing; 0 for no error.
int status_for_content_error(std::error_code e) noexcept;

}  // namespace treadle::http::detail
