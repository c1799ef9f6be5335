// Expectations on whole streams, each checked for every way of cutting the stream in two, and byte
// by byte.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "parse_stream.h"

namespace treadle::test {

inline std::string printable(std::string_view bytes) {
  std::string out;
  for (const char c : bytes.substr(0, 300)) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\r') {
      out += "\\r";
    } else if (c == '\n') {
      out += "\\n";
    } else if (byte < 0x20 || byte >= 0x7f) {
      out += "\\x" + std::string(1, "0123456789abcdef"[byte >> 4]) + "0123456789abcdef"[byte & 15];
    } else {
      out += c;
    }
  }
  return out;
}

// Parses `stream` whole; every other way of cutting it must say the same.
inline StreamParser parse_all_ways(std::string_view stream, const http::ParserLimits& limits = {}) {
  StreamParser whole(limits);
  whole.feed(stream);
  EXPECT_EQ(transcript_byte_by_byte(stream, limits), whole.transcript())
      << "byte by byte: " << printable(stream);
  for (std::size_t cut = 1; cut < stream.size(); ++cut) {
    const std::string two =
        transcript_of_pieces({stream.substr(0, cut), stream.substr(cut)}, limits);
    EXPECT_EQ(two, whole.transcript()) << "cut at " << cut << ": " << printable(stream);
    if (two != whole.transcript()) break;
  }
  return whole;
}

// The status that `stream` is refused with; 0 when it is not.
inline int status_of(std::string_view stream, const http::ParserLimits& limits = {}) {
  return parse_all_ways(stream, limits).status();
}

inline std::string transcript_of(std::string_view stream, const http::ParserLimits& limits = {}) {
  return parse_all_ways(stream, limits).transcript();
}

// A request with this request line and a Host.
inline std::string with_line(std::string_view line) {
  return std::string(line) + "\r\nHost: h\r\n\r\n";
}

// A GET with these field lines, each ending in CRLF, behind a Host.
inline std::string with_fields(std::string_view fields) {
  return "GET / HTTP/1.1\r\nHost: h\r\n" + std::string(fields) + "\r\n";
}

// A POST with a chunked body of these bytes.
inline std::string with_chunks(std::string_view body) {
  return "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + std::string(body);
}

}  // namespace treadle::test

#define EXPECT_STATUS(status, stream) \
  EXPECT_EQ(::treadle::test::status_of(stream), status) << ::treadle::test::printable(stream)
