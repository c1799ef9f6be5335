// Host, Content-Length, Transfer-Encoding, Connection and Expect.
#include "head_fields.h"

#include <algorithm>
#include <cstdint>
#include <limits>

#include "chars.h"
#include "field_list.h"
#include "target.h"

namespace treadle::http {
namespace {

using Refusal = std::optional<ParseError>;

Refusal refuse(const char* reason, int status = 400) noexcept { return ParseError{status, reason}; }

// 1*DIGIT and nothing else: no sign, no list, no white space inside, no overflow of what a file
// offset can count.
std::optional<std::uint64_t> parse_content_length(std::string_view text) noexcept {
  constexpr std::uint64_t kMax = std::numeric_limits<std::int64_t>::max();
  if (text.empty()) return std::nullopt;
  std::uint64_t value = 0;
  for (const char c : text) {
    if (!chars::is_digit(c)) return std::nullopt;
    const auto digit = static_cast<std::uint64_t>(c - '0');
    if (value > (kMax - digit) / 10) return std::nullopt;
    value = value * 10 + digit;
  }
  return value;
}

// Reads one head's fields; each function takes one field.
class Reader {
 public:
  explicit Reader(RequestHead& head) noexcept : head_(head) {}

  Refusal field(std::string_view name, std::string_view value) noexcept {
    // By length first: few names have the length of one we look for.
    switch (name.size()) {
      case 4: return equal_ignore_case(name, "Host") ? host(value) : std::nullopt;
      case 6: return equal_ignore_case(name, "Expect") ? expect(value) : std::nullopt;
      case 10:
        if (equal_ignore_case(name, "Connection")) connection(value);
        return std::nullopt;
      case 14:
        return equal_ignore_case(name, "Content-Length") ? content_length(value) : std::nullopt;
      case 17:
        return equal_ignore_case(name, "Transfer-Encoding") ? transfer_encoding(value)
                                                            : std::nullopt;
      default: return std::nullopt;
    }
  }

  Refusal finish() noexcept {
    const bool http10 = head_.minor_version == 0;
    if (!has_host_ && !http10) return refuse("no Host");
    if (has_encoding_ && has_length_) return refuse("Content-Length and Transfer-Encoding");
    // An HTTP/1.0 peer knows no chunks: whatever sits between us and it may see a body elsewhere.
    if (has_encoding_ && http10) return refuse("Transfer-Encoding in HTTP/1.0");

    if (has_encoding_) {
      head_.body = BodyKind::chunked;
    } else if (head_.content_length > 0) {
      head_.body = BodyKind::length;
    }
    head_.keep_alive = !close_ && (!http10 || keep_alive_);
    // Without a body there is nothing to continue with, and HTTP/1.0 knows no 100 (RFC
    // 9110 10.1.1).
    head_.expect_continue = expects_ && !http10 && head_.body != BodyKind::none;
    return std::nullopt;
  }

 private:
  Refusal host(std::string_view value) noexcept {
    if (has_host_) return refuse("more than one Host");
    has_host_ = true;
    // An empty host is no http URI (RFC 9110 4.2.1), so this is never what the client meant.
    if (!valid_authority(value)) return refuse("bad Host");
    if (head_.host.empty()) head_.host = value;
    return std::nullopt;
  }

  Refusal content_length(std::string_view value) noexcept {
    if (has_length_) return refuse("more than one Content-Length");
    has_length_ = true;
    const auto length = parse_content_length(value);
    if (!length) return refuse("bad Content-Length");
    head_.content_length = *length;
    return std::nullopt;
  }

  Refusal transfer_encoding(std::string_view value) noexcept {
    if (has_encoding_) return refuse("more than one Transfer-Encoding");
    has_encoding_ = true;
    if (equal_ignore_case(value, "chunked")) return std::nullopt;
    return refuse("unsupported Transfer-Encoding", stacked_codings(value) ? 501 : 400);
  }

  // Whether it is a coding we lack with chunked around it: well-formed, so not a 400 (RFC
  // 9112 6.1).
  static bool stacked_codings(std::string_view value) noexcept {
    FieldList list(value);
    bool chunked = false;
    while (const auto coding = list.next()) {
      if (chunked || !is_token(*coding) || equal_ignore_case(*coding, "identity")) return false;
      chunked = equal_ignore_case(*coding, "chunked");
    }
    return chunked && !value.starts_with(',') && !value.ends_with(',');
  }

  void connection(std::string_view value) noexcept {
    FieldList list(value);
    while (const auto option = list.next()) {
      if (equal_ignore_case(*option, "close")) close_ = true;
      if (equal_ignore_case(*option, "keep-alive")) keep_alive_ = true;
    }
  }

  Refusal expect(std::string_view value) noexcept {
    FieldList list(value);
    while (const auto expectation = list.next()) {
      if (!equal_ignore_case(*expectation, "100-continue")) return refuse("unknown Expect", 417);
      expects_ = true;
    }
    return std::nullopt;
  }

  RequestHead& head_;
  bool has_host_ = false;
  bool has_length_ = false;
  bool has_encoding_ = false;
  bool close_ = false;
  bool keep_alive_ = false;
  bool expects_ = false;
};

}  // namespace

std::optional<ParseError> interpret_fields(RequestHead& head) noexcept {
  Reader reader(head);
  for (const HeaderField& field : head.headers) {
    if (auto refusal = reader.field(field.name, field.value)) return refusal;
  }
  return reader.finish();
}

std::optional<ParseError> check_trailers(const std::vector<HeaderField>& trailers) noexcept {
  static constexpr std::string_view kRefused[] = {
      "Authorization",
      "Connection",
      "Content-Encoding",
      "Content-Length",
      "Content-Range",
      "Content-Type",
      "Cookie",
      "Expect",
      "Forwarded",
      "Host",
      "Keep-Alive",
      "Max-Forwards",
      "Proxy-Connection",
      "Range",
      "Set-Cookie",
      "TE",
      "Trailer",
      "Proxy-Authorization",
      "Transfer-Encoding",
      "Upgrade",
      "X-Forwarded-For",
      "X-Forwarded-Host",
      "X-Forwarded-Proto",
  };
  for (const HeaderField& field : trailers) {
    const bool refused =
        std::any_of(std::begin(kRefused), std::end(kRefused),
                    [&](std::string_view name) { return equal_ignore_case(name, field.name); });
    if (refused) return refuse("trailer field that must stand in the head");
  }
  return std::nullopt;
}

}  // namespace treadle::http
