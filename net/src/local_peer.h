// Peers on this machine.
#pragma once

#include <treadle/net/addr.h>

namespace treadle::net {

// Whether a connection between these two ends never leaves this machine: the remote one is a
// loopback address, or the very address that the local end has. False for a peer in another network
// namespace and for sockets other than IP's. Pure.
bool is_on_this_machine(const SocketAddress& remote, const SocketAddress& local) noexcept;

}  // namespace treadle::net
