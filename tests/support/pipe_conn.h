// Two connected ends without a port.
#pragma once

#include <memory>
#include <utility>

#include <treadle/net/conn.h>

namespace treadle::test {

struct PipeOptions {
  int buffer = 0;  // SO_SNDBUF of both ends in bytes; 0: the system's. The kernel doubles it.
};

// The two ends of a stream, of the same class and with the same waits, deadlines and errors as TCP
// connections. Never parks; any thread. Throws std::system_error when there is no descriptor left.
std::pair<std::unique_ptr<net::Conn>, std::unique_ptr<net::Conn>> make_pipe(
    const PipeOptions& options = {});

}  // namespace treadle::test
