// One response on its way: head, framing, and the buffer that lets a small one leave in one piece.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

#include <treadle/net/file.h>
#include <treadle/result.h>

#include "body.h"
#include "body_filter.h"
#include "header_block.h"
#include "keep_alive.h"
#include "request_state.h"
#include "response_claim.h"
#include "transport.h"

namespace treadle::http::detail {

// The state behind Response, reused from request to request.
//
// A response is open (status and fields may change, the body is buffered), then committed (the head
// has been handed to the connection), then finished. Memory of the buffer:
//
//   [ head room | body ... kBodyBuffer | room for what ends a chunked body ]
//
// Once the head is known it is laid right before the body, so that one system call with one part
// sends both. It goes on standing there, and where the next response has the same (by all that it
// is made of: HeadKey and the fields) within the same second, it need not be written again.
//
// Where the client's next request has begun to come, the end of a response may be held for a while,
// to leave together with the response that follows: see held_output.h. It counts as sent.
//
// Framing (RFC 9112 6): no body at all for HEAD, 204, 205 and 304; else a declared length; else the
// body's size when it ends before the head leaves; else chunked; else, for HTTP/1.0, the end of the
// connection.
class ResponseWriter {
 public:
  static constexpr std::size_t kBodyBuffer = 16 * 1024;

  // What must happen with the connection after the response.
  enum class End : std::uint8_t {
    keep,   // complete; the next request may come
    close,  // complete; the client knows that the connection ends
    cut,    // not complete: nothing but an abrupt end tells the client
  };

  // `keep_alive` is read when the head leaves. `claim` decides whether it may: whoever loses it to
  // the handler's deadline finds every later call fail with timed_out.
  void begin(Transport& transport, RequestState& request, ConnectionBody& body,
             ResponseClaim& claim, const KeepAlive& keep_alive);

  // For Response; see there.
  void set_status(int code);
  int status() const noexcept { return status_; }
  void set_header(std::string_view name, std::string_view value);
  void add_header(std::string_view name, std::string_view value);
  void remove_header(std::string_view name);
  void declare_length(std::uint64_t bytes);
  const HeaderBlock& headers() const noexcept { return headers_; }
  Result<void> write(std::string_view bytes);
  Result<void> send_file(const net::File& file, std::uint64_t offset, std::uint64_t count);
  Result<void> flush();
  Result<void> early_hints(std::span<const HeaderField> fields);
  // Takes the response from the server, for a connection that changes hands: nothing is sent.
  Result<void> take_over();
  // Sends 101 with the fields set so far, and takes the response over.
  Result<void> switch_protocols(std::string_view protocol);
  RequestState& request() const noexcept { return *request_; }
  // A field that restart() does not take away; see Response::keep_header().
  void keep_header(std::string_view name, std::string_view value);
  // Sends the body through `filter` if that wants it; nothing when there is a filter already.
  // Panics once the head has left.
  void set_filter(std::unique_ptr<BodyFilter> filter);
  // Forgets what was set and written; the head must not have left.
  void restart() noexcept;

  bool committed() const noexcept { return committed_; }
  // Whether the handler has said anything at all.
  bool untouched() const noexcept { return !committed_ && !status_set_ && written_ == 0; }
  std::error_code error() const noexcept { return error_; }
  // Whether the handler went on to set or write something although the request's body had failed,
  // with the head not yet gone: then it knows what it answers.
  bool answers_broken_body() const noexcept { return answers_broken_body_; }
  // Whether nothing is missing: the length was known beforehand, and all of it was written.
  bool length_satisfied() const noexcept;

  // Whether nothing but the connection's end tells where the body ends.
  bool ends_with_connection() const noexcept {
    return committed_ && framing_ == Framing::until_close;
  }

  // Ends the connection after this response, whatever the request asked for.
  void close_after() noexcept { keep_alive_ = false; }
  // Sends what is missing, and says how it went.
  End finish();
  // Gives the response up: finish() will say `cut`.
  void abandon(std::error_code why) noexcept;

  // Bytes of body that the handler gave.
  std::uint64_t written() const noexcept { return written_; }
  // Bytes of body, without their framing, that the connection has taken, or holds.
  std::uint64_t body_bytes() const noexcept { return sent_; }
  void release() noexcept;

