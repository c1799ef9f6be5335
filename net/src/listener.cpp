// A listening socket on the netpoller.
//
// The registration is edge-triggered, so accept() must not wait while connections are queued: one
// edge may stand for many of them. It therefore always looks before it waits, by the pattern of
// poll_desc.h. It looks with poll(2), since accept4 on an empty queue costs 3 us (it makes a socket
// first) and poll a tenth of that; after a wait, when something is there almost for sure, it
// accepts at once. No connection is lost: a wait follows only a look, by poll or by EAGAIN, that
// came after the prepare and found nothing.
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <mutex>
#include <optional>

#include <treadle/log.h>
#include <treadle/net/tcp.h>

#include "sys.h"

namespace treadle::net {

using detail::Pollable;
using detail::PollMode;
using std::chrono::milliseconds;

namespace {

constexpr milliseconds kFirstPause{5};
constexpr milliseconds kLongestPause{1000};
constexpr milliseconds kLogInterval{1000};

// Errors of one connection that is gone again, or that the network reported for it (accept(2)
// passes those on): the next one may be fine. Each consumes a connection, so this cannot spin.
bool concerns_one_connection(int error) noexcept {
  switch (error) {
    case EINTR:
    case ECONNABORTED:
    case EPROTO:
    case EPERM:  // refused by a firewall
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case ENETUNREACH: return true;
    default: return false;
  }
}

// What is short may be there again in a moment.
bool is_shortage(const std::error_code& error) noexcept {
  if (error.category() != std::system_category()) return false;
  switch (error.value()) {
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
    case ENOSPC: return true;  // the last: the limit of epoll watches
    default: return false;
  }
}

}  // namespace

struct Listener::Impl {
  Impl(Pollable p, ListenSocket& s) noexcept
      : pd(std::move(p)),
        address(s.address()),
        kind(address.family() == AF_UNIX ? TcpConn::Kind::other_stream : TcpConn::Kind::tcp),
        file(std::move(s.file())) {}
  ~Impl() { close(); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  Pollable pd;
  const SocketAddress address;
  const TcpConn::Kind kind;

  // Used by accept() only.
  milliseconds pause = kFirstPause;
  TimePoint last_log{};  // the clock's zero: never

  std::mutex mutex;  // guards:
  SocketFile file;   // a Unix socket's
  bool closed = false;
  std::optional<CancelFunc> end_pause;  // set while accept() pauses

  void wait_out(const std::error_code& shortage);
  void close() noexcept;
};

// Sleeps for the pause, which ends early when the listener is closed or the caller's Context ends.
// What ended it does not matter here: the next prepare() reports it.
void Listener::Impl::wait_out(const std::error_code& shortage) {
  const TimePoint now = Clock::now();
  if (last_log == TimePoint{} || now - last_log >= kLogInterval) {
    last_log = now;
    log::warn("accept on {}: {}; trying again in {} ms", address.to_string(), shortage.message(),
              pause.count());
  }
  const CancelableContext until_closed = with_cancel(current_context());
  {
    const std::lock_guard lock(mutex);
    if (closed) return;
    end_pause = until_closed.cancel;
  }
  {
    const ContextScope scope(until_closed.context);
    (void)sleep(pause);
  }
  pause = std::min(pause * 2, kLongestPause);
  const std::lock_guard lock(mutex);
  end_pause.reset();
}

// The file goes first, while the socket still listens: nobody takes it for a stale one meanwhile.
void Listener::Impl::close() noexcept {
  std::optional<CancelFunc> wake;
  {
    const std::lock_guard lock(mutex);
    file.remove();
    closed = true;
    wake = std::exchange(end_pause, std::nullopt);
  }
  pd.close();
  if (wake) (*wake)();
}

Listener::Listener(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
Listener::Listener(Listener&&) noexcept = default;
Listener& Listener::operator=(Listener&&) noexcept = default;
Listener::~Listener() = default;

// One connection, or nullptr when none is there.
Result<std::unique_ptr<TcpConn>> Listener::attempt(Known known) {
  const Pollable::Use use(impl_->pd);
  if (!use.ok()) return fail(Errc::closed);
  const int listener = impl_->pd.fd();
  for (;;) {
    if (auto r = impl_->pd.prepare(PollMode::read); !r) return fail(r.error());
    if (known == Known::nothing && !sys::readable(listener)) return nullptr;
    const sys::Accepted got = sys::accept(listener);
    if (got.fd >= 0) {
      auto pd = Pollable::open(got.fd);
      if (!pd) return fail(pd.error());
      return std::unique_ptr<TcpConn>(new TcpConn(std::move(*pd), got.remote, impl_->kind));
    }
    if (got.fd == -EAGAIN) return nullptr;
    if (!concerns_one_connection(-got.fd)) return fail_errno(-got.fd);
  }
}

Result<std::unique_ptr<TcpConn>> Listener::accept() {
  Known known = Known::nothing;
  for (;;) {
    auto conn = attempt(known);
    if (conn && *conn) {
      impl_->pause = kFirstPause;
      return conn;
    }
    known = Known::nothing;
    if (conn) {
      if (auto r = impl_->pd.wait(PollMode::read); !r) return fail(r.error());
      known = Known::readable;
    } else if (is_shortage(conn.error())) {
      impl_->wait_out(conn.error());
    } else {
      return conn;
    }
  }
}

Result<std::unique_ptr<TcpConn>> Listener::try_accept() { return attempt(Known::nothing); }

void Listener::close() noexcept {
  if (impl_) impl_->close();
}

SocketAddress Listener::address() const { return impl_->address; }

Result<void> Listener::set_keep_alive(Duration silence) {
  if (impl_->kind != TcpConn::Kind::tcp) return {};
  const Pollable::Use use(impl_->pd);
  if (!use.ok()) return fail(Errc::closed);
  return sys::set_keep_alive(impl_->pd.fd(), silence);
}

Result<Listener> Listener::adopt(ListenSocket socket) {
  auto pd = Pollable::open(std::exchange(socket.fd_, -1));
  if (!pd) return fail(pd.error());
  return Listener(std::make_unique<Impl>(std::move(*pd), socket));
}

Result<Listener> Listener::adopt(int fd, const ListenOptions& options) {
  auto socket = ListenSocket::adopt(fd, options);
  if (!socket) return fail(socket.error());
  return adopt(std::move(*socket));
}

Result<Listener> listen(std::string_view address, const ListenOptions& options) {
  auto socket = ListenSocket::open(address, options);
  if (!socket) return fail(socket.error());
  return Listener::adopt(std::move(*socket));
}

Result<Listener> listen_tcp(const SocketAddress& address, const ListenOptions& options) {
  if (address.family() != AF_INET && address.family() != AF_INET6) return fail(Errc::invalid);
  auto socket = ListenSocket::open(address, options);
  if (!socket) return fail(socket.error());
  return Listener::adopt(std::move(*socket));
}

Result<Listener> listen_tcp(std::string_view address, const ListenOptions& options) {
  const auto parsed = SocketAddress::parse(address);
  if (!parsed) return fail(parsed.error());
  return listen_tcp(*parsed, options);
}

Result<Listener> listen_unix(std::string_view path, mode_t mode) {
  return listen("unix:" + std::string(path), {.unix_mode = mode});
}

}  // namespace treadle::net
