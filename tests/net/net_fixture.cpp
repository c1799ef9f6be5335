#include "net/net_fixture.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <map>
#include <mutex>
#include <random>
#include <string>
#include <system_error>
#include <tuple>
#include <vector>

namespace treadle::test {
namespace {

[[noreturn]] void throw_errno(const char* what) {
  throw std::system_error(errno, std::system_category(), what);
}

int make_socket(const PairOptions& options, int flags) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
  if (fd < 0) throw_errno("socket");
  if (options.send_buffer > 0)
    ::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &options.send_buffer, sizeof(int));
  if (options.receive_buffer > 0)
    ::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &options.receive_buffer, sizeof(int));
  return fd;
}

sockaddr_in loopback(std::uint32_t host) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(0x7f000000u | host);
  return address;
}

// The listener that pairs with these options come from; one for the life of the process.
struct PairListener {
  int fd = -1;
  sockaddr_in address{};
};

PairListener& pair_listener(const PairOptions& options) {
  static std::map<std::tuple<int, int, std::string>, PairListener> all;
  const std::string& control = options.congestion_control;
  PairListener& listener = all[{options.send_buffer, options.receive_buffer, control}];
  if (listener.fd >= 0) return listener;
  // The buffers' sizes are set before the handshake, which fixes the window's scale.
  const int fd = make_socket(options, SOCK_NONBLOCK);
  if (!control.empty() && ::setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, control.data(),
                                       static_cast<socklen_t>(control.size())) < 0) {
    const std::system_error none(errno, std::system_category(), "TCP_CONGESTION " + control);
    ::close(fd);
    throw none;
  }
  listener.address = loopback(1);
  auto* native = reinterpret_cast<sockaddr*>(&listener.address);
  socklen_t length = sizeof listener.address;
  if (::bind(fd, native, length) < 0 || ::listen(fd, 1) < 0 ||
      ::getsockname(fd, native, &length) < 0)
    throw_errno("listening");
  listener.fd = fd;
  return listener;
}

}  // namespace

TcpPair make_tcp_pair(const PairOptions& options) {
  static std::mutex mutex;  // guards pair_listener(), and that each accepts its own
  static std::uint32_t source = std::random_device()();
  int client = -1;
  int server = -1;
  {
    const std::lock_guard lock(mutex);
    const PairListener& listener = pair_listener(options);
    client = make_socket(options, SOCK_NONBLOCK);
    // Each pair leaves a port behind in TIME_WAIT for a minute. Tests make thousands of them, so
    // each comes from an address of its own in 127.0.0.0/8.
    const sockaddr_in from = loopback(0x10000 + (source++ & 0x7fffff));
    const int one = 1;
    ::setsockopt(client, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    if (::bind(client, reinterpret_cast<const sockaddr*>(&from), sizeof from) < 0)
      throw_errno("bind");
    const auto* to = reinterpret_cast<const sockaddr*>(&listener.address);
    if (::connect(client, to, sizeof listener.address) < 0 && errno != EINPROGRESS)
      throw_errno("connect");
    pollfd ready{listener.fd, POLLIN, 0};
    ::poll(&ready, 1, 5000);
    server = ::accept4(listener.fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (server < 0) throw_errno("accept");
  }
  auto adopt = [](int fd) {
    auto conn = net::TcpConn::adopt(fd, {});
    if (!conn) throw std::system_error(conn.error(), "adopt");
    return std::move(*conn);
  };
  TcpPair pair;
  pair.client = adopt(client);
  pair.server = adopt(server);
  return pair;
}

net::Listener make_listener() {
  auto listener = net::listen_tcp("127.0.0.1:0");
  if (!listener) throw std::system_error(listener.error(), "listen_tcp");
  return std::move(*listener);
}

std::string pattern(std::size_t size, std::uint32_t seed) {
  std::string out(size, '\0');
  std::uint32_t x = seed * 2654435761u + 1;
  for (char& c : out) {
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    c = static_cast<char>(x);
  }
  return out;
}

std::string read_exactly(net::Conn& conn, std::size_t n, std::size_t buffer) {
  std::string out;
  std::string room(buffer, '\0');
  while (out.size() < n) {
    const auto got =
        conn.read(std::as_writable_bytes(std::span(room)).first(std::min(buffer, n - out.size())));
    if (!got || *got == 0) {
      ADD_FAILURE() << (got ? "end of the stream" : got.error().message()) << " after "
                    << out.size() << " of " << n << " bytes";
      break;
    }
    out.append(room, 0, *got);
  }
  return out;
}

std::string read_all(net::Conn& conn, std::size_t buffer) {
  std::string out;
  std::string room(buffer, '\0');
  for (;;) {
    const auto got = conn.read(std::as_writable_bytes(std::span(room)));
    if (!got) ADD_FAILURE() << got.error().message() << " after " << out.size() << " bytes";
    if (!got || *got == 0) return out;
    out.append(room, 0, *got);
  }
}

std::size_t fill(net::Conn& conn) {
  // A deadline that has passed fails before the first system call, so each attempt gets a moment.
  const std::string piece = pattern(64 * 1024);
  std::size_t total = 0;
  for (;;) {
    conn.set_write_deadline(Deadline::after(std::chrono::milliseconds(50)));
    const auto wrote = conn.write_all(piece);
    total += wrote.written;
    if (!wrote) break;
  }
  conn.set_write_deadline(Deadline::never());
  return total;
}

}  // namespace treadle::test
