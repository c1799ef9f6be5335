// Listening sockets: made, or taken over from whoever started this process.
#include <treadle/net/listen_socket.h>

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "sys.h"

namespace treadle::net {
namespace {

bool is_ipv6_wildcard(const SocketAddress& a) noexcept {
  return a.family() == AF_INET6 &&
         IN6_IS_ADDR_UNSPECIFIED(&reinterpret_cast<const sockaddr_in6*>(a.native())->sin6_addr);
}

SocketAddress ipv4_wildcard(std::uint16_t port) noexcept {
  sockaddr_in in{};
  in.sin_family = AF_INET;
  in.sin_port = htons(port);
  return SocketAddress::from_native(reinterpret_cast<const sockaddr*>(&in), sizeof in);
}

Result<sys::UniqueFd> bind_tcp(const SocketAddress& address, const ListenOptions& options) {
  sys::UniqueFd fd(sys::stream_socket(address.family()));
  if (fd.get() < 0) return fail_errno(-fd.release());
  // Without SO_REUSEADDR a server could not start again while its old connections are in TIME_WAIT.
  if (auto r = sys::set_option(fd.get(), SOL_SOCKET, SO_REUSEADDR, 1); !r) return fail(r.error());
  if (options.reuse_port)
    if (auto r = sys::set_option(fd.get(), SOL_SOCKET, SO_REUSEPORT, 1); !r) return fail(r.error());
  if (is_ipv6_wildcard(address))
    if (auto r = sys::set_option(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, 0); !r)
      return fail(r.error());
  if (auto r = sys::set_tcp_options(fd.get(), options.keep_alive); !r) return fail(r.error());
  if (const int r = sys::bind_and_listen(fd.get(), address, options.backlog); r < 0)
    return fail_errno(-r);
  return fd;
}

// The file a Unix address stands for; empty for the abstract space.
std::string file_of(const SocketAddress& address) {
  if (address.family() != AF_UNIX) return {};
  std::string path = address.host();
  return path.starts_with('@') ? std::string() : path;
}

bool is_socket(const std::string& path, struct stat& out) noexcept {
  return ::lstat(path.c_str(), &out) == 0 && S_ISSOCK(out.st_mode);
}

// Removes what a server that died has left: a socket's file, on which nobody listens. The connect
// does not wait: a full backlog belongs to somebody. Another server that has bound and does not
// listen yet looks dead, too; two that start at one moment at one path are not told apart.
void remove_stale(const SocketAddress& address, const std::string& path) {
  struct stat file;
  if (!is_socket(path, file)) return;
  const sys::UniqueFd probe(sys::stream_socket(AF_UNIX));
  if (probe.get() < 0 || sys::connect(probe.get(), address) != -ECONNREFUSED) return;
  struct stat now;
  if (is_socket(path, now) && now.st_dev == file.st_dev && now.st_ino == file.st_ino)
    ::unlink(path.c_str());
}

}  // namespace

SocketFile::SocketFile(std::string path) {
  struct stat now;
  if (path.empty() || !is_socket(path, now)) return;
  path_ = std::move(path);
  device_ = now.st_dev;
  inode_ = now.st_ino;
}

SocketFile::SocketFile(SocketFile&& o) noexcept
    : path_(std::exchange(o.path_, {})), device_(o.device_), inode_(o.inode_) {}

SocketFile& SocketFile::operator=(SocketFile&& o) noexcept {
  SocketFile taken(std::move(o));
  std::swap(path_, taken.path_);
  std::swap(device_, taken.device_);
  std::swap(inode_, taken.inode_);
  return *this;
}

void SocketFile::remove() noexcept {
  struct stat now;
  if (!path_.empty() && is_socket(path_, now) && now.st_dev == device_ && now.st_ino == inode_)
    ::unlink(path_.c_str());
  path_.clear();
}

Result<void> SocketFile::give_to(uid_t user, gid_t group) const {
  if (path_.empty()) return {};
  if (::lchown(path_.c_str(), user, group) < 0) return fail_errno(errno);
  return {};
}

ListenSocket::ListenSocket(ListenSocket&& o) noexcept
    : fd_(std::exchange(o.fd_, -1)), address_(o.address_), file_(std::move(o.file_)) {}

ListenSocket& ListenSocket::operator=(ListenSocket&& o) noexcept {
  ListenSocket taken(std::move(o));
  std::swap(fd_, taken.fd_);
  std::swap(address_, taken.address_);
  std::swap(file_, taken.file_);
  return *this;
}

// The file goes first, while the socket still listens: nobody takes it for a stale one meanwhile.
ListenSocket::~ListenSocket() {
  file_.remove();
  if (fd_ >= 0) ::close(fd_);
}

Result<ListenSocket> ListenSocket::open_tcp(const SocketAddress& address,
                                            const ListenOptions& options) {
  auto fd = bind_tcp(address, options);
  // A system without IPv6 still has every address it can have.
  if (!fd && is_ipv6_wildcard(address) &&
      (fd.error() == std::errc::address_family_not_supported ||
       fd.error() == std::errc::address_not_available))
    fd = bind_tcp(ipv4_wildcard(address.port()), options);
  if (!fd) return fail(fd.error());
  const SocketAddress local = sys::local_address(fd->get());
  return ListenSocket(fd->release(), local);
}

// The mode is set between bind and listen: before that nobody can connect, whatever the file says.
Result<ListenSocket> ListenSocket::open_unix(const SocketAddress& address,
                                             const ListenOptions& options) {
  const int made = sys::stream_socket(AF_UNIX);
  if (made < 0) return fail_errno(-made);
  ListenSocket socket(made, address);
  const std::string path = file_of(address);
  int bound = sys::bind(made, address);
  if (bound == -EADDRINUSE && !path.empty()) {
    remove_stale(address, path);
    bound = sys::bind(made, address);
  }
  if (bound < 0) return fail_errno(-bound);
  if (!path.empty()) {
    socket.file_ = SocketFile(path);
    if (::chmod(path.c_str(), options.unix_mode) < 0) return fail_errno(errno);
  }
  if (::listen(made, options.backlog) < 0) return fail_errno(errno);
  return socket;
}

Result<ListenSocket> ListenSocket::open(const SocketAddress& address,
                                        const ListenOptions& options) {
  switch (address.family()) {
    case AF_INET:
    case AF_INET6: return open_tcp(address, options);
    case AF_UNIX: return open_unix(address, options);
    default: return fail(Errc::invalid);
  }
}

Result<ListenSocket> ListenSocket::open(std::string_view address, const ListenOptions& options) {
  const auto parsed = SocketAddress::parse(address);
  if (!parsed) return fail(parsed.error());
  return open(*parsed, options);
}

Result<ListenSocket> ListenSocket::adopt(int fd, const ListenOptions& options) {
  sys::UniqueFd owned(fd);
  const int type = sys::get_option(fd, SOL_SOCKET, SO_TYPE);
  if (type < 0) return fail_errno(-type);
  if (type != SOCK_STREAM || sys::get_option(fd, SOL_SOCKET, SO_ACCEPTCONN) != 1)
    return fail_errno(EINVAL);
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
      ::fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
    return fail_errno(errno);
  const SocketAddress local = sys::local_address(fd);
  if (sys::is_tcp(fd)) {
    if (auto r = sys::set_tcp_options(fd, options.keep_alive); !r) return fail(r.error());
  } else if (local.family() != AF_UNIX) {
    return fail_errno(EINVAL);
  }
  return ListenSocket(owned.release(), local);
}

}  // namespace treadle::net
