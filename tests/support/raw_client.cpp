#include "support/raw_client.h"

#include <fmt/core.h>
#include <gtest/gtest.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <sched.h>
#include <algorithm>
#include <cerrno>
#include <cstring>

#include <treadle/blocking.h>
#include <treadle/timer.h>

namespace treadle::test {
namespace {

// The end of what came, for messages.
std::string tail(const std::string& bytes) {
  constexpr std::size_t kShown = 300;
  if (bytes.size() <= kShown) return bytes;
  return fmt::format("... ({} bytes before) {}", bytes.size() - kShown,
                     bytes.substr(bytes.size() - kShown));
}

// True when the socket is ready before `limit`.
bool poll_until(int fd, short events, Deadline limit) {
  return blocking_long([&] {
    for (;;) {
      pollfd p{fd, events, 0};
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(limit.remaining());
      const int n = ::poll(&p, 1, static_cast<int>(left.count()));
      if (n > 0) return true;
      if (n == 0 && limit.passed()) return false;
    }
  });
}

// connect() itself blocks no longer than the handshake with 127.0.0.1, or with a full backlog.
int connect_to(std::uint16_t port, const RawClient::Options& options) {
  return blocking_long([&] {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    const int one = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    // Before the connection, or the window is scaled for the usual size.
    if (options.receive_buffer > 0)
      ::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &options.receive_buffer, sizeof(int));
    if (options.send_buffer > 0)
      ::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &options.send_buffer, sizeof(int));
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) < 0) {
      const int error = errno;
      ::close(fd);
      return -error;
    }
    return fd;
  });
}

ssize_t receive(int fd, char* into, std::size_t size) {
  const ssize_t n = ::recv(fd, into, size, MSG_DONTWAIT);
  return n < 0 ? -errno : n;
}

ssize_t transmit(int fd, std::string_view bytes, int flags) {
  const ssize_t n = ::send(fd, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL | flags);
  return n < 0 ? -errno : n;
}

}  // namespace

RawClient::RawClient(std::uint16_t port) : RawClient(port, Options()) {}

RawClient::RawClient(std::uint16_t port, const Options& options) : options_(options) {
  const int fd = connect_to(port, options);
  if (fd < 0)
    ADD_FAILURE() << "connecting to 127.0.0.1:" << port << ": " << std::strerror(-fd);
  else
    fd_ = fd;
}

RawClient::RawClient(RawClient&& o) noexcept
    : fd_(std::exchange(o.fd_, -1)),
      options_(o.options_),
      buffer_(std::move(o.buffer_)),
      reset_(o.reset_) {}

RawClient& RawClient::operator=(RawClient&& o) noexcept {
  std::swap(fd_, o.fd_);
  std::swap(options_, o.options_);
  std::swap(buffer_, o.buffer_);
  std::swap(reset_, o.reset_);
  return *this;
}

RawClient::~RawClient() { close(); }

std::uint16_t RawClient::local_port() const {
  sockaddr_in address{};
  socklen_t length = sizeof address;
  if (::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &length) < 0) return 0;
  return ntohs(address.sin_port);
}

bool RawClient::wait_for(short events, std::string_view what) {
  if (poll_until(fd_, events, Deadline::after(options_.timeout))) return true;
  ADD_FAILURE() << "timed out after " << options_.timeout.count() << " ms " << what << "; have "
                << buffer_.size() << " unread bytes: " << tail(buffer_);
  return false;
}

bool RawClient::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = transmit(fd_, bytes, 0);
    if (n >= 0) {
      bytes.remove_prefix(static_cast<std::size_t>(n));
    } else if (n == -EAGAIN) {
      if (!wait_for(POLLOUT, "sending")) return false;
    } else if (n != -EINTR) {
      if (n != -EPIPE && n != -ECONNRESET) ADD_FAILURE() << "send: " << std::strerror(int(-n));
      return false;
    }
  }
  return true;
}

bool RawClient::send_split(std::string_view bytes, std::span<const std::size_t> positions) {
  std::size_t begin = 0;
  for (std::size_t i = 0; i <= positions.size(); ++i) {
    const std::size_t end = i < positions.size() ? positions[i] : bytes.size();
    if (end <= begin) continue;
    if (!send(bytes.substr(begin, end - begin))) return false;
    begin = end;
    // Until the peer's kernel has it. That its program has read it cannot be seen from here; it
    // gets a chance to, and a P.
    const auto limit = Deadline::after(options_.timeout);
    const bool known = blocking_long([&] {
      for (int unacknowledged = 1; unacknowledged > 0 && !limit.passed();) {
        ::sched_yield();
        if (::ioctl(fd_, SIOCOUTQ, &unacknowledged) < 0) return false;
      }
      return true;
    });
    if (!known) return false;
  }
  return true;
}

