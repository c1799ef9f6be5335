// The poller's system calls.
#pragma once

#include <sys/epoll.h>

#include <cstdint>
#include <span>

namespace treadle::rt {

// Waits for events, at most `timeout_ns` (0: not at all; negative: for ever). How many came; -1
// with errno on failure. Blocks the thread.
int wait_events(int epfd, std::span<epoll_event> events, std::int64_t timeout_ns) noexcept;

void close_now(int fd) noexcept;

}  // namespace treadle::rt
