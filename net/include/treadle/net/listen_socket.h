// ListenSocket: a listening socket before there is a runtime.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>
#include <string_view>

#include <treadle/net/addr.h>
#include <treadle/result.h>
#include <treadle/timer.h>

namespace treadle::net {

struct ListenOptions {
  int backlog = 4096;       // the kernel caps it at net.core.somaxconn
  bool reuse_port = false;  // SO_REUSEPORT; it also hides a busy port
  // Silence after which TCP probes whether an accepted connection's peer is still there, in whole
  // seconds, rounded up, 32,767 at most. 0: never.
  Duration keep_alive = std::chrono::seconds(15);
  mode_t unix_mode = 0660;  // of a Unix socket's file: who may write to it may connect
};

// The file of a Unix socket. The destructor removes it, if it is the one there was when this was
// made. Move-only.
class SocketFile {
 public:
  SocketFile() noexcept = default;  // none
  // Nothing when there is no socket's file at the path now. Blocks for a moment, as all here.
  explicit SocketFile(std::string path);
  SocketFile(SocketFile&& o) noexcept;
  SocketFile& operator=(SocketFile&& o) noexcept;
  ~SocketFile() { remove(); }

  explicit operator bool() const noexcept { return !path_.empty(); }
  void remove() noexcept;                               // now; nothing is left to the destructor
  void keep() noexcept { path_.clear(); }               // it stays
  Result<void> give_to(uid_t user, gid_t group) const;  // nothing when there is none

 private:
  std::string path_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

// A socket that listens and that no poller knows yet. Making one does not start the runtime: a
// program can bind, give up its privileges, and only then have threads. Move-only; closed by its
// destructor, which removes a Unix socket's file too.
class ListenSocket {
 public:
  // Binds and listens: "1.2.3.4:80", "[::1]:80", ":80" (every address), "unix:/path", "unix:@name".
  // A file left at a Unix socket's path is removed first if it is a socket and nobody listens on
  // it. Errors: the system's (EADDRINUSE, EACCES, EADDRNOTAVAIL), `invalid`; EADDRINUSE, too, where
  // something other than a socket stands at the path. Blocks for a moment; any thread.
  [[nodiscard]] static Result<ListenSocket> open(std::string_view address,
                                                 const ListenOptions& options = {});
  [[nodiscard]] static Result<ListenSocket> open(const SocketAddress& address,
                                                 const ListenOptions& options = {});
  // Takes over a descriptor that listens already, from whoever started this process. It becomes
  // non-blocking and CLOEXEC and gets the options; a Unix socket's file is not ours. Closes it on
  // failure. Errors: ENOTSOCK; EINVAL for one that does not listen or is no stream socket. Never
  // blocks; any thread.
  [[nodiscard]] static Result<ListenSocket> adopt(int fd, const ListenOptions& options = {});

  ListenSocket(ListenSocket&& o) noexcept;
  ListenSocket& operator=(ListenSocket&& o) noexcept;
  ~ListenSocket();

  int fd() const noexcept { return fd_; }
  SocketAddress address() const noexcept { return address_; }  // with the real port
  // A Unix socket's file, if it is to be removed; take it out to remove it, or not, at another
  // time.
  SocketFile& file() noexcept { return file_; }

 private:
  friend class Listener;
  ListenSocket(int fd, const SocketAddress& address) noexcept : fd_(fd), address_(address) {}
  static Result<ListenSocket> open_tcp(const SocketAddress& address, const ListenOptions& options);
  static Result<ListenSocket> open_unix(const SocketAddress& address, const ListenOptions& options);

  int fd_ = -1;
  SocketAddress address_;
  SocketFile file_;
};

}  // namespace treadle::net
