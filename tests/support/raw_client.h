// RawClient: a blocking TCP client that sends exactly the bytes it is told to.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace treadle::test {

// One HTTP response as it came, its body without the framing.
struct RawResponse {
  int status = 0;                                            // 0: none came whole
  std::string version;                                       // "HTTP/1.1"
  std::string reason;                                        // "OK"
  std::vector<std::pair<std::string, std::string>> headers;  // in order, as written
  std::string body;                                          // chunks joined
  std::vector<std::pair<std::string, std::string>> trailers;
  std::string raw;  // every byte of it
  bool chunked = false;
  bool until_close = false;  // the body was delimited by the connection's end

  // The first header of that name (case does not matter); nothing when there is none.
  std::optional<std::string> header(std::string_view name) const;
  std::size_t count(std::string_view name) const;  // how many headers have that name
};

// A client socket for tests of servers. Every call blocks the calling thread, under
// treadle::blocking, so that goroutines may use one too: the M waits, the P does not. What goes
// wrong (a refused connection, a time-out, bytes missing) is a failure of the current test, with
// what had come until then in the text; the call then returns what it has. One thread at a time.
class RawClient {
 public:
  struct Options {
    std::chrono::milliseconds timeout{20000};  // for each call
    int receive_buffer = 0;                    // SO_RCVBUF; 0: the system's
    int send_buffer = 0;                       // SO_SNDBUF; 0: the system's
  };

  // Connects to 127.0.0.1:port.
  explicit RawClient(std::uint16_t port);
  RawClient(std::uint16_t port, const Options& options);
  RawClient(RawClient&& o) noexcept;
  RawClient& operator=(RawClient&& o) noexcept;
  ~RawClient();

  bool connected() const noexcept { return fd_ >= 0; }
  int fd() const noexcept { return fd_; }
  std::uint16_t local_port() const;

  // Sends all of it; false when the peer closed or reset before (which is no failure: servers may).
  bool send(std::string_view bytes);
  // Sends the pieces that begin at 0 and at each of `positions` one by one, each once the peer's
  // kernel has acknowledged the one before, so that no two leave in one segment.
  bool send_split(std::string_view bytes, std::span<const std::size_t> positions);
  bool send_split(std::string_view bytes, std::initializer_list<std::size_t> positions) {
    return send_split(bytes, std::span(positions.begin(), positions.size()));
  }
  // The same, byte by byte.
  bool send_bytewise(std::string_view bytes);
  // One byte of urgent data.
  bool send_urgent(char byte);

  // At least one byte and no more than `most`; empty at the end of the stream or after a reset.
  std::string read_some(std::size_t most = 65536);
  // Exactly `n` bytes; fewer are a failure.
  std::string read_exactly(std::size_t n);
  // Everything up to and including `mark`.
  std::string read_until(std::string_view mark);
  // Everything up to the end of the stream. A reset is a failure unless `reset_seen()` is asked
  // for by tests that expect one: use read_until_gone().
  std::string read_until_close();
  // Everything up to the end of the stream or a reset.
  std::string read_until_gone();
  // One whole HTTP response; bytes behind it stay for the next call. Interim (1xx) responses are
  // responses of their own. `to_head` says that the request was a HEAD: no body follows.
  enum class Request { other, head };
  RawResponse read_response(Request request = Request::other);
  // Sends a request and reads its final response, passing over interim ones.
  RawResponse roundtrip(std::string_view request, Request kind = Request::other);

  // True when nothing has come for `quiet`: for "no answer yet". Waits that long.
  bool silent_for(std::chrono::milliseconds quiet);
  // True when the last read ended with ECONNRESET.
  bool was_reset() const noexcept { return reset_; }
  // True when the peer has closed or reset; waits for it up to the time-out and drops what comes.
  bool closed_by_peer();

  void shutdown_write();  // FIN; reading goes on
  void reset();           // RST, by SO_LINGER 0
  void close();

 private:
  enum class Io { ok, end, reset, timeout };
  Io fill();  // reads more into buffer_
  std::string take(std::size_t n);
  bool wait_for(short events, std::string_view what);
  bool fill_or_fail(std::string_view what);
  bool read_body(RawResponse& out, Request request);
  bool read_chunks(RawResponse& out);
  bool append(std::string& to, RawResponse& out, std::size_t n);
  std::optional<std::string> read_line(RawResponse& out);

  int fd_ = -1;
  Options options_;
  std::string buffer_;  // read from the socket, not yet asked for
  bool reset_ = false;
};

}  // namespace treadle::test
