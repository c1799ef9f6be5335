// TCP: listener, connection, dial.
//
//   auto listener = treadle::net::listen_tcp(":7000");
//   while (auto conn = listener->accept())
//     treadle::go([c = std::shared_ptr(std::move(*conn))] { serve(*c); });
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>

#include <treadle/detail/poll_desc.h>
#include <treadle/net/conn.h>
#include <treadle/net/listener.h>

namespace treadle::net {

// A TCP connection. On every one TCP_NODELAY and SO_OOBINLINE are set (urgent data is read in line,
// as ordinary bytes), and keep-alive probes after 15 s of silence. The first file of 256 KB or more
// that is sent to a peer on this machine shortens the send buffer (SO_SNDBUF) to 128 KB, for good.
class TcpConn final : public Conn {
 public:
  // Takes over a connected, non-blocking, CLOEXEC stream socket; closes it on failure. Stream
  // sockets of other families work too, without TCP's options. Never parks; any thread.
  static Result<std::unique_ptr<TcpConn>> adopt(int fd, const SocketAddress& remote);
  ~TcpConn() override;

  using Conn::write_all;
  [[nodiscard]] Result<std::size_t> read(std::span<std::byte> into) override;
  [[nodiscard]] Result<std::size_t> read_now(std::span<std::byte> into) override;
  WriteResult write_all(std::span<const iovec> parts) override;
  std::size_t write_now(std::span<const std::byte> bytes) noexcept override;
  void set_cork(Cork cork) noexcept override;
  WriteResult send_file(const File& file, std::uint64_t offset, std::uint64_t count) override;
  [[nodiscard]] Result<void> wait_readable() override;
  [[nodiscard]] Result<const treadle::detail::Pollable*> begin_dormant_wait() override;
  [[nodiscard]] Result<void> end_dormant_wait() override;
  void set_read_deadline(Deadline d) override;
  void set_write_deadline(Deadline d) override;
  void ignore_context() override;
  [[nodiscard]] Result<void> shutdown_write() override;
  void close() noexcept override;
  void watch_peer(const Context& ctx) override;
  void reset() noexcept override;
  bool peer_closed() const noexcept override;
  SocketAddress local_address() const override;
  SocketAddress remote_address() const override;

 private:
  friend class Listener;
  friend struct Dialer;

  enum class Kind : std::uint8_t { tcp, other_stream };
  enum class FileQueue : std::uint8_t { untold, kept_short, left_alone };
  TcpConn(detail::Pollable pd, const SocketAddress& remote, Kind kind) noexcept
      : pd_(std::move(pd)), remote_(remote), kind_(kind) {}
  // After a read that took all there was: nothing has come that a wait would not see. Once.
  bool known_empty() noexcept;
  std::size_t took(std::size_t got, std::size_t asked) noexcept;
  Result<void> wait_while_drained();
  std::error_code failed(ssize_t negative_errno) noexcept;
  int send_flags() const noexcept { return send_flags_.load(std::memory_order_relaxed); }
  std::uint64_t piece_of_large_files() noexcept;

  detail::Pollable pd_;
  SocketAddress remote_;
  Kind kind_;
  // A call of ours has met the end of the stream or a reset; the poller may tell later.
  std::atomic<bool> peer_gone_{false};
  // Read side only: the last read came back short, so the socket's buffer is known to be empty and
  // the next read waits without a system call.
  bool drained_ = false;
  // Of each send: MSG_MORE while the cork is in. Set by the writer; atomic since others may write
  // in its stead meanwhile.
  std::atomic<int> send_flags_{0};
  // Write side only, told by the first large file: see tcp_send_file.cpp.
  FileQueue file_queue_ = FileQueue::untold;
};

// Connects to an address, or to "name:port", trying each of the name's addresses in turn: each but
// the last gets its share of the Context's deadline, at least 2 s, or 5 s when there is none; the
// last may take as long as the system tries. An address without a host (":80") is this machine.
// Honours the current Context; a dial that loses the race against it closes its descriptor.
// Parks the calling G; a look-up blocks an M under a hint, and goes on unheard when the Context
// ends first.
// Errors: ECONNREFUSED and the like of the last address tried, not_found, invalid, canceled,
// timed_out.
[[nodiscard]] Result<std::unique_ptr<TcpConn>> dial_tcp(const SocketAddress& address);
[[nodiscard]] Result<std::unique_ptr<TcpConn>> dial_tcp(std::string_view address);

}  // namespace treadle::net
