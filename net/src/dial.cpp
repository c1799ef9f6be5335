// Dialing TCP.
#include <netinet/in.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <string>
#include <vector>

#include <treadle/net/tcp.h>

#include "resolve.h"
#include "sys.h"

namespace treadle::net {

using detail::Pollable;
using detail::PollMode;
using DialResult = Result<std::unique_ptr<TcpConn>>;

// One attempt, to one address. (A class for the sake of TcpConn's friendship only.)
struct Dialer {
  static DialResult attempt(const SocketAddress& address, Deadline limit);

 private:
  static Result<void> finish_connect(const Pollable& pd);
};

// Waits until the connection is made or refused.
Result<void> Dialer::finish_connect(const Pollable& pd) {
  for (;;) {
    if (auto r = pd.prepare(PollMode::write); !r) return r;
    if (const int error = sys::take_socket_error(pd.fd()); error != 0) return fail_errno(error);
    // No error may also mean that nothing is decided yet: wake-ups can be spurious. Only a
    // connected socket has a peer.
    if (sys::peer_address(pd.fd()).family() != AF_UNSPEC) return {};
    if (auto r = pd.wait(PollMode::write); !r) return r;
  }
}

DialResult Dialer::attempt(const SocketAddress& address, Deadline limit) {
  // A dial of a local port in the ephemeral range that nobody listens on may be given that very
  // port as its own, and connect to itself (TCP's simultaneous open). Nobody wants that.
  constexpr int kSelfConnectRetries = 3;
  for (int tries = 0;; ++tries) {
    sys::UniqueFd fd(sys::stream_socket(address.family()));
    if (fd.get() < 0) return fail_errno(-fd.release());
    if (auto r = sys::set_tcp_options(fd.get()); !r) return fail(r.error());
    const int started = sys::connect(fd.get(), address);
    if (started < 0 && started != -EINPROGRESS && started != -EINTR) return fail_errno(-started);
    // Only now: a socket that is not connecting yet polls as hung up, and that hint sticks.
    // From here on the Pollable owns the descriptor, and closes it on each way out but the last.
    auto pd = Pollable::open(fd.release());
    if (!pd) return fail(pd.error());
    pd->set_deadline(PollMode::write, limit);
    if (auto r = finish_connect(*pd); !r) return fail(r.error());
    if (sys::local_address(pd->fd()) == sys::peer_address(pd->fd())) {
      if (tries == kSelfConnectRetries) return fail_errno(ECONNREFUSED);
      continue;
    }
    pd->set_deadline(PollMode::write, Deadline::never());
    return std::unique_ptr<TcpConn>(new TcpConn(std::move(*pd), address, TcpConn::Kind::tcp));
  }
}

namespace {

using namespace std::chrono_literals;

// How long the first of `left` addresses may take, so that a dead one does not use up everything.
Deadline share_of(const Context& ctx, std::size_t left) {
  if (left <= 1) return Deadline::never();
  const Deadline whole = ctx.deadline();
  if (whole.is_never()) return Deadline::after(5s);
  return Deadline::after(
      std::max<Duration>(whole.remaining() / static_cast<std::int64_t>(left), 2s));
}

DialResult dial_each(const std::vector<SocketAddress>& addresses) {
  const Context ctx = current_context();
  std::error_code last = Errc::not_found;
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    if (auto ended = ctx.error()) return fail(ended);
    auto conn = Dialer::attempt(addresses[i], share_of(ctx, addresses.size() - i));
    if (conn) return conn;
    last = conn.error();
  }
  if (auto ended = ctx.error()) return fail(ended);
  return fail(last);
}

SocketAddress loopback(int family, std::uint16_t port) {
  const std::string host = family == AF_INET ? "127.0.0.1:" : "[::1]:";
  return *SocketAddress::parse(host + std::to_string(port));
}

bool is_wildcard(const SocketAddress& a) {
  switch (a.family()) {
    case AF_INET:
      return reinterpret_cast<const sockaddr_in*>(a.native())->sin_addr.s_addr == INADDR_ANY;
    case AF_INET6:
      return IN6_IS_ADDR_UNSPECIFIED(&reinterpret_cast<const sockaddr_in6*>(a.native())->sin6_addr);
    default: return false;
  }
}

}  // namespace

DialResult dial_tcp(const SocketAddress& address) {
  if (address.family() != AF_INET && address.family() != AF_INET6) return fail(Errc::invalid);
  if (is_wildcard(address))
    return dial_each({loopback(AF_INET, address.port()), loopback(AF_INET6, address.port())});
  return dial_each({address});
}

DialResult dial_tcp(std::string_view address) {
  if (const auto literal = SocketAddress::parse(address)) return dial_tcp(*literal);
  // "name:port": what the port is, the parser of addresses knows.
  const std::size_t colon = address.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return fail(Errc::invalid);
  const auto port = SocketAddress::parse(address.substr(colon));
  const std::string host(address.substr(0, colon));
  if (!port || host.find_first_of(std::string_view("[]:/ \0", 6)) != std::string::npos)
    return fail(Errc::invalid);
  const auto found = resolve(host, port->port());
  if (!found) return fail(found.error());
  return dial_each(*found);
}

}  // namespace treadle::net
