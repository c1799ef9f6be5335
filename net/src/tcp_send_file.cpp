// Files over a TCP connection, by sendfile.
//
// Peers on this machine and BBR. Left alone, the kernel grows the send buffer of such a connection
// to megabytes, and the peer's receive buffer after it: nothing is ever lost on the way and there
// is no delay to measure. Data then waits its turn in the receiver's queue for so long that with
// BBR for its congestion control TCP takes it for lost and sends it again (in 2 s of 8 downloads of
// 10 MB, 127 recoveries and 710 probes of a lost tail), and both ends sleep and wake each other,
// which is dear. So the send buffer of such a connection is shortened before the first large file,
// and the file leaves in pieces that just fit.
//   - 10 MB over 1, 8 and 64 connections: 1.5, 1.2 and 1.1 GB/s without, 1.8, 4.0 and 4.4 with it,
//     at 6.5, 1.5 and 1.9 ms of the server's CPU against 4.2, 1.5 and 1.7. (Medians of 3 windows of
//     1 s in turn, server and load pinned to a CPU each, kernel 6.18.)
//   - With CUBIC, the usual default, long queues do no such harm, and the short buffer loses: 3.9,
//     4.3 and 4.1 GB/s without, 2.8, 3.9 and 3.4 with it, at 0.81, 0.70 and 0.73 ms against 1.78,
//     1.39 and 1.52. So it is asked for.
//   - Loopback's bandwidth times its delay is small. A network's may be far above such a buffer:
//     there the kernel's own growth stays, since a buffer once set grows no more.
//   - Buffers of 48 to 64 KiB (as set; the kernel doubles it) were best, from 200 KiB on it got
//     worse, at 32 KiB erratic. Pieces as large as the doubled buffer were best by far for one
//     client: a longer one ends in a short write and a vain second call.
//   - A buffer that its owner has made smaller yet stays as it is.
//   - Neither TCP_NOTSENT_LOWAT helps (over loopback all is sent at once, it is the receiver's
//     queue that grows) nor, by much, yielding between pieces.
//   - Rejected: read into a warm buffer and write, as other servers do. With pieces of 256 KiB it
//     was faster than sendfile into long queues (3.0 against 1.6 GB/s in the same run), but it
//     takes the whole core, and sendfile into short ones is faster yet.
//
// Rejected: splice, from a connection through a pipe to another one or to a file. Ratios of CPU to
// read and write, or to sendfile, of bare loops over loopback, pinned as above, windows in turn:
//   - messages of 64 B and 1 KiB relayed: 1.09 to 1.13 (a splice costs more than a read, and a
//     short one may only mean that the pipe is full, so another must learn EAGAIN); of 16 KiB 0.84
//     to 0.96; of 64 KiB 0.64 with BBR, 1.4 to 1.5 with CUBIC;
//   - streams relayed: 0.4 to 1.3 with BBR, 0.6 to 1.9 with CUBIC, at 0.4 to 1.05 of the bytes/s;
//   - uploads of 10 and 100 MB to a file: 0.84 to 0.90 where both move 1 MiB at a time, of 1 MB 0.9
//     to 1.06;
//   - files of 100 KB and 10 MB to a connection: 0.83 to 1.12, the spread of the runs.
// What it brings hangs on the congestion control and on the size of the pipe more than on the call,
// and it takes two descriptors and a pipe's pages a direction. A real network, where a read copies
// what the network card has written, was not measured.
#include <treadle/net/tcp.h>

#include <algorithm>
#include <cerrno>

#include <treadle/blocking.h>
#include <treadle/net/file.h>

#include "local_peer.h"
#include "sys.h"

namespace treadle::net {

using detail::Pollable;
using detail::PollMode;

namespace {

// Large enough to make the call's cost vanish, small enough that close() and deadlines are seen
// between pieces when the disk or the peer's network is slow.
constexpr std::uint64_t kPiece = 512 * 1024;

// See the top. Files smaller than this hardly fill the queues.
constexpr std::uint64_t kLargeFile = 256 * 1024;
constexpr int kShortBuffer = 64 * 1024;  // as set; the kernel makes it
constexpr int kShortPiece = 2 * kShortBuffer;

// It may wait for the disk, never for the socket.
ssize_t send_piece(int to, const File& file, std::uint64_t offset, std::size_t count) {
  const auto send = [&] { return sys::send_file(to, file.fd(), offset, count); };
  return file.seems_cached(offset, count) ? send() : blocking(send);
}

}  // namespace

// Under a Use. Asks the kernel who the peer is: who adopted the socket need not have said. Where a
// call fails, all stays as it is.
std::uint64_t TcpConn::piece_of_large_files() noexcept {
  if (file_queue_ == FileQueue::untold) {
    const int fd = pd_.fd();
    const bool is_short = kind_ == Kind::tcp && sys::has_congestion_control(fd, "bbr") &&
                          is_on_this_machine(sys::peer_address(fd), sys::local_address(fd));
    file_queue_ = is_short ? FileQueue::kept_short : FileQueue::left_alone;
    if (is_short && sys::get_option(fd, SOL_SOCKET, SO_SNDBUF) > kShortPiece)
      (void)sys::set_option(fd, SOL_SOCKET, SO_SNDBUF, kShortBuffer);
  }
  return file_queue_ == FileQueue::kept_short ? kShortPiece : kPiece;
}

WriteResult TcpConn::send_file(const File& file, std::uint64_t offset, std::uint64_t count) {
  const Pollable::Use use(pd_);
  if (!use.ok()) return {0, Errc::closed};
  const std::uint64_t most = count < kLargeFile ? kPiece : piece_of_large_files();
  std::uint64_t sent = 0;
  while (sent < count) {
    if (auto r = pd_.prepare(PollMode::write); !r) return {sent, r.error()};
    const auto piece = static_cast<std::size_t>(std::min(count - sent, most));
    const ssize_t n = send_piece(pd_.fd(), file, offset + sent, piece);
    if (n > 0) {
      sent += static_cast<std::uint64_t>(n);
    } else if (n == 0) {
      break;  // the file ends here
    } else if (n == -EAGAIN) {
      if (auto r = pd_.wait(PollMode::write); !r) return {sent, r.error()};
    } else if (n == -EINVAL || n == -ENOSYS) {
      // Not every file can be spliced (some of /proc, some of FUSE): read and write the rest.
      const WriteResult rest = Conn::send_file(file, offset + sent, count - sent);
      return {sent + rest.written, rest.error};
    } else if (n != -EINTR) {
      return {sent, failed(n)};
    }
  }
  return {sent, {}};
}

}  // namespace treadle::net
