// JSON bodies, both ways, by nlohmann::json. This header alone includes it.
//
//   router.handle("POST /notes", [](http::Response& res, const http::Request& req) {
//     auto note = http::read_json(req);
//     if (!note) return;  // 400, 413 or 415 is answered for us
//     http::write_json(res.status(201), {{"id", 7}, {"text", note->value("text", "")}});
//   });
#pragma once

#include <nlohmann/json.hpp>

#include <cstddef>
#include <expected>
#include <string>
#include <string_view>
#include <system_error>

#include <treadle/result.h>

namespace treadle::http {

class Request;
class Response;

struct JsonOptions {
  // Arrays and objects inside of each other; json_too_deep beyond. 0 lets only a number, a string,
  // true, false or null through. More than 200 panics: dump() and comparisons of nlohmann::json
  // recurse, and a goroutine's stack is small.
  std::size_t depth = 100;
  // Values in all, each of them some 16 to 100 bytes of memory for two of text; json_too_large
  // beyond.
  std::size_t values = 100'000;
  // Bytes of text, besides what RequestLimits::body allows; body_too_large beyond.
  std::size_t size = ~std::size_t{0};
};

// Why a text is no JSON that we take.
struct JsonError {
  std::error_code code;      // malformed_json, json_too_deep or json_too_large
  std::size_t position = 0;  // bytes up to and with the one that shows it
  const char* reason = "";   // for the operator, without a byte of the text
};

// Parses one JSON text (RFC 8259). Besides its grammar it wants valid UTF-8, no NUL, nothing but
// white space behind the value, numbers that a double or a 64-bit integer holds, and names that
// come once in their object: RFC 8259 leaves it open which of two counts, so whoever looked at the
// text before us may have seen the other. A byte order mark at the front is passed over. Depth and
// number of values are checked while it is parsed, on the heap and not by recursion. Never parks;
// any thread. `options.size` is not looked at.
std::expected<nlohmann::json, JsonError> parse_json(std::string_view text,
                                                    const JsonOptions& options = {});

// Reads the request's body as JSON; its Content-Type must be application/json or end in +json.
// Parks the calling G, and obeys deadlines, as Body::read() does.
// Errors: those of Body::read(), unsupported_media_type, and parse_json()'s. Where in the text it
// was stands in the log, at level debug. A handler that then writes nothing gets 400, 408, 413 or
// 415 answered for it.
Result<nlohmann::json> read_json(const Request& req, const JsonOptions& options = {});

// Appends `value` to the response's body, as text without white space. Unless the head has left or
// the handler has set one, Content-Type becomes application/json. Infinities and NaN become null.
// May park.
// Errors: those of Response::write(); unprintable_json for a string or name that is not UTF-8, or
// arrays and objects more than 200 deep. The latter writes a line to the log and, unless the head
// has left, answers 500 in place of what was set and written before.
Result<void> write_json(Response& res, const nlohmann::json& value);

}  // namespace treadle::http
