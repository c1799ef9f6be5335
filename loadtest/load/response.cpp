#include "response.h"

#include <string.h>
#include <strings.h>

#include <cstdlib>

namespace load {
namespace {

constexpr size_t kMaxHead = 16384;
constexpr char kLength[] = "content-length:";

// The value of Content-Length among the header lines, -1 where there is none.
std::int64_t content_length(const char* at, const char* end) {
  while (at < end) {
    const auto* line_end =
        static_cast<const char*>(memchr(at, '\n', static_cast<size_t>(end - at)));
    if (!line_end) return -1;
    if ((*at | 0x20) == 'c' && strncasecmp(at, kLength, sizeof kLength - 1) == 0)
      return std::strtoll(at + sizeof kLength - 1, nullptr, 10);
    at = line_end + 1;
  }
  return -1;
}

}  // namespace

void Response::reset() {
  left_ = 0;
  in_body_ = false;
  state_ = State::more;
  head_.clear();
}

Response::State Response::feed(const char* data, size_t size) {
  if (state_ == State::complete && size > 0) return bad("bytes after the response");
  if (in_body_) return body(static_cast<std::int64_t>(size));
  if (head_.empty()) return head(data, size);
  head_.append(data, size);
  const std::string whole = std::move(head_);
  head_.clear();
  return head(whole.data(), whole.size());
}

Response::State Response::head(const char* data, size_t size) {
  const auto* end = static_cast<const char*>(memmem(data, size, "\r\n\r\n", 4));
  if (!end) {
    if (size > kMaxHead) return bad("a response head of more than 16 KB");
    head_.assign(data, size);
    return State::more;
  }
  if (end - data < 12 || memcmp(data, "HTTP/1.1 200", 12) != 0)
    return bad("\"" + std::string(data, strcspn(data, "\r")) + "\" instead of 200");
  left_ = content_length(data, end + 2);
  if (left_ < 0) return bad("a response without Content-Length");
  if (expected_ >= 0 && left_ != expected_)
    return bad("a body of " + std::to_string(left_) + " bytes instead of " +
               std::to_string(expected_));
  in_body_ = true;
  return body(data + size - (end + 4));
}

Response::State Response::body(std::int64_t bytes) {
  left_ -= bytes;
  if (left_ < 0) return bad("more bytes than Content-Length says");
  return state_ = left_ == 0 ? State::complete : State::more;
}

Response::State Response::bad(std::string why) {
  error_ = std::move(why);
  return state_ = State::bad;
}

}  // namespace load
