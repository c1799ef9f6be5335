// llhttp behind a door: the only file pair, beside method.cpp, that knows it.
#pragma once

#include <llhttp.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <treadle/http/header.h>

namespace treadle::http {

// Runs llhttp over one request. It is fed whole parts only (a head, a chunk's size line, its data,
// a trailer section), each after our own checks, so its spans are whole and are views into what it
// was fed. Errors are its reasons, as static text; nullptr means that all went well.
class LlhttpMachine {
 public:
  LlhttpMachine() noexcept;
  LlhttpMachine(const LlhttpMachine&) = delete;
  LlhttpMachine& operator=(const LlhttpMachine&) = delete;

  // A complete head, request line to empty line; its fields are appended to `fields`. Begins a new
  // request, whatever came before.
  const char* head(std::string_view bytes, std::vector<HeaderField>& fields);

  // How llhttp reads the framing of that head.
  bool chunked() const noexcept { return (parser_.flags & F_CHUNKED) != 0; }
  std::uint64_t content_length() const noexcept { return parser_.content_length; }

  // The line before a chunk, without extensions: "1f\r\n". Afterwards content_length() is its size.
  const char* chunk_line(std::string_view bytes);
  // Some of a chunk's data, none of what follows it.
  const char* chunk_data(std::string_view bytes);
  // The CRLF behind a chunk's data.
  const char* chunk_end();
  // The trailer section behind the last chunk, with its empty line; its fields are appended.
  const char* trailers(std::string_view bytes, std::vector<HeaderField>& fields);

 private:
  static LlhttpMachine& self(llhttp_t* parser) noexcept;
  static int on_name(llhttp_t* parser, const char* at, std::size_t length);
  static int on_value(llhttp_t* parser, const char* at, std::size_t length);
  static int on_body(llhttp_t* parser, const char* at, std::size_t length);
  static int on_headers_complete(llhttp_t* parser);
  static int on_message_complete(llhttp_t* parser);
  static const llhttp_settings_t& settings() noexcept;

  const char* run(std::string_view bytes, llhttp_errno_t expected);
  const char* run_fields(std::string_view bytes, std::vector<HeaderField>& fields);

  llhttp_t parser_;
  std::vector<HeaderField>* fields_ = nullptr;  // set only while a call runs
  std::size_t body_bytes_ = 0;                  // seen by on_body in the current call
  std::string scratch_;                         // a copy with spaces for tabs; keeps its memory
};

}  // namespace treadle::http
