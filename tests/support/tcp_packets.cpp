// In a file of its own: <linux/tcp.h>, which knows more of a socket than the C library's
// <netinet/tcp.h>, does not go together with that.
#include "support/tcp_packets.h"

#include <gtest/gtest.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace treadle::test {

std::uint32_t packets_received(int fd) {
  tcp_info info{};
  socklen_t size = sizeof info;
  EXPECT_EQ(::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size), 0);
  return info.tcpi_segs_in;
}

}  // namespace treadle::test
