// A TCP connection on the netpoller.
//
// Every call that can wait follows the pattern of poll_desc.h: prepare (clears "ready"), the system
// call, and after EAGAIN a wait. An edge that arrives after the prepare leaves "ready" set, so that
// the wait returns at once. Before a first attempt to write there is only a check: after EAGAIN the
// attempt is made once more, behind a prepare.
//
// The short-read shortcut. A read that returned less than was asked for has emptied the socket's
// buffer, so the next read would only learn EAGAIN; it waits first and saves the call. `drained_`
// says so. Why no byte and no end of stream is slept over:
//
//   Let R be the short read, and X something that the next read must report: data, FIN, an error.
//   X reached the socket after the kernel looked at the buffer in R, or R left it there.
//   1. X came after R's look. R comes after its prepare, hence so does X's edge; nobody clears
//      "ready" between that prepare and our wait, which therefore finds it set, or is woken.
//      (A clear *after* the read would wipe out exactly this edge.)
//   2. R left X there although it returned short. On TCP that happens with
//      - FIN and errors, which a read that moved data does not report. The edge that carried X
//        says RDHUP, HUP or ERR. Either the poller reports it after R's prepare, and case 1 holds,
//        or before. Then hints() shows it, for good: the poller stores the hints before it sets
//        "ready", and the prepare that cleared that "ready" has seen them.
//        Data and FIN of one segment make one edge: without the hint the FIN were lost.
//      - data behind an urgent mark. A read stops at the mark, with SO_OOBINLINE too, although
//        more is there. While the mark is unread every edge says PRI, so the same two cases hold.
//   Sockets other than TCP, for which none of this was checked, always read to EAGAIN.
//   A buffer whose tail is not mapped makes a short read too; such a caller is wrong anyway.
//
// read_now() sets `drained_` as well, after EAGAIN, on sockets of every kind: that left nothing
// behind, so X came after it, and the first case holds.
//
// A dormant wait before the first read looks, although registering a descriptor reports what is
// there already as an edge: a client mostly sends its request right behind its connect, so that it
// is there when the connection is first looked at. The look costs 0.2 us and saves going to sleep
// for the poller, 1,000 instructions; all in all 1 % of a connection with one request. Who has a
// buffer at hand saves the look, too, by a read_now().
//
// wait_while_drained() looks at the hints before it waits. A hint that comes in between is stored
// with an edge that sets "ready", which ends the wait. It resets drained_ before it waits, so that
// whatever ends the wait (a deadline, a cancelled Context, a spurious edge), the read after it asks
// the kernel.
//
// Files to a peer on this machine. Left alone, the kernel grows the send buffer of such a
// connection to megabytes, and the peer's receive buffer after it: nothing is ever lost on the way
// and there is no delay to measure. Data then waits its turn in the receiver's queue for so long
// that TCP takes it for lost and sends it again (in 2 s of 8 downloads of 10 MB, 127 recoveries and
// 710 probes of a lost tail), and both ends sleep and wake each other, which is dear. So
// send_file() shortens the send buffer of a connection whose peer is local before the first large
// file, and sends pieces that just fit: over loopback, 8 clients, 5.1 instead of 1.0 to 1.5 GB/s at
// less CPU a byte. With 1 and with 64 clients it pays too.
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
//   - The machine that these figures are of uses BBR for its congestion control. With CUBIC, the
//     usual default, long queues do no such harm and the short buffer loses: 10 MB files over 1, 8
//     and 64 connections, 3.9, 4.3 and 4.1 GB/s without it, 2.8, 3.9 and 3.4 with it, at 0.81, 0.70
//     and 0.73 ms of the server's CPU a file against 1.78, 1.39 and 1.52. With BBR in the same hour
//     1.5, 1.2 and 1.1 GB/s without, 1.8, 4.0 and 4.4 with it; 6.5, 1.5 and 1.9 ms against 4.2, 1.5
//     and 1.7. (Medians of 3 windows of 1 s in turn, server and load pinned to a CPU each, kernel
//     6.18, the congestion control set on the listener.)
//
// Rejected: splice, from a connection through a pipe to another one or to a file. Bare loops over
// loopback, server and load pinned to a CPU each, kernel 6.18; ratios of CPU are medians over 10 to
// 80 windows of 20 to 100 ms in turn, and where they scatter, from the lowest to the highest of the
// runs and sizes named; pipes of 64 KiB and of 1 MiB.
//   - Messages relayed over 16 pairs, to read and write by 64 KiB: 64 B and 1 KiB 1.09 to 1.13 (a
//     splice costs more than a read, and since a short one may only mean that the pipe has no slot
//     left, another has to learn EAGAIN); 16 KiB 0.93 to 0.96 with BBR, 0.84 with CUBIC. 64 KiB:
//     0.64 with BBR, 1.4 to 1.5 with CUBIC; 256 KiB: 0.48 to 0.72 and 0.96 to 1.43.
//   - Streams over 1 and 8 pairs, to read and write by 256 KiB: with BBR 0.5 to 1.3 with the small
//     pipe and 0.4 to 0.9 with the large one, at 0.7 to 1.05 of the bytes/s; with CUBIC 0.6 to 1.1
//     and 1.6 to 1.9, at 0.4 to 0.9 of the bytes/s. The receiver's CPU a byte rose by
//     20 % and more, presumably since nobody before it has had the bytes in a cache.
//   - Uploads of 10 and 100 MB into a new file, in memory or in a disk's page cache, to read and
//     write by 256 KiB: 0.83 to 1.19 with the small pipe, 0.76 to 0.87 with the large one, which to
//     reads of 1 MiB is 0.84 to 0.90. Of 1 MB: 0.90 to 1.06 and 0.89 to 1.03. To read 256 KiB at a
//     time instead of 64 is 0.68 to 1.02 for the large ones, and needs no code.
//   - Files of 100 KB and 10 MB to a connection, to sendfile: 0.83 to 1.12, the spread of the runs;
//     behind a short send buffer once 3.
// So what it brings hangs on the congestion control more than on the call, and it takes two
// descriptors a direction and 16 pages of the 16,384 that a user's pipes may have before new ones
// shrink. A real network, where a read copies what the network card has written, was not measured.
#include <treadle/net/tcp.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include <treadle/blocking.h>
#include <treadle/net/file.h>

