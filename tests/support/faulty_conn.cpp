#include "support/faulty_conn.h"

#include <algorithm>
#include <optional>
#include <utility>

#include <treadle/context.h>

namespace treadle::test {

// The faults of one direction.
struct FaultyConn::Side {
  std::mutex mutex;  // guards all below; never held across a parking call
  std::vector<std::size_t> pieces;
  std::size_t next_piece = 0;
  std::size_t later_pieces = 0;  // 0: no limit
  std::uint64_t moved = 0;       // bytes so far
  std::uint64_t calls = 0;
  std::uint64_t fail_byte = kNone;
  std::uint64_t fail_call = kNone;
  int error_number = 0;
  std::uint64_t stall_byte = kNone;
  Deadline deadline;
  Chan<int> released;                     // closed when the stall ends
  Chan<int> stalled = make_chan<int>(1);  // one element once a call stands in the stall

  void limit(std::vector<std::size_t> sizes, std::size_t then) {
    const std::lock_guard lock(mutex);
    pieces = std::move(sizes);
    next_piece = 0;
    later_pieces = then;
  }
  void fail_at_byte(std::uint64_t n, int error) {
    const std::lock_guard lock(mutex);
    fail_byte = n;
    error_number = error;
  }
  void fail_at_call(std::uint64_t n, int error) {
    const std::lock_guard lock(mutex);
    fail_call = calls + n;
    error_number = error;
  }
  void stall_at_byte(std::uint64_t n) {
    const std::lock_guard lock(mutex);
    stall_byte = n;
    released = make_chan<int>();
    stalled = make_chan<int>(1);
  }
  void release() {
    const std::lock_guard lock(mutex);
    stall_byte = kNone;
    if (auto old = std::exchange(released, Chan<int>())) old.close();
  }
  void wait_for_stall() {
    Chan<int> entered;
    {
      const std::lock_guard lock(mutex);
      entered = stalled;
    }
    (void)entered.recv();
  }
  std::uint64_t total() {
    const std::lock_guard lock(mutex);
    return moved;
  }
  void count(std::size_t n) {
    const std::lock_guard lock(mutex);
    moved += n;
  }
  void set_deadline(Deadline d) {
    const std::lock_guard lock(mutex);
    deadline = d;
  }
};

FaultyConn::FaultyConn(std::unique_ptr<net::Conn> inner)
    : inner_(std::move(inner)),
      reads_(std::make_unique<Side>()),
      writes_(std::make_unique<Side>()) {}

FaultyConn::~FaultyConn() = default;

void FaultyConn::read_in_pieces(std::vector<std::size_t> sizes, std::size_t then) {
  reads_->limit(std::move(sizes), then);
}
void FaultyConn::write_in_pieces(std::vector<std::size_t> sizes, std::size_t then) {
  writes_->limit(std::move(sizes), then);
}
void FaultyConn::fail_reads_at_byte(std::uint64_t n, int e) { reads_->fail_at_byte(n, e); }
void FaultyConn::fail_writes_at_byte(std::uint64_t n, int e) { writes_->fail_at_byte(n, e); }
void FaultyConn::fail_reads_at_call(std::uint64_t n, int e) { reads_->fail_at_call(n, e); }
void FaultyConn::fail_writes_at_call(std::uint64_t n, int e) { writes_->fail_at_call(n, e); }
void FaultyConn::stall_reads_at_byte(std::uint64_t n) { reads_->stall_at_byte(n); }
void FaultyConn::stall_writes_at_byte(std::uint64_t n) { writes_->stall_at_byte(n); }
void FaultyConn::release_reads() { reads_->release(); }
void FaultyConn::release_writes() { writes_->release(); }
void FaultyConn::wait_for_stalled_read() { reads_->wait_for_stall(); }
void FaultyConn::wait_for_stalled_write() { writes_->wait_for_stall(); }
std::uint64_t FaultyConn::bytes_read() const { return reads_->total(); }
std::uint64_t FaultyConn::bytes_written() const { return writes_->total(); }

// Parks while the side stands at its stall.
Result<void> FaultyConn::stand_in_stall(Side& side) {
  for (;;) {
    Chan<int> released;
    Deadline deadline;
    {
      const std::lock_guard lock(side.mutex);
      if (side.moved < side.stall_byte) return {};
      released = side.released;
      deadline = side.deadline;
      (void)side.stalled.try_send(1);
    }
    const auto limited = with_deadline(current_context(), deadline);
    if (auto r = released.recv(limited.context); !r) return fail(r.error());
  }
}

// How many of `wanted` bytes the next system call may move, one at least; or the fault that is due.
Result<std::size_t> FaultyConn::begin(Side& side, std::size_t wanted) {
  if (auto r = stand_in_stall(side); !r) return fail(r.error());
  const std::lock_guard lock(side.mutex);
  if (side.calls++ >= side.fail_call || side.moved >= side.fail_byte)
    return fail_errno(side.error_number);
  std::uint64_t most =
      std::min({std::uint64_t{wanted}, side.fail_byte - side.moved, side.stall_byte - side.moved});
  const std::size_t piece =
      side.next_piece < side.pieces.size() ? side.pieces[side.next_piece++] : side.later_pieces;
  if (piece != 0) most = std::min<std::uint64_t>(most, piece);
  return static_cast<std::size_t>(most);
}

Result<std::size_t> FaultyConn::read(std::span<std::byte> into) {
  if (into.empty()) return 0;
  const auto most = begin(*reads_, into.size());
  if (!most) return fail(most.error());
  auto n = inner_->read(into.first(*most));
  if (n) reads_->count(*n);
  return n;
}

net::WriteResult FaultyConn::write_part(const iovec& part) {
  net::WriteResult done;
  while (done.written < part.iov_len) {
    const auto most = begin(*writes_, part.iov_len - done.written);
    if (!most) return {done.written, most.error()};
    const auto* from = static_cast<const std::byte*>(part.iov_base) + done.written;
    const net::WriteResult wrote = inner_->write_all(std::span(from, *most));
    writes_->count(wrote.written);
    done.written += wrote.written;
    if (!wrote) return {done.written, wrote.error};
  }
  return done;
}

net::WriteResult FaultyConn::write_all(std::span<const iovec> parts) {
  net::WriteResult done;
  for (const iovec& part : parts) {
    const net::WriteResult wrote = write_part(part);
    done.written += wrote.written;
    if (!wrote) return {done.written, wrote.error};
  }
  return done;
}

Result<void> FaultyConn::wait_readable() {
  if (auto r = stand_in_stall(*reads_); !r) return r;
  {
    const std::lock_guard lock(reads_->mutex);
    if (reads_->calls >= reads_->fail_call || reads_->moved >= reads_->fail_byte) return {};
  }
  return inner_->wait_readable();
}

void FaultyConn::set_read_deadline(Deadline d) {
  reads_->set_deadline(d);
  inner_->set_read_deadline(d);
}
void FaultyConn::set_write_deadline(Deadline d) {
  writes_->set_deadline(d);
  inner_->set_write_deadline(d);
}
void FaultyConn::ignore_context() { inner_->ignore_context(); }
Result<void> FaultyConn::shutdown_write() { return inner_->shutdown_write(); }

// What stands in a stall goes on and meets the closed connection.
void FaultyConn::close() noexcept {
  inner_->close();
  reads_->release();
  writes_->release();
}

bool FaultyConn::peer_closed() const noexcept { return inner_->peer_closed(); }
net::SocketAddress FaultyConn::local_address() const { return inner_->local_address(); }
net::SocketAddress FaultyConn::remote_address() const { return inner_->remote_address(); }

}  // namespace treadle::test
