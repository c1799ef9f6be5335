// FaultyConn: a connection that misbehaves where the test says so.
//
//   auto [ours, theirs] = make_pipe();
//   FaultyConn conn(std::move(ours));
//   conn.read_in_pieces({1, 1, 5});                  // then whatever comes
//   conn.fail_writes_at_byte(100, ECONNRESET);
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include <treadle/chan.h>
#include <treadle/net/conn.h>

namespace treadle::test {

// Wraps a Conn and injects short reads, writes that end early, errors and stalls, at exact bytes
// or calls. Faults are set before use or from another goroutine; each fault of a kind replaces the
// one before. Parks where the wrapped Conn parks, and in a stall until it is released, the
// connection is closed, the deadline that stood when the stall began passes, or the current
// Context ends.
class FaultyConn final : public net::Conn {
 public:
  explicit FaultyConn(std::unique_ptr<net::Conn> inner);
  ~FaultyConn() override;

  // The next reads return at most these many bytes each; afterwards `then` (0: no limit).
  void read_in_pieces(std::vector<std::size_t> sizes, std::size_t then = 0);
  // Writes reach the wrapped connection in pieces of at most these sizes; afterwards `then`. The
  // caller sees no difference, the peer sees more segments.
  void write_in_pieces(std::vector<std::size_t> sizes, std::size_t then = 0);

  // The byte at offset `n` of the stream, and all that follow, cannot be read or written: the call
  // that reaches it moves what lies before and fails (reads: the call after that fails).
  void fail_reads_at_byte(std::uint64_t n, int error_number);
  void fail_writes_at_byte(std::uint64_t n, int error_number);
  // The n-th call from now on (0: the next) fails before it moves anything, and all later ones.
  void fail_reads_at_call(std::uint64_t n, int error_number);
  void fail_writes_at_call(std::uint64_t n, int error_number);

  // Reads or writes stop at that offset of the stream until they are released.
  void stall_reads_at_byte(std::uint64_t n);
  void stall_writes_at_byte(std::uint64_t n);
  void release_reads();
  void release_writes();
  // Parks until a call stands in the stall.
  void wait_for_stalled_read();
  void wait_for_stalled_write();

  std::uint64_t bytes_read() const;
  std::uint64_t bytes_written() const;
  net::Conn& inner() noexcept { return *inner_; }

  using Conn::write_all;
  Result<std::size_t> read(std::span<std::byte> into) override;
  net::WriteResult write_all(std::span<const iovec> parts) override;
  Result<void> wait_readable() override;
  void set_read_deadline(Deadline d) override;
  void set_write_deadline(Deadline d) override;
  void ignore_context() override;
  Result<void> shutdown_write() override;
  void close() noexcept override;
  bool peer_closed() const noexcept override;
  net::SocketAddress local_address() const override;
  net::SocketAddress remote_address() const override;

 private:
  static constexpr std::uint64_t kNone = ~std::uint64_t{0};
  struct Side;

  Result<std::size_t> begin(Side& side, std::size_t wanted);
  Result<void> stand_in_stall(Side& side);
  net::WriteResult write_part(const iovec& part);

  std::unique_ptr<net::Conn> inner_;
  std::unique_ptr<Side> reads_;
  std::unique_ptr<Side> writes_;
};

}  // namespace treadle::test
