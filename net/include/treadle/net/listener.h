// Listener: takes connections.
//
//   auto listener = treadle::net::listen(":7000");   // or "unix:/run/echo.sock"
//   while (auto conn = listener->accept())
//     treadle::go([c = std::shared_ptr(std::move(*conn))] { serve(*c); });
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string_view>

#include <treadle/net/addr.h>
#include <treadle/net/listen_socket.h>
#include <treadle/result.h>
#include <treadle/timer.h>

namespace treadle::net {

class TcpConn;

// A listening stream socket, level-triggered in effect: accept errors that pass (ECONNABORTED and
// the like) are skipped, and EMFILE, ENFILE, ENOBUFS, ENOMEM are waited out with a growing pause of
// at most a second, logged once a second at most.
class Listener {
 public:
  // Puts a socket on the poller. Never parks; any thread.
  [[nodiscard]] static Result<Listener> adopt(ListenSocket socket);
  // ListenSocket::adopt(), then the above.
  [[nodiscard]] static Result<Listener> adopt(int fd, const ListenOptions& options = {});
  Listener(Listener&&) noexcept;
  Listener& operator=(Listener&&) noexcept;
  ~Listener();

  // The next connection. Parks the calling G; several goroutines must not accept at once.
  // Honours the current Context. Errors: closed, canceled, timed_out.
  [[nodiscard]] Result<std::unique_ptr<TcpConn>> accept();
  // A connection that has come already; nullptr when there is none. Never parks. Errors: as
  // accept(), and EMFILE and its like, which it cannot wait out.
  [[nodiscard]] Result<std::unique_ptr<TcpConn>> try_accept();

  // ListenOptions::keep_alive, for connections accepted from now on. Never parks; any thread.
  // Errors: closed.
  Result<void> set_keep_alive(Duration silence);

  // Wakes accept() with `closed`, and removes a Unix socket's file if it is ours. Connections that
  // wait in the backlog are reset. Idempotent; any thread. Never parks.
  void close() noexcept;
  SocketAddress address() const;  // with the real port when 0 was asked for

 private:
  struct Impl;
  enum class Known : std::uint8_t { nothing, readable };
  explicit Listener(std::unique_ptr<Impl> impl) noexcept;
  Result<std::unique_ptr<TcpConn>> attempt(Known known);

  std::unique_ptr<Impl> impl_;
};

// Binds and listens, on what ListenSocket::open() takes. Errors: as there. Never parks; any thread.
[[nodiscard]] Result<Listener> listen(std::string_view address, const ListenOptions& options = {});
// The same for IPv4 and IPv6 only: other addresses are `invalid`.
[[nodiscard]] Result<Listener> listen_tcp(const SocketAddress& address,
                                          const ListenOptions& options = {});
[[nodiscard]] Result<Listener> listen_tcp(std::string_view address,
                                          const ListenOptions& options = {});
// The same for the path of a Unix socket, or "@name" in the abstract space, where `mode` means
// nothing.
[[nodiscard]] Result<Listener> listen_unix(std::string_view path, mode_t mode = 0660);

}  // namespace treadle::net
