#include "local_peer.h"

#include <netinet/in.h>

#include <cstdint>
#include <cstring>

namespace treadle::net {
namespace {

template <class Native>
Native native_of(const SocketAddress& address) noexcept {
  Native native;
  std::memcpy(&native, address.native(), sizeof native);
  return native;
}

bool local_ipv4(const SocketAddress& remote, const SocketAddress& local) noexcept {
  constexpr std::uint32_t kLoopbackNet = 127;
  const in_addr theirs = native_of<sockaddr_in>(remote).sin_addr;
  if (ntohl(theirs.s_addr) >> 24 == kLoopbackNet) return true;
  return local.family() == AF_INET &&
         theirs.s_addr == native_of<sockaddr_in>(local).sin_addr.s_addr;
}

// Without a look at the zone: two machines with one link-local address, each on a link of its own,
// would be taken for one, and that costs them a shorter buffer at most.
bool local_ipv6(const SocketAddress& remote, const SocketAddress& local) noexcept {
  const in6_addr theirs = native_of<sockaddr_in6>(remote).sin6_addr;
  if (IN6_IS_ADDR_LOOPBACK(&theirs)) return true;
  if (local.family() != AF_INET6) return false;
  const in6_addr ours = native_of<sockaddr_in6>(local).sin6_addr;
  return IN6_ARE_ADDR_EQUAL(&theirs, &ours);
}

}  // namespace

bool is_on_this_machine(const SocketAddress& remote, const SocketAddress& local) noexcept {
  switch (remote.family()) {
    case AF_INET: return local_ipv4(remote, local);
    case AF_INET6: return local_ipv6(remote, local);
    default: return false;
  }
}

}  // namespace treadle::net
