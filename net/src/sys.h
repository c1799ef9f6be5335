// System calls that are repeated around a park, each with its errno already read.
#pragma once

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <treadle/net/addr.h>
#include <treadle/result.h>
#include <treadle/timer.h>

// A goroutine may resume from a park on another thread, and compilers may keep errno's address over
// it: __errno_location is declared const. So no function that parks touches errno. These do, never
// park, and are never inlined into one that does. They return what the call returns, or -errno.
namespace treadle::net::sys {

ssize_t receive(int fd, std::span<std::byte> into) noexcept;
// Sends from parts[0] + offset on, as much as the socket takes; parts[0] is longer than offset.
// `flags` are send(2)'s; no signal comes in any case.
ssize_t send(int fd, std::span<const iovec> parts, std::size_t offset, int flags) noexcept;
ssize_t read_at(int fd, std::span<std::byte> into, std::uint64_t offset) noexcept;
// The same, from the page cache only and thus promptly: fewer bytes than are there, or -EAGAIN,
// when the disk would have to be waited for. -EOPNOTSUPP where the file system does not say.
ssize_t read_cached(int fd, std::span<std::byte> into, std::uint64_t offset) noexcept;
ssize_t send_file(int to, int from, std::uint64_t offset, std::size_t count) noexcept;

// True when a read, or an accept, has something to say: data, the end, an error.
bool readable(int fd) noexcept;

struct Accepted {
  int fd = -1;  // or -errno
  SocketAddress remote;
};
Accepted accept(int listener) noexcept;

int connect(int fd, const SocketAddress& to) noexcept;
int take_socket_error(int fd) noexcept;  // SO_ERROR, as a positive errno; 0 when there is none
SocketAddress local_address(int fd) noexcept;
SocketAddress peer_address(int fd) noexcept;  // unspecified while not connected

int bind(int fd, const SocketAddress& address) noexcept;
int bind_and_listen(int fd, const SocketAddress& address, int backlog) noexcept;
int open(const std::string& path, int flags) noexcept;
int stat(int fd, struct stat& out) noexcept;
// Whether the file system is known to keep the inode of an open file in memory: no network's.
bool is_local(int fd) noexcept;
int stream_socket(int family) noexcept;  // non-blocking, CLOEXEC
int shutdown_write(int fd) noexcept;
void reset_on_close(int fd) noexcept;

// What TcpConn promises of its sockets. A listener's accepted sockets inherit all of it, which
// saves five calls a connection.
inline constexpr Duration kKeepAlive = std::chrono::seconds(15);
Result<void> set_tcp_options(int fd, Duration keep_alive = kKeepAlive);
// As ListenOptions::keep_alive.
Result<void> set_keep_alive(int fd, Duration silence);
Result<void> set_option(int fd, int level, int name, int value);
int get_option(int fd, int level, int name) noexcept;  // -errno on failure
bool is_tcp(int fd) noexcept;
bool has_congestion_control(int fd, std::string_view name) noexcept;  // false on failure

// Owns a descriptor until it is released.
class UniqueFd {
 public:
  explicit UniqueFd(int fd) noexcept : fd_(fd) {}
  UniqueFd(UniqueFd&& o) noexcept : fd_(o.release()) {}
  UniqueFd& operator=(UniqueFd o) noexcept {
    std::swap(fd_, o.fd_);
    return *this;
  }
  ~UniqueFd();
  int get() const noexcept { return fd_; }
  int release() noexcept { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

}  // namespace treadle::net::sys
