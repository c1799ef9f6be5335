// Response: what goes back to the client.
//
//   res.status(201).header("Location", "/notes/7");
//   res.print("note {} made\n", 7);
#pragma once

#include <fmt/core.h>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

#include <treadle/http/error.h>
#include <treadle/http/header.h>
#include <treadle/result.h>

namespace treadle::net {
class Conn;
class File;
}  // namespace treadle::net

namespace treadle::http {

namespace detail {
class ResponseWriter;
}

// A connection that is the handler's own from now on.
struct Hijacked {
  std::shared_ptr<net::Conn> conn;  // obeys its deadlines only, of which it has none; see net::Conn
  std::string buffered;             // what has been read from it already: comes first
};

// The answer to one request; belongs to the goroutine that runs the handler, until it returns.
//
// Status and header fields (the head) leave with the first 16 KiB of body, at flush(), or when the
// handler returns; a body that is complete by then goes out in one system call with them and gets
// a Content-Length. A longer one is streamed: chunked, or ended by the connection's end for
// HTTP/1.0, unless the handler declared its length. Responses to HEAD, 204 and 304 carry no body
// whatever is written.
//
// A client may send requests ahead (RFC 9112 9.3.2). Where it has begun to when a response ends,
// that may leave together with those that follow, 16 KiB at most in one system call. It does not
// wait for a later handler: it leaves as soon as one parks, and within about a millisecond when one
// takes longer; where that one keeps its P meanwhile, computing or blocking its thread, once the
// runtime has taken the P away, some 10 ms later at most. flush() holds nothing back.
//
// Calls that write park the calling G while the client reads slowly, and obey the connection's
// deadlines only, never the request's Context. The first failure sticks: later calls do nothing
// and return it. A body without a Content-Type gets `text/plain; charset=utf-8`.
class Response {
 public:
  // The status code; 200 unless set. Panics outside 200 to 999, and once the head has left.
  Response& status(int code);
  int status() const noexcept;

  // Sets a header field in place of all of that name, or adds another, or takes them away. Panics
  // on an invalid name or value (RFC 9110 5.1, 5.5) and once the head has left. Never park.
  // Content-Length declares the body's length. Framing is the server's: Transfer-Encoding is
  // dropped, and of Connection only `close` has an effect.
  Response& header(std::string_view name, std::string_view value);
  Response& add_header(std::string_view name, std::string_view value);
  Response& remove_header(std::string_view name);
  std::optional<std::string> get_header(std::string_view name) const;
  Response& content_type(std::string_view value) { return header("Content-Type", value); }
  // Sets a header field that send_error() and redirect() leave in place, and that a field the
  // handler sets under that name replaces; for middleware (CORS, request ids,
  // Strict-Transport-Security). Vary adds up. get_header() does not show it. Panics as header().
  Response& keep_header(std::string_view name, std::string_view value);
  // Declares how long the body will be. Writing more is an error; writing less cuts the connection.
  Response& content_length(std::uint64_t bytes);

  // Appends to the body. The bytes may go once the call returns. May park.
  // Errors: timed_out (the client took nothing for ServerOptions::write_timeout), EPIPE or
  // ECONNRESET (it is gone), content_length, closed; they stick in error().
  Result<void> write(std::string_view text);
  Result<void> write(std::span<const std::byte> bytes);
  // Appends formatted text, as write().
  template <class... Args>
  Result<void> print(fmt::format_string<Args...> format, Args&&... args) {
    return vprint(format, fmt::make_format_args(args...));
  }
  Result<void> vprint(fmt::string_view format, fmt::format_args args);

  // Appends `count` bytes of `file` from `offset` on, by sendfile where that serves. Declare the
  // length first where they are the whole body. A file that ends before gives `eof`, and cuts the
  // connection when the head has left. May park; disk waits never hold a P.
  Result<void> send_file(const net::File& file, std::uint64_t offset, std::uint64_t count);

  // Sends what there is, the head included, without waiting for more. May park.
  Result<void> flush();

  // Lifts the handler's deadline: for responses that last as long as their client likes. Files that
  // go by sendfile, server-sent events and hijacked connections do so themselves. May park, see
  // DeadlineScope.
  Response& streaming();

  // Sends an interim response 103 with these fields (RFC 8297), Link as a rule, while the handler
  // goes on. Does nothing for HTTP/1.0 clients, which know no interim responses. Panics on an
  // invalid name or value. May park. Errors: as write(); head_sent.
  Result<void> early_hints(std::span<const HeaderField> fields);
  Result<void> early_hints(std::initializer_list<HeaderField> fields) {
    return early_hints(std::span(fields.begin(), fields.size()));
  }

  // Takes the connection over from the server, which forgets it: it neither answers nor closes it,
  // it does not count among the connections, and shutdown() does not wait for it. Nothing must have
  // been written, and the request's body is to be read before. The Response and the body fail with
  // `aborted` afterwards. Parks only where answers to requests before it have not left yet. Errors:
  // head_sent; timed_out where the handler's deadline has passed; that of sending these answers.
  [[nodiscard]] Result<Hijacked> hijack();
  // The same after sending `101 Switching Protocols` with `Upgrade: protocol` and the fields set so
  // far (RFC 9110 7.8). It is for the handler to look at what the client asked for. May park.
  // Errors: also those of write(); `invalid` for HTTP/1.0.
  [[nodiscard]] Result<Hijacked> upgrade(std::string_view protocol);

  // Answers with a redirection to `location` (RFC 9110 15.4), or with an error and a line of plain
  // text (the status's own name when empty), in place of what was set and written before. Panic on
  // a bad status; do nothing but return head_sent once the head has left. Never park.
  Result<void> redirect(std::string_view location, int code = 302);
  Result<void> send_error(int code, std::string_view text = {});

  // Empty while all is well; the first failure otherwise. Never parks.
  std::error_code error() const noexcept;
  // True once status and header fields have left and cannot be changed any more.
  bool head_sent() const noexcept;

  // For the server and its middleware.
  explicit Response(detail::ResponseWriter& writer) noexcept : writer_(&writer) {}
  detail::ResponseWriter& writer() const noexcept { return *writer_; }
  Response(const Response&) = delete;
  Response& operator=(const Response&) = delete;

 private:
  detail::ResponseWriter* writer_;
};

}  // namespace treadle::http
