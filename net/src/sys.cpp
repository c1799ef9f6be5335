// System calls with their errno.
#include "sys.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <limits>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TREADLE_NET_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define TREADLE_NET_SANITIZED 1
#endif
#endif

namespace treadle::net::sys {
namespace {

constexpr std::size_t kMaxParts = 1024;  // IOV_MAX on Linux
constexpr std::uint64_t kLastOffset = std::numeric_limits<off_t>::max();

template <class T>
T or_errno(T result) noexcept {
  return result < 0 ? static_cast<T>(-errno) : result;
}

// These calls are cancellation points: in a process with threads each costs glibc two locked
// instructions, 1 % of a small request. No thread of ours is ever cancelled. Sanitizers have to see
// them.
#if TREADLE_NET_SANITIZED
ssize_t receive_some(int fd, void* into, std::size_t size) noexcept {
  return ::recv(fd, into, size, 0);
}
ssize_t send_some(int fd, const void* from, std::size_t size, int flags) noexcept {
  return ::send(fd, from, size, flags);
}
int accept_some(int listener, sockaddr* address, socklen_t* length, int flags) noexcept {
  return ::accept4(listener, address, length, flags);
}
int poll_now(pollfd* p) noexcept { return ::poll(p, 1, 0); }
#else
ssize_t receive_some(int fd, void* into, std::size_t size) noexcept {
  return ::syscall(SYS_recvfrom, fd, into, size, 0, nullptr, nullptr);
}
ssize_t send_some(int fd, const void* from, std::size_t size, int flags) noexcept {
  return ::syscall(SYS_sendto, fd, from, size, flags, nullptr, 0);
}
int accept_some(int listener, sockaddr* address, socklen_t* length, int flags) noexcept {
  return static_cast<int>(::syscall(SYS_accept4, listener, address, length, flags));
}
// Not every architecture has poll.
int poll_now(pollfd* p) noexcept {
  timespec none{};
  return static_cast<int>(::syscall(SYS_ppoll, p, 1, &none, nullptr, 0));
}
#endif

ssize_t send_parts(int fd, const iovec* parts, std::size_t count, int flags) noexcept {
  if (count == 1) return or_errno(send_some(fd, parts->iov_base, parts->iov_len, flags));
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(parts);  // only read from
  message.msg_iovlen = count;
  return or_errno(::sendmsg(fd, &message, flags));
}

}  // namespace

[[gnu::noinline]] ssize_t receive(int fd, std::span<std::byte> into) noexcept {
  return or_errno(receive_some(fd, into.data(), into.size()));
}

[[gnu::noinline]] ssize_t send(int fd, std::span<const iovec> parts, std::size_t offset,
                               int flags) noexcept {
  flags |= MSG_NOSIGNAL;
  if (offset == 0) return send_parts(fd, parts.data(), std::min(parts.size(), kMaxParts), flags);
  // After a partial write only: a few parts suffice, the socket's buffer is about full.
  std::array<iovec, 16> rest;
  const std::size_t count = std::min(parts.size(), rest.size());
  std::copy_n(parts.begin(), count, rest.begin());
  rest[0].iov_base = static_cast<std::byte*>(rest[0].iov_base) + offset;
  rest[0].iov_len -= offset;
  return send_parts(fd, rest.data(), count, flags);
}

[[gnu::noinline]] ssize_t read_at(int fd, std::span<std::byte> into,
                                  std::uint64_t offset) noexcept {
  if (offset > kLastOffset) return -EINVAL;
  return or_errno(::pread(fd, into.data(), into.size(), static_cast<off_t>(offset)));
}

[[gnu::noinline]] ssize_t read_cached(int fd, std::span<std::byte> into,
                                      std::uint64_t offset) noexcept {
  if (offset > kLastOffset) return -EINVAL;
  const iovec part{into.data(), into.size()};
  // As the C library passes it: the offset in two halves, of which 64-bit kernels take the first.
  return or_errno(::syscall(SYS_preadv2, fd, &part, 1, static_cast<long>(offset), 0, RWF_NOWAIT));
}

// There is no MSG_NOSIGNAL for sendfile: the runtime ignores SIGPIPE.
[[gnu::noinline]] ssize_t send_file(int to, int from, std::uint64_t offset,
                                    std::size_t count) noexcept {
  if (offset > kLastOffset) return -EINVAL;
  auto at = static_cast<off_t>(offset);
  return or_errno(::sendfile(to, from, &at, count));
}

[[gnu::noinline]] bool readable(int fd) noexcept {
  pollfd p{fd, POLLIN, 0};
  return poll_now(&p) != 0;
}

[[gnu::noinline]] Accepted accept(int listener) noexcept {
  sockaddr_storage remote;
  socklen_t length = sizeof remote;
  auto* address = reinterpret_cast<sockaddr*>(&remote);
  const int fd = or_errno(accept_some(listener, address, &length, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (fd < 0) return {fd, {}};
  return {fd, SocketAddress::from_native(address, length)};
}

[[gnu::noinline]] int connect(int fd, const SocketAddress& to) noexcept {
  return or_errno(::connect(fd, to.native(), to.native_size()));
}

[[gnu::noinline]] int take_socket_error(int fd) noexcept {
  int error = 0;
  socklen_t length = sizeof error;
  return ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0 ? errno : error;
}

[[gnu::noinline]] SocketAddress local_address(int fd) noexcept {
  sockaddr_storage address;
  socklen_t length = sizeof address;
  auto* native = reinterpret_cast<sockaddr*>(&address);
  if (::getsockname(fd, native, &length) < 0) return {};
  return SocketAddress::from_native(native, length);
}

[[gnu::noinline]] SocketAddress peer_address(int fd) noexcept {
  sockaddr_storage address;
  socklen_t length = sizeof address;
  auto* native = reinterpret_cast<sockaddr*>(&address);
  if (::getpeername(fd, native, &length) < 0) return {};
  return SocketAddress::from_native(native, length);
}

[[gnu::noinline]] int open(const std::string& path, int flags) noexcept {
  return or_errno(::open(path.c_str(), flags));
}

[[gnu::noinline]] int stat(int fd, struct stat& out) noexcept {
  return or_errno(::fstat(fd, &out));
}

[[gnu::noinline]] bool is_local(int fd) noexcept {
  struct statfs s{};
  if (::fstatfs(fd, &s) != 0) return false;
  switch (static_cast<std::uint32_t>(s.f_type)) {
    case EXT4_SUPER_MAGIC:  // ext2 and ext3, too
    case XFS_SUPER_MAGIC:
    case BTRFS_SUPER_MAGIC:
    case F2FS_SUPER_MAGIC:
    case TMPFS_MAGIC:
    case RAMFS_MAGIC:
    case OVERLAYFS_SUPER_MAGIC:
    case SQUASHFS_MAGIC:
    case EROFS_SUPER_MAGIC_V1: return true;
    default: return false;
  }
}

[[gnu::noinline]] int bind(int fd, const SocketAddress& address) noexcept {
  return or_errno(::bind(fd, address.native(), address.native_size()));
}

[[gnu::noinline]] int bind_and_listen(int fd, const SocketAddress& address, int backlog) noexcept {
  if (const int r = bind(fd, address); r < 0) return r;
  return or_errno(::listen(fd, backlog));
}

[[gnu::noinline]] int stream_socket(int family) noexcept {
  return or_errno(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

void reset_on_close(int fd) noexcept {
  const linger none{.l_onoff = 1, .l_linger = 0};
  (void)::setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
}

[[gnu::noinline]] int shutdown_write(int fd) noexcept { return or_errno(::shutdown(fd, SHUT_WR)); }

[[gnu::noinline]] Result<void> set_option(int fd, int level, int name, int value) {
  if (::setsockopt(fd, level, name, &value, sizeof value) < 0) return fail_errno(errno);
  return {};
}

[[gnu::noinline]] int get_option(int fd, int level, int name) noexcept {
  int value = 0;
  socklen_t length = sizeof value;
  return ::getsockopt(fd, level, name, &value, &length) < 0 ? -errno : value;
}

Result<void> set_tcp_options(int fd, Duration keep_alive) {
  if (auto r = set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1); !r) return r;
  if (auto r = set_option(fd, SOL_SOCKET, SO_OOBINLINE, 1); !r) return r;
  return set_keep_alive(fd, keep_alive);
}

Result<void> set_keep_alive(int fd, Duration silence) {
  constexpr std::chrono::seconds kLongest(32767);  // the kernel's limit
  if (silence == Duration::zero()) return set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 0);
  const auto wait = std::chrono::ceil<std::chrono::seconds>(silence);
  const int seconds = static_cast<int>(std::min(wait, kLongest).count());
  if (auto r = set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1); !r) return r;
  if (auto r = set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, seconds); !r) return r;
  return set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, seconds);
}

[[gnu::noinline]] bool is_tcp(int fd) noexcept {
  return get_option(fd, SOL_SOCKET, SO_PROTOCOL) == IPPROTO_TCP;
}

bool has_congestion_control(int fd, std::string_view name) noexcept {
  std::array<char, 16> buffer{};  // TCP_CA_NAME_MAX; it ends with zeros
  socklen_t length = buffer.size();
  if (::getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, buffer.data(), &length) < 0) return false;
  const std::string_view got(buffer.data(), length);
  return got.substr(0, got.find('\0')) == name;
}

UniqueFd::~UniqueFd() {
  if (fd_ >= 0) ::close(fd_);
}

}  // namespace treadle::net::sys
