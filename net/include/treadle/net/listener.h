// Listener: takes connections.
//
//   auto listener = treadle::net::listen_tcp(":7000");
//   while (auto conn = listener->accept())
//     treadle::go([c = std::shared_ptr(std::move(*conn))] { serve(*c); });
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include <treadle/net/addr.h>
#include <treadle/result.h>

namespace treadle::net {

class TcpConn;

struct ListenOptions {
  int backlog = 4096;       // the kernel caps it at net.core.somaxconn
  bool reuse_port = false;  // SO_REUSEPORT; it also hides a busy port
};

// A listening TCP socket, level-triggered in effect: accept errors that pass (ECONNABORTED and the
// like) are skipped, and EMFILE, ENFILE, ENOBUFS, ENOMEM are waited out with a growing pause of at
// most a second, logged once a second at most.
class Listener {
 public:
  Listener(Listener&&) noexcept;
  Listener& operator=(Listener&&) noexcept;
  ~Listener();

  // The next connection. Parks the calling G; several goroutines must not accept at once.
  // Honours the current Context. Errors: closed, canceled, timed_out.
  [[nodiscard]] Result<std::unique_ptr<TcpConn>> accept();
  // A connection that has come already; nullptr when there is none. Never parks. Errors: as
  // accept(), and EMFILE and its like, which it cannot wait out.
  [[nodiscard]] Result<std::unique_ptr<TcpConn>> try_accept();

  // Wakes accept() with `closed`. Idempotent; any thread. Never parks.
  void close() noexcept;
  SocketAddress address() const;  // with the real port when 0 was asked for

 private:
  friend Result<Listener> listen_tcp(const SocketAddress&, const ListenOptions&);
  struct Impl;
  enum class Known : std::uint8_t { nothing, readable };
  explicit Listener(std::unique_ptr<Impl> impl) noexcept;
  Result<std::unique_ptr<TcpConn>> attempt(Known known);

  std::unique_ptr<Impl> impl_;
};

// Binds and listens. Errors: the system's (EADDRINUSE, EACCES, EADDRNOTAVAIL), `invalid`.
// Never parks; any thread.
[[nodiscard]] Result<Listener> listen_tcp(const SocketAddress& address,
                                          const ListenOptions& options = {});
[[nodiscard]] Result<Listener> listen_tcp(std::string_view address,
                                          const ListenOptions& options = {});

}  // namespace treadle::net
