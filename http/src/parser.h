// The request parser: llhttp, and on top of it every refusal that RFC 9112 asks for and llhttp
// leaves out. Pure functions over bytes: no I/O, no clock, no allocation once warm.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include <treadle/http/header.h>

namespace treadle::http {

struct ParserLimits {
  std::size_t request_line = 8 * 1024;  // bytes, without its CRLF: 414 beyond
  std::size_t head = 32 * 1024;         // bytes, request line included: 431 beyond
  std::size_t headers = 100;            // fields: 431 beyond
  std::size_t chunk_extension = 256;    // bytes of one chunk's extensions: 400 beyond
  std::size_t trailers = 8 * 1024;      // bytes of the trailer section: 431 beyond
  bool operator==(const ParserLimits&) const = default;
};

enum class BodyKind : std::uint8_t { none, length, chunked };

// A request's head. Views point into the bytes given to parse_head(), or, where `memo` is not 0,
// into the parser's copy of them, which stays until a parse_head() that does not recall it.
struct RequestHead {
  std::string_view method;  // a known method's name
  std::string_view target;  // as it stands in the request line
  std::string_view
      path;  // origin-form path, still encoded; "/" for an empty one; "*" for OPTIONS to the server
  std::string_view query;  // without '?', still encoded
  std::string_view host;   // authority in force (Host, or that of an absolute-form target)
  int minor_version = 1;   // HTTP/1.0 or 1.1
  std::vector<HeaderField> headers;
  BodyKind body = BodyKind::none;    // none for `Content-Length: 0` as well
  std::uint64_t content_length = 0;  // for BodyKind::length
  bool keep_alive = true;            // what the request asks for
  bool expect_continue = false;
  // Not 0: this is the head that some parser remembers under that number, which no other head ever
  // has. Whoever finds the number again finds the same head, at the same place.
  std::uint64_t memo = 0;

  void clear() noexcept;  // keeps the memory of `headers`
  // For who changes them: from then on it is not the remembered head any more.
  std::vector<HeaderField>& edit_headers() noexcept {
    memo = 0;
    return headers;
  }
};

// Why a request was refused: the status to answer with, and a short reason for it and the log.
struct ParseError {
  int status = 400;
  const char* reason = "";
};

enum class ParseStatus : std::uint8_t { need_more, complete, error };

// Reads one request after another from a connection.
//
//   head:  call parse_head() with all bytes of the connection not consumed yet, again with more
//          when it says need_more; on complete, `consumed` bytes belong to the head.
//   body:  (unless head.body is none) call parse_body() with the bytes that follow, until complete.
//   then start over with the bytes left.
class RequestParser {
 public:
  RequestParser();
  ~RequestParser();
  RequestParser(const RequestParser&) = delete;
  RequestParser& operator=(const RequestParser&) = delete;

  struct HeadResult {
    ParseStatus status = ParseStatus::need_more;
    // Bytes to drop before the next call: the head when complete, else empty lines that stood
    // before it.
    std::size_t consumed = 0;
    ParseError error;
  };
  // `bytes` must begin at the same byte of the stream on each call for one request; it may have
  // been moved in memory. Work is linear in the head's size whatever the splits: it remembers how
  // far it searched.
  // `head` is filled in when complete; one that this parser has filled in before must not have been
  // changed since, but by clear() and edit_headers(): where the same head comes again it is left as
  // it is. On an error it has the method, and the target, when the bytes came so far and these are
  // valid, for the log and because no answer to HEAD has a body; everything else in it is as
  // clear() leaves it. With need_more it is not touched.
  HeadResult parse_head(std::string_view bytes, const ParserLimits& limits, RequestHead& head);

  struct BodyResult {
    ParseStatus status = ParseStatus::need_more;
    std::size_t consumed = 0;  // of the bytes given
    std::string_view data;     // body bytes among them (maybe none); at most one span a call
    ParseError error;
  };
  // Takes some of `bytes`; call again with the rest while it is need_more and made progress
  // (consumed > 0).
  BodyResult parse_body(std::string_view bytes, const ParserLimits& limits);

  // Trailer fields of a chunked body, once it is complete (RFC 9110 6.5): framing and routing
  // fields among them are refused. Owned by the parser, valid until the next head.
  const std::vector<HeaderField>& trailers() const noexcept;

  // Forgets everything: the next byte begins a request.
  void reset() noexcept;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace treadle::http