bool RawClient::send_bytewise(std::string_view bytes) {
  std::vector<std::size_t> positions(bytes.size());
  for (std::size_t i = 0; i < bytes.size(); ++i) positions[i] = i;
  return send_split(bytes, positions);
}

bool RawClient::send_urgent(char byte) {
  for (;;) {
    const ssize_t n = transmit(fd_, {&byte, 1}, MSG_OOB);
    if (n == 1) return true;
    if (n == -EAGAIN && wait_for(POLLOUT, "sending an urgent byte")) continue;
    if (n != -EINTR) return false;
  }
}

RawClient::Io RawClient::fill() {
  if (fd_ < 0) return Io::end;
  const auto limit = Deadline::after(options_.timeout);
  for (;;) {
    char bytes[16384];
    const ssize_t n = receive(fd_, bytes, sizeof bytes);
    if (n > 0) {
      buffer_.append(bytes, static_cast<std::size_t>(n));
      return Io::ok;
    }
    if (n == 0) return Io::end;
    if (n == -ECONNRESET || n == -EPIPE) {
      reset_ = true;
      return Io::reset;
    }
    if (n == -EAGAIN && !poll_until(fd_, POLLIN, limit)) return Io::timeout;
  }
}

// False at the end of the stream, and for what is a failure of the test, which it reports.
bool RawClient::fill_or_fail(std::string_view what) {
  switch (fill()) {
    case Io::ok: return true;
    case Io::end:
      ADD_FAILURE() << "the peer closed " << what << "; have " << buffer_.size()
                    << " unread bytes: " << tail(buffer_);
      return false;
    case Io::reset:
      ADD_FAILURE() << "the peer reset " << what << "; have " << buffer_.size()
                    << " unread bytes: " << tail(buffer_);
      return false;
    case Io::timeout: break;
  }
  ADD_FAILURE() << "timed out after " << options_.timeout.count() << " ms " << what << "; have "
                << buffer_.size() << " unread bytes: " << tail(buffer_);
  return false;
}

std::string RawClient::take(std::size_t n) {
  std::string out = buffer_.substr(0, n);
  buffer_.erase(0, n);
  return out;
}

std::string RawClient::read_some(std::size_t most) {
  if (buffer_.empty() && fill() == Io::timeout)
    ADD_FAILURE() << "timed out after " << options_.timeout.count() << " ms reading";
  return take(most);
}

std::string RawClient::read_exactly(std::size_t n) {
  while (buffer_.size() < n)
    if (!fill_or_fail(fmt::format("while {} bytes were expected", n))) break;
  return take(n);
}

std::string RawClient::read_until(std::string_view mark) {
  for (;;) {
    const std::size_t at = buffer_.find(mark);
    if (at != std::string::npos) return take(at + mark.size());
    if (!fill_or_fail(fmt::format("before \"{}\" came", mark))) return take(buffer_.size());
  }
}

std::string RawClient::read_until_gone() {
  for (;;) {
    const Io io = fill();
    if (io == Io::timeout)
      ADD_FAILURE() << "timed out after " << options_.timeout.count()
                    << " ms waiting for the end of the stream; have " << buffer_.size()
                    << " bytes: " << tail(buffer_);
    if (io != Io::ok) return take(buffer_.size());
  }
}

std::string RawClient::read_until_close() {
  std::string all = read_until_gone();
  if (reset_) ADD_FAILURE() << "the peer reset after " << all.size() << " bytes: " << tail(all);
  return all;
}

bool RawClient::silent_for(std::chrono::milliseconds quiet) {
  return buffer_.empty() && !poll_until(fd_, POLLIN, Deadline::after(quiet));
}

bool RawClient::closed_by_peer() {
  for (;;) {
    const Io io = fill();
    buffer_.clear();
    if (io != Io::ok) return io != Io::timeout;
  }
}

void RawClient::shutdown_write() { ::shutdown(fd_, SHUT_WR); }

void RawClient::reset() {
  const linger now{1, 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  close();
}

void RawClient::close() {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

}  // namespace treadle::test
