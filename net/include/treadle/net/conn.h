// Conn: a stream of bytes both ways.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <system_error>

#include <treadle/context.h>
#include <treadle/net/addr.h>
#include <treadle/result.h>
#include <treadle/timer.h>

namespace treadle::detail {
class Pollable;
}

namespace treadle::net {

class File;

// How far a write_all got: `error` is empty when everything was written.
struct [[nodiscard]] WriteResult {
  std::size_t written = 0;
  std::error_code error;
  explicit operator bool() const noexcept { return !error; }
};

// A connected byte stream. One goroutine may read while another writes; close(), shutdown_write()
// and the deadlines may come from any goroutine or thread. Calls that park honour the current
// Context unless ignore_context() was called: `canceled` or `timed_out`; bytes already moved are
// reported, never replaced by an error.
// On a plain thread the parking calls block that thread.
class Conn {
 public:
  virtual ~Conn() = default;
  Conn(const Conn&) = delete;
  Conn& operator=(const Conn&) = delete;

  // Reads up to into.size() bytes; 0 means the peer closed its side (or `into` is empty).
  // Parks the calling G. One reader at a time. `into` must outlive the call.
  // Errors: timed_out (read deadline), closed (local close()), canceled, else the system's code.
  [[nodiscard]] virtual Result<std::size_t> read(std::span<std::byte> into) = 0;

  // Reads what is there, as read() does, and does not wait: std::errc::operation_would_block says
  // that nothing is, or that this connection cannot tell. Counts as a reader. Never parks.
  [[nodiscard]] virtual Result<std::size_t> read_now(std::span<std::byte> into);

  // Writes all of the parts, in order, with as few system calls as possible. At most 1024 parts.
  // Parks the calling G. One writer at a time. The bytes must outlive the call.
  // Errors: timed_out (write deadline), closed, canceled, EPIPE or ECONNRESET when the peer went
  // away, else the system's code.
  virtual WriteResult write_all(std::span<const iovec> parts) = 0;
  WriteResult write_all(std::span<const std::byte> bytes);
  WriteResult write_all(std::string_view text);

  // Writes what the connection takes at once and says how much that was; 0 also for whatever goes
  // wrong, which the next write_all() will report. Counts as a writer. Never parks.
  virtual std::size_t write_now(std::span<const std::byte> bytes) noexcept;

  // For a writer who knows what comes next: with Cork::in, what is written from here on may wait
  // for what follows it, or for the end of this side, so that they leave in one packet. It waits
  // for no longer than the system lets it, a fifth of a second as a rule; but reset(), and close()
  // while there is input that nobody has read, drop what still waits, which a shutdown_write()
  // before them prevents. Cork::out, as it is at first: what is written leaves at once, and what
  // has waited with it. A hint, which costs no system call: connections that cannot, ignore it.
  // Never parks.
  enum class Cork : std::uint8_t { out, in };
  virtual void set_cork(Cork cork) noexcept;

  // Sends `count` bytes of `file` from `offset` on, by sendfile where this end allows. Fewer are
  // sent, without an error, only when the file ends before. Disk waits never hold a P.
  // Parks the calling G. One writer at a time.
  virtual WriteResult send_file(const File& file, std::uint64_t offset, std::uint64_t count);

  // Waits until read() would not wait: bytes, the end of the stream or an error are there. Holds no
  // buffer meanwhile. Now and then it returns early; read() then waits. Parks the calling G.
  // Errors: timed_out, closed, canceled.
  [[nodiscard]] virtual Result<void> wait_readable() = 0;

  // wait_readable() in two halves, for a goroutine that has no stack in between
  // (detail/resumable.h). The first gives what such a goroutine returns, or null when the wait is
  // over already: then read() would not wait. A connection that cannot be waited for so parks in
  // it. The second comes first when the goroutine is called again. Errors: wait_readable()'s, of
  // both.
  [[nodiscard]] virtual Result<const treadle::detail::Pollable*> begin_dormant_wait();
  [[nodiscard]] virtual Result<void> end_dormant_wait() { return {}; }

  // Deadlines of present and future calls; Deadline::never() removes one. Never park.
  virtual void set_read_deadline(Deadline d) = 0;
  virtual void set_write_deadline(Deadline d) = 0;
  void set_deadline(Deadline d) {
    set_read_deadline(d);
    set_write_deadline(d);
  }

  // From now on calls obey only the connection's deadlines, not the caller's Context. For servers,
  // which must be able to answer an error after a request's Context has ended.
  virtual void ignore_context() = 0;

  // Ends our side of the stream (FIN); reading goes on. Never parks, but where an end must be
  // written first, as TLS's.
  [[nodiscard]] virtual Result<void> shutdown_write() = 0;

  // Wakes whoever reads or writes with `closed` and releases the descriptor. Idempotent. Never
  // parks.
  virtual void close() noexcept = 0;

  // Cancels `ctx`, made by with_cancel() and the like, once the peer is seen to close or reset the
  // connection, though nobody reads: at once when it has. A half-close looks the same. It takes the
  // place of one given before. Never parks. A connection that cannot tell does nothing. What
  // handles an implementation keeps on `ctx` it takes at once, and lets go of none before it is
  // cancelled or another takes its place.
  virtual void watch_peer(const Context& ctx);

  // Closes so that the peer sees a reset and no orderly end, where that can be told apart: for
  // streams whose end means that all has been said. What was written and has not arrived is lost.
  // Never parks.
  virtual void reset() noexcept { close(); }

  // True when the peer was seen to close or reset the connection, without reading. A half-close
  // looks the same. Never parks.
  virtual bool peer_closed() const noexcept = 0;

  virtual SocketAddress local_address() const = 0;
  virtual SocketAddress remote_address() const = 0;

 protected:
  Conn() = default;
};

}  // namespace treadle::net
