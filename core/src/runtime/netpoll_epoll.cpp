#include "runtime/netpoll_epoll.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <ctime>

#include "runtime/sanitizer.h"

namespace treadle::rt {

namespace {

// glibc's epoll_wait(), epoll_pwait2() and close() are cancellation points: in a process with
// threads each costs two locked instructions. No thread of ours is ever cancelled. Sanitizers have
// to see them.
#if TREADLE_ASAN || TREADLE_TSAN
int wait_ms(int epfd, epoll_event* events, int most, int ms) noexcept {
  return ::epoll_wait(epfd, events, most, ms);
}
int wait_ns(int epfd, epoll_event* events, int most, const timespec& ts) noexcept {
  return ::epoll_pwait2(epfd, events, most, &ts, nullptr);
}
#else
int wait_ms(int epfd, epoll_event* events, int most, int ms) noexcept {
  return static_cast<int>(::syscall(SYS_epoll_pwait, epfd, events, most, ms, nullptr, 0));
}
int wait_ns(int epfd, epoll_event* events, int most, const timespec& ts) noexcept {
  return static_cast<int>(::syscall(SYS_epoll_pwait2, epfd, events, most, &ts, nullptr, 0));
}
#endif

}  // namespace

void close_now(int fd) noexcept {
#if TREADLE_ASAN || TREADLE_TSAN
  ::close(fd);
#else
  ::syscall(SYS_close, fd);
#endif
}

int wait_events(int epfd, std::span<epoll_event> events, std::int64_t timeout_ns) noexcept {
  const auto most = static_cast<int>(events.size());
  if (timeout_ns <= 0) return wait_ms(epfd, events.data(), most, timeout_ns < 0 ? -1 : 0);
  static std::atomic<bool> coarse_only{false};  // before Linux 5.11, or forbidden by a sandbox
  if (!coarse_only.load(std::memory_order_relaxed)) {
    timespec ts{};
    ts.tv_sec = timeout_ns / 1'000'000'000;
    ts.tv_nsec = timeout_ns % 1'000'000'000;
    const int n = wait_ns(epfd, events.data(), most, ts);
    if (n >= 0 || (errno != ENOSYS && errno != EPERM)) return n;
    coarse_only.store(true, std::memory_order_relaxed);
  }
  // Up to the next millisecond: waking early would only mean to wait again.
  const std::int64_t ms = std::min<std::int64_t>((timeout_ns + 999'999) / 1'000'000, 1'000'000'000);
  return wait_ms(epfd, events.data(), most, static_cast<int>(ms));
}

}  // namespace treadle::rt
