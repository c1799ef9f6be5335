// Runs a RequestParser over a stream cut into pieces, as a connection would, and writes down all
// that it says, so that two ways of cutting can be compared.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "parser.h"

namespace treadle::test {

// Feeds one connection's bytes to a parser. Every call sees the bytes in fresh memory of exactly
// their size, so that a view kept too long, or a read beyond the end, is caught by ASan.
class StreamParser {
 public:
  explicit StreamParser(const http::ParserLimits& limits = {}) : limits_(limits) {}

  // More bytes have arrived. Does nothing after an error.
  void feed(std::string_view piece) {
    unread_ += piece;
    while (!failed_ && step()) {
    }
  }

  // One line per request: what it is, its fields in brackets, then its body.
  const std::string& transcript() const { return transcript_; }
  bool failed() const { return failed_; }
  // Of the refusal; 0 without one.
  int status() const { return error_.status_or_zero; }
  std::string reason() const { return error_.reason; }
  std::size_t requests() const { return requests_; }
  // Bytes that wait for more to come.
  std::size_t unread() const { return unread_.size(); }

 private:
  struct Error {
    int status_or_zero = 0;
    std::string reason;
  };

  // Takes one step; false when it needs more bytes.
  bool step() {
    const std::unique_ptr<char[]> copy(new char[unread_.size()]);
    unread_.copy(copy.get(), unread_.size());
    const std::string_view bytes(copy.get(), unread_.size());
    return in_body_ ? step_body(bytes) : step_head(bytes);
  }

  bool step_head(std::string_view bytes) {
    const auto result = parser_->parse_head(bytes, limits_, head_);
    if (result.status == http::ParseStatus::error) return fail(result.error);
    if (result.status == http::ParseStatus::complete) {
      ++requests_;
      write_head();
      in_body_ = head_.body != http::BodyKind::none;
      if (!in_body_) transcript_ += "\n";
    }
    unread_.erase(0, result.consumed);
    return result.status == http::ParseStatus::complete;
  }

  bool step_body(std::string_view bytes) {
    const auto result = parser_->parse_body(bytes, limits_);
    if (result.status == http::ParseStatus::error) return fail(result.error);
    transcript_ += result.data;
    unread_.erase(0, result.consumed);
    if (result.status == http::ParseStatus::complete) {
      in_body_ = false;
      for (const auto& [name, value] : parser_->trailers()) write_field(name, value);
      transcript_ += "\n";
      return true;
    }
    return result.consumed > 0 && !unread_.empty();
  }

  bool fail(const http::ParseError& error) {
    failed_ = true;
    error_ = {error.status, error.reason};
    transcript_ += "!" + std::to_string(error.status) + " " + error.reason;
    return false;
  }

  void write_head() {
    const http::RequestHead& h = head_;
    transcript_.append(h.method).append(" ").append(h.target);
    transcript_.append(" path=").append(h.path).append(" query=").append(h.query);
    transcript_.append(" host=").append(h.host);
    transcript_ += " HTTP/1." + std::to_string(h.minor_version);
    transcript_ += h.keep_alive ? " keep" : " close";
    if (h.expect_continue) transcript_ += " expects";
    if (h.body == http::BodyKind::length) {
      transcript_ += " length=" + std::to_string(h.content_length);
    }
    if (h.body == http::BodyKind::chunked) transcript_ += " chunked";
    for (const auto& [name, value] : h.headers) write_field(name, value);
    transcript_ += " : ";
  }

  void write_field(std::string_view name, std::string_view value) {
    transcript_.append(" [").append(name).append("=").append(value).append("]");
  }

  http::ParserLimits limits_;
  std::unique_ptr<http::RequestParser> parser_ = std::make_unique<http::RequestParser>();
  http::RequestHead head_;
  std::string unread_;
  std::string transcript_;
  Error error_;
  std::size_t requests_ = 0;
  bool in_body_ = false;
  bool failed_ = false;
};

inline std::string transcript_of_pieces(const std::vector<std::string_view>& pieces,
                                        const http::ParserLimits& limits = {}) {
  StreamParser parser(limits);
  for (const std::string_view piece : pieces) parser.feed(piece);
  return parser.transcript();
}

inline std::string transcript_byte_by_byte(std::string_view stream,
                                           const http::ParserLimits& limits = {}) {
  StreamParser parser(limits);
  for (std::size_t i = 0; i < stream.size(); ++i) parser.feed(stream.substr(i, 1));
  return parser.transcript();
}

}  // namespace treadle::test
