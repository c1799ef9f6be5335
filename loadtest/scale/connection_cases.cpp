// Connections over loopback, each with a goroutine that waits for bytes.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <treadle/go.h>
#include <treadle/net/tcp.h>

#include <algorithm>
#include <array>
#include <memory>
#include <numeric>

#include "scale.h"

namespace scale {

namespace {

namespace net = treadle::net;
using instructions::give_up;

// Requests under way at a time: they share an epoll_wait, as a server's do.
constexpr std::int64_t kBatch = 16;
constexpr std::int64_t kOtherDescriptors = 64;

// The far ends of n connections. There are fewer than n where the limit on descriptors does not let
// one process hold both ends of all: the rest stay unaccepted behind the listener, and idle.
struct Connections {
  std::vector<int> far{};
  std::vector<std::size_t> order{};  // of those to ask, mixed
  std::size_t next = 0;
  std::int64_t left = 0;  // answers of the batch under way
  treadle::rt::G* asks = nullptr;

  // Bytes to the next kBatch of them, and back again. The calling goroutine waits meanwhile.
  void ask_some();
};

void Connections::ask_some() {
  std::array<int, kBatch> asked{};
  {
    const instructions::NotCounted client;
    for (int& fd : asked) {
      if (next == order.size()) next = 0;
      fd = far[order[next++]];
      if (::send(fd, "x", 1, MSG_NOSIGNAL) != 1) give_up("send failed");
    }
  }
  left = kBatch;
  park(asks);
  const instructions::NotCounted client;
  char byte = 0;
  for (const int fd : asked)
    if (::recv(fd, &byte, 1, MSG_DONTWAIT) != 1) give_up("a connection gave no answer");
}

void serve(net::Conn& conn, Connections& all) {
  std::array<std::byte, 64> buffer;
  for (;;) {
    const auto n = conn.read(buffer);
    if (!n || *n == 0) give_up("a connection was lost");
    if (!conn.write_all(std::span<const std::byte>(buffer).first(*n))) give_up("write failed");
    if (--all.left == 0) ready(all.asks);
  }
}

int listen_on_loopback(sockaddr_in& address) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (fd < 0 || ::bind(fd, generic, size) != 0 || ::listen(fd, 1024) != 0 ||
      ::getsockname(fd, generic, &size) != 0)
    give_up("cannot listen on 127.0.0.1");
  return fd;
}

std::int64_t descriptors() {
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
  return static_cast<std::int64_t>(files.rlim_cur) - kOtherDescriptors;
}

std::unique_ptr<net::TcpConn> connect_to(const sockaddr_in& address) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::fcntl(fd, F_SETFL, O_NONBLOCK) != 0)
    give_up("cannot connect over loopback");
  auto conn = net::TcpConn::adopt(fd, net::SocketAddress());
  if (!conn) give_up("cannot adopt a connection: " + conn.error().message());
  return std::move(*conn);
}

// Ends with a reset: ten thousand ports are free again at once.
int accept_from(int listener) {
  const int fd = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
  const linger at_once{1, 0};
  if (fd < 0 || ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once) != 0)
    give_up("cannot accept over loopback");
  return fd;
}

Body read_and_write(std::int64_t n) {
  auto all = std::make_shared<Connections>();
  const std::int64_t both_ends = std::min(n, descriptors() - n);
  if (both_ends < kBatch) give_up("the limit on descriptors is too low for so many connections");
  sockaddr_in address{};
  const int listener = listen_on_loopback(address);
  for (std::int64_t i = 0; i < n; ++i) {
    treadle::go([conn = std::shared_ptr(connect_to(address)), all] { serve(*conn, *all); });
    if (i < both_ends) all->far.push_back(accept_from(listener));
    treadle::gosched();  // it waits for its bytes now
  }
  all->order.resize(all->far.size());
  std::iota(all->order.begin(), all->order.end(), std::size_t{0});
  std::ranges::shuffle(all->order, std::minstd_rand(42));
  return [all](std::int64_t count) {
    for (std::int64_t done = 0; done < count; done += kBatch) all->ask_some();
  };
}

}  // namespace

std::vector<Case> connection_cases() {
  return {{"connection", "read a byte from one of n connections and write it back", 10'000, true,
           &read_and_write}};
}

}  // namespace scale