 private:
  enum class Framing : std::uint8_t { length, chunked, until_close };
  enum class Part : std::uint8_t { more, last };

  static constexpr std::size_t kHeadRoom = 1024;
  static constexpr std::size_t kTailRoom = 8;  // CRLF, "0" CRLF CRLF

  // What a head is made of besides the fields that the handler sets.
  struct HeadKey {
    std::int64_t second = 0;  // of its Date
    std::uint64_t announced = 0;
    int status = 0;
    bool announces = false;
    bool keep_alive = false;
    bool http10 = false;
    bool content = false;
    bool operator==(const HeadKey&) const = default;
  };

  void require_open(const char* what) const;
  bool no_body() const noexcept;
  Result<void> admit(std::uint64_t bytes);
  Result<void> transmit(std::string_view extra, Part part);
  Result<void> transmit_parts(std::string_view extra, Part part);
  // Sends or holds the parts; see send().
  Result<void> deliver(std::span<iovec> parts, std::size_t framing, std::size_t data, Part part);
  void note_broken_body() noexcept;
  // Sends the parts, of which the first `framing` bytes are none of the body, and `data` are.
  Result<void> send(std::span<iovec> parts, std::size_t framing, std::size_t data);
  // Whether the last part of this response may leave together with the next response.
  bool may_be_held() const noexcept {
    return keep_alive_ && !error_ && request_body_->followed() && !claim_->lost();
  }
  Result<void> send_file_part(const net::File& file, std::uint64_t offset, std::uint64_t count);
  Result<void> buffer_file(const net::File& file, std::uint64_t offset, std::size_t count);
  Result<void> stick(std::error_code e) noexcept;
  Result<void> lose() noexcept;
  // response_filter.cpp; see there.
  bool filters(Part part);
  Result<void> filter(std::string_view bytes, BodyFilter::Op op);
  Result<void> filter_file(const net::File& file, std::uint64_t offset, std::uint64_t count);
  Result<void> pump(std::string_view bytes, BodyFilter::Op op);
  bool finish_filtered();
  void choose_filtered_framing(Part part);
  bool commit(Part part);
  void choose_framing(Part part);
  void format_head();
  void compose_head(const HeadKey& key);
  void lay_head() noexcept;
  std::size_t room() const noexcept { return kBodyBuffer - buffered_; }
  char* body() const noexcept { return buffer_.get() + kHeadRoom; }

  Transport* transport_ = nullptr;
  RequestState* request_ = nullptr;
  ConnectionBody* request_body_ = nullptr;
  ResponseClaim* claim_ = nullptr;
  const KeepAlive* server_keeps_ = nullptr;

  int status_ = 200;
  bool status_set_ = false;
  bool committed_ = false;
  bool keep_alive_ = true;
  bool head_request_ = false;
  bool filtering_ = false;  // the body goes through filter_
  Framing framing_ = Framing::length;
  std::optional<std::uint64_t> declared_;   // what the handler is to write
  std::optional<std::uint64_t> announced_;  // what the head says; differs when there is a filter
  std::uint64_t written_ = 0;               // body bytes the handler gave, sent or not
  std::uint64_t sent_ = 0;                  // body bytes that the connection took, or holds
  bool answers_broken_body_ = false;
  HeaderBlock headers_;
  HeaderBlock kept_;
  std::error_code error_;
  bool broken_ = false;  // the connection failed; error_ says how

  std::unique_ptr<char[]> buffer_;  // made once
  std::size_t buffered_ = 0;
  std::string head_;  // scratch: the head, and a chunk's first line
  // Bytes right before the body that are to be sent: the head, where it was laid there at once.
  std::size_t laid_ = 0;
  // Bytes there that are the head of standing_key_ with headers_ as marked; 0: something else is.
  std::size_t standing_ = 0;
  HeadKey standing_key_;

  std::unique_ptr<BodyFilter> filter_;
  std::unique_ptr<char[]> held_;  // like buffer_: body from before the filter was asked
  std::size_t held_size_ = 0;
};

}  // namespace treadle::http::detail
