// Chunked bodies, the reading side (RFC 9112 7.1).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "field_scan.h"
#include "llhttp_machine.h"
#include "parser.h"

namespace treadle::http {

// Reads one chunked body after another, in any pieces. It checks each line of the coding itself,
// byte by byte, and hands llhttp the size without its extensions, then the data: extensions are
// checked against their grammar, capped, and otherwise ignored.
//
//   size [ext] CRLF data CRLF ... 0 [ext] CRLF trailers CRLF
class ChunkedReader {
 public:
  // `machine` has just read the head of the request.
  void begin(LlhttpMachine& machine) noexcept;

  // As RequestParser::parse_body().
  RequestParser::BodyResult read(std::string_view bytes, const ParserLimits& limits);

  const std::vector<HeaderField>& trailers() const noexcept { return trailers_; }
  void clear_trailers() noexcept { trailers_.clear(); }

 private:
  enum class State : std::uint8_t {
    size,         // digits
    size_lf,      // CR seen
    ext,          // white space seen where an extension may begin: ';' must follow
    ext_name_ws,  // ';' seen
    ext_name,
    ext_after_name,  // white space seen: '=' or ';' must follow
    ext_value_ws,    // '=' seen
    ext_value,
    ext_quoted,
    ext_quoted_pair,  // '\' seen
    ext_after_quoted,
    data,
    data_cr,
    data_lf,
    trailers,
  };

  const char* line_byte(char c, std::size_t max_extension);
  const char* size_byte(char c);
  const char* extension_byte(char c);
  const char* after_extension(char c);
  const char* end_line();
  RequestParser::BodyResult read_data(std::string_view bytes, std::size_t consumed);
  RequestParser::BodyResult read_trailers(std::string_view bytes, std::size_t consumed,
                                          const ParserLimits& limits);

  LlhttpMachine* machine_ = nullptr;
  State state_ = State::size;
  std::array<char, 18> digits_{};  // as they came; room for CRLF behind 16
  std::size_t digit_count_ = 0;
  std::size_t extension_bytes_ = 0;  // of this chunk
  std::uint64_t left_ = 0;           // of the chunk's size, then of its data
  FieldScan scan_;
  std::string trailer_text_;  // what trailers_ points into
  std::vector<HeaderField> trailers_;
};

}  // namespace treadle::http
