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

// A socket that listens and that no poller knows yet. Making one does not start the runtime: a
// program can bind, give up its privileges, and only then have threads. Move-only; closed by its
// destructor.
//
// A Unix socket's file is removed when the socket is closed, if it still is the one that was made:
// see keep_file().
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
  // non-blocking and CLOEXEC and gets the options; a Unix socket's file stays when it is closed.
  // Closes it on failure. Errors: ENOTSOCK; EINVAL for one that does not listen or is no stream
  // socket. Never blocks; any thread.
  [[nodiscard]] static Result<ListenSocket> adopt(int fd, const ListenOptions& options = {});

  ListenSocket(ListenSocket&& o) noexcept;
  ListenSocket& operator=(ListenSocket&& o) noexcept;
  ~ListenSocket();

  int fd() const noexcept { return fd_; }
  SocketAddress address() const noexcept { return address_; }  // with the real port
  // From now on closing leaves a Unix socket's file where it is: another process listens on it.
  void keep_file() noexcept { file_.path.clear(); }
  // From now on closing removes a Unix socket's file if it is the one there is now.
  void own_file();
  bool owns_file() const noexcept { return !file_.path.empty(); }
  // Gives a Unix socket's file to that user and group. Nothing for other sockets.
  Result<void> give_file_to(uid_t user, gid_t group) const;

 private:
  friend class Listener;
  // A socket's file, known again by these numbers. No path: none to remove.
  struct File {
    std::string path;
    dev_t device = 0;
    ino_t inode = 0;
    void remove() noexcept;
  };
  ListenSocket(int fd, const SocketAddress& address) noexcept : fd_(fd), address_(address) {}
  static Result<ListenSocket> open_tcp(const SocketAddress& address, const ListenOptions& options);
  static Result<ListenSocket> open_unix(const SocketAddress& address, const ListenOptions& options);

  int fd_ = -1;
  SocketAddress address_;
  File file_;
};

}  // namespace treadle::net
