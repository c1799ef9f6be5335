// Names to addresses.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <treadle/net/addr.h>
#include <treadle/result.h>

namespace treadle::net {

// The stream addresses of a host name, in the order the system prefers; never empty.
// Honours the current Context; the look-up itself cannot be interrupted and goes on unheard.
// Parks the calling G. Errors: not_found, canceled, timed_out, EAGAIN when the name server does not
// answer for now, else the system's code.
Result<std::vector<SocketAddress>> resolve(const std::string& host, std::uint16_t port);

}  // namespace treadle::net
