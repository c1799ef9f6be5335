#include "net/net_fixture.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
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

}  // namespace

TcpPair make_tcp_pair(const PairOptions& options) {
  // The buffers' sizes are set before the handshake, which fixes the window's scale.
  const int listener = make_socket(options, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto* native = reinterpret_cast<sockaddr*>(&address);
  socklen_t length = sizeof address;
  if (::bind(listener, native, length) < 0 || ::listen(listener, 1) < 0 ||
      ::getsockname(listener, native, &length) < 0)
    throw_errno("listening");
  const int client = make_socket(options, SOCK_NONBLOCK);
  if (::connect(client, native, length) < 0 && errno != EINPROGRESS) throw_errno("connect");
  const int server = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (server < 0) throw_errno("accept");
  ::close(listener);
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

net::TcpListener make_listener() {
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
