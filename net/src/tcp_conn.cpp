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
#include <treadle/net/tcp.h>

#include <cerrno>
#include <utility>

#include "sys.h"

namespace treadle::net {

using detail::Pollable;
using detail::PollMode;

namespace {

WriteResult stopped(std::size_t written, std::error_code error) noexcept {
  return {written, error};
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