#include "local_peer.h"
#include "sys.h"

namespace treadle::net {

using detail::Pollable;
using detail::PollMode;

namespace {

// A piece of sendfile: large enough to make the call's cost vanish, small enough that close() and
// deadlines are seen between pieces when the disk or the peer's network is slow.
constexpr std::uint64_t kSendFilePiece = 512 * 1024;

// See the top. Files smaller than this hardly fill the queues.
constexpr std::uint64_t kLargeFile = 256 * 1024;
constexpr int kLocalSendBuffer = 64 * 1024;  // as set; the kernel makes it
constexpr int kLocalPiece = 2 * kLocalSendBuffer;

WriteResult stopped(std::size_t written, std::error_code error) noexcept {
  return {written, error};
}

// It may wait for the disk, never for the socket.
ssize_t send_piece(int to, const File& file, std::uint64_t offset, std::size_t count) {
  const auto send = [&] { return sys::send_file(to, file.fd(), offset, count); };
  return file.seems_cached(offset, count) ? send() : blocking(send);
}

}  // namespace

Result<std::unique_ptr<TcpConn>> TcpConn::adopt(int fd, const SocketAddress& remote) {
  sys::UniqueFd owned(fd);
  const Kind kind = sys::is_tcp(fd) ? Kind::tcp : Kind::other_stream;
  if (kind == Kind::tcp) {
    if (auto r = sys::set_tcp_options(fd); !r) return fail(r.error());
  }
  auto pd = Pollable::open(owned.release());
  if (!pd) return fail(pd.error());
  return std::unique_ptr<TcpConn>(new TcpConn(std::move(*pd), remote, kind));
}

TcpConn::~TcpConn() = default;

std::error_code TcpConn::failed(ssize_t negative_errno) noexcept {
  const auto error = static_cast<int>(-negative_errno);
  if (error == ECONNRESET || error == EPIPE) peer_gone_.store(true, std::memory_order_relaxed);
  return {error, std::system_category()};
}

bool TcpConn::known_empty() noexcept {
  if (!std::exchange(drained_, false)) return false;
  const detail::PollHints seen = pd_.hints();
  return !seen.peer_closed && !seen.urgent;
}

Result<void> TcpConn::wait_while_drained() {
  if (!known_empty()) return {};
  return pd_.wait(PollMode::read);
}

Result<std::size_t> TcpConn::read(std::span<std::byte> into) {
  if (into.empty()) return 0;
  const Pollable::Use use(pd_);
  if (!use.ok()) return fail(Errc::closed);
  if (auto r = wait_while_drained(); !r) return fail(r.error());
  for (;;) {
    if (auto r = pd_.prepare(PollMode::read); !r) return fail(r.error());
    const ssize_t n = sys::receive(pd_.fd(), into);
    if (n >= 0) return took(static_cast<std::size_t>(n), into.size());
    if (n == -EINTR) continue;
    if (n != -EAGAIN) return fail(failed(n));
    if (auto r = pd_.wait(PollMode::read); !r) return fail(r.error());
  }
}

std::size_t TcpConn::took(std::size_t got, std::size_t asked) noexcept {
  if (got == 0) peer_gone_.store(true, std::memory_order_relaxed);
  drained_ = kind_ == Kind::tcp && got > 0 && got < asked;
  return got;
}

Result<std::size_t> TcpConn::read_now(std::span<std::byte> into) {
  if (into.empty()) return 0;
  const Pollable::Use use(pd_);
  if (!use.ok()) return fail(Errc::closed);
  for (;;) {
    if (auto r = pd_.prepare(PollMode::read); !r) return fail(r.error());
    const ssize_t n = sys::receive(pd_.fd(), into);
    if (n >= 0) return took(static_cast<std::size_t>(n), into.size());
    if (n == -EINTR) continue;
    drained_ = n == -EAGAIN;
    return fail(failed(n));
  }
}

Result<void> TcpConn::wait_readable() {
  const Pollable::Use use(pd_);
  if (!use.ok()) return fail(Errc::closed);
  if (drained_) return wait_while_drained();
  for (;;) {
    if (auto r = pd_.prepare(PollMode::read); !r) return r;
    if (sys::readable(pd_.fd())) return {};
    if (auto r = pd_.wait(PollMode::read); !r) return r;
  }
}

Result<const Pollable*> TcpConn::begin_dormant_wait() {
  // Closed or not: whoever waits finds out.
  if (known_empty()) return &pd_;
  const Pollable::Use use(pd_);
  if (!use.ok()) return fail(Errc::closed);
  if (auto r = pd_.prepare(PollMode::read); !r) return fail(r.error());
  return sys::readable(pd_.fd()) ? nullptr : &pd_;
}

// The read that follows clears "ready".
Result<void> TcpConn::end_dormant_wait() { return pd_.check(PollMode::read); }

WriteResult TcpConn::write_all(std::span<const iovec> parts) {
  const Pollable::Use use(pd_);
  if (!use.ok()) return stopped(0, Errc::closed);
  std::size_t written = 0;
  std::size_t offset = 0;  // bytes of parts[0] that are sent
  bool may_wait = false;   // the first attempt mostly takes it all, see poll_desc.h
  for (;;) {
    while (!parts.empty() && parts[0].iov_len <= offset) {
      offset -= parts[0].iov_len;
      parts = parts.subspan(1);
    }
    if (parts.empty()) return {written, {}};
    if (auto r = may_wait ? pd_.prepare(PollMode::write) : pd_.check(PollMode::write); !r)
      return stopped(written, r.error());
    const ssize_t n = sys::send(pd_.fd(), parts, offset, send_flags());
    if (n >= 0) {
      written += static_cast<std::size_t>(n);
      offset += static_cast<std::size_t>(n);
      may_wait = true;  // what is left found no room
    } else if (n != -EAGAIN) {
      if (n != -EINTR) return stopped(written, failed(n));
    } else if (std::exchange(may_wait, true)) {
      if (auto r = pd_.wait(PollMode::write); !r) return stopped(written, r.error());
    }
  }
}

// Without a prepare: "ready" is for those who are going to wait.
std::size_t TcpConn::write_now(std::span<const std::byte> bytes) noexcept {
  const Pollable::Use use(pd_);
  if (!use.ok() || bytes.empty()) return 0;
  const iovec part{const_cast<std::byte*>(bytes.data()), bytes.size()};
  const ssize_t n = sys::send(pd_.fd(), std::span(&part, 1), 0, send_flags());
  return n > 0 ? static_cast<std::size_t>(n) : 0;
}

// Sockets of other kinds keep nothing back.
void TcpConn::set_cork(Cork cork) noexcept {
  if (kind_ != Kind::tcp) return;
  send_flags_.store(cork == Cork::in ? MSG_MORE : 0, std::memory_order_relaxed);
}

// Under a Use. Asks the kernel who the peer is: who adopted the socket need not have said. Where a
// call fails, all stays as it is.
std::uint64_t TcpConn::piece_of_large_files() noexcept {
  if (peer_place_ == PeerPlace::untold) {
    const bool local = kind_ == Kind::tcp && is_on_this_machine(sys::peer_address(pd_.fd()),
                                                                sys::local_address(pd_.fd()));
    peer_place_ = local ? PeerPlace::here : PeerPlace::elsewhere;
    if (local && sys::get_option(pd_.fd(), SOL_SOCKET, SO_SNDBUF) > kLocalPiece)
      (void)sys::set_option(pd_.fd(), SOL_SOCKET, SO_SNDBUF, kLocalSendBuffer);
  }
  return peer_place_ == PeerPlace::here ? kLocalPiece : kSendFilePiece;
}

WriteResult TcpConn::send_file(const File& file, std::uint64_t offset, std::uint64_t count) {
  const Pollable::Use use(pd_);
  if (!use.ok()) return stopped(0, Errc::closed);
  const std::uint64_t most = count < kLargeFile ? kSendFilePiece : piece_of_large_files();
  std::uint64_t sent = 0;
  while (sent < count) {
    if (auto r = pd_.prepare(PollMode::write); !r) return stopped(sent, r.error());
    const auto piece = static_cast<std::size_t>(std::min(count - sent, most));
    const ssize_t n = send_piece(pd_.fd(), file, offset + sent, piece);
    if (n > 0) {
      sent += static_cast<std::uint64_t>(n);
    } else if (n == 0) {
      break;  // the file ends here
    } else if (n == -EAGAIN) {
      if (auto r = pd_.wait(PollMode::write); !r) return stopped(sent, r.error());
    } else if (n == -EINVAL || n == -ENOSYS) {
      // Not every file can be spliced (some of /proc, some of FUSE): read and write the rest.
      const WriteResult rest = Conn::send_file(file, offset + sent, count - sent);
      return {sent + rest.written, rest.error};
    } else if (n != -EINTR) {
      return stopped(sent, failed(n));
    }
  }
  return {sent, {}};
}

void TcpConn::set_read_deadline(Deadline d) { pd_.set_deadline(PollMode::read, d); }

void TcpConn::set_write_deadline(Deadline d) { pd_.set_deadline(PollMode::write, d); }

void TcpConn::ignore_context() { pd_.ignore_context(); }

Result<void> TcpConn::shutdown_write() {
  const Pollable::Use use(pd_);
  if (!use.ok()) return fail(Errc::closed);
  if (const int r = sys::shutdown_write(pd_.fd()); r < 0) return fail_errno(-r);
  return {};
}

void TcpConn::close() noexcept { pd_.close(); }

void TcpConn::reset() noexcept {
  {
    const Pollable::Use use(pd_);
    if (use.ok()) sys::reset_on_close(pd_.fd());
  }
  pd_.close();
}

void TcpConn::watch_peer(const Context& ctx) { pd_.watch_peer(ctx); }

bool TcpConn::peer_closed() const noexcept {
  return peer_gone_.load(std::memory_order_relaxed) || pd_.hints().peer_closed;
}

SocketAddress TcpConn::local_address() const {
  const Pollable::Use use(pd_);
  return use.ok() ? sys::local_address(pd_.fd()) : SocketAddress();
}

SocketAddress TcpConn::remote_address() const { return remote_; }

}  // namespace treadle::net
