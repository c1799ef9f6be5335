#include "support/pipe_conn.h"

#include <sys/socket.h>

#include <cerrno>
#include <system_error>

#include <treadle/net/tcp.h>

namespace treadle::test {

std::pair<std::unique_ptr<net::Conn>, std::unique_ptr<net::Conn>> make_pipe(
    const PipeOptions& options) {
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) < 0)
    throw std::system_error(errno, std::system_category(), "socketpair");
  for (const int fd : fds)
    if (options.buffer > 0)
      ::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &options.buffer, sizeof options.buffer);
  auto first = net::TcpConn::adopt(fds[0], {});
  auto second = net::TcpConn::adopt(fds[1], {});
  if (!first) throw std::system_error(first.error(), "adopting one end of a pipe");
  if (!second) throw std::system_error(second.error(), "adopting one end of a pipe");
  return {std::move(*first), std::move(*second)};
}

}  // namespace treadle::test
