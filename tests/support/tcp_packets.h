// How many packets a TCP socket has received, those without data included.
#pragma once

#include <cstdint>

namespace treadle::test {

std::uint32_t packets_received(int fd);

}  // namespace treadle::test
