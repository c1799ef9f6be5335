// All Ps share one epoll instance, as in Go: whoever looks finds whatever is ready, and no
// connection waits for a P whose goroutine computes.
//
// Rejected: an instance per P. What it could bring at most was measured with the bare plaintext
// loop (loadtest/peers/bare), two threads that share an edge-triggered instance against two with
// one each, connections dealt in turn; two CPUs, a load of two threads on the same ones,
// kernel 6.18, 150 to 250 windows of 30 ms in turn. Shared over own, the medians of five runs, two
// of them with every thread pinned:
//   - 64 connections: CPU per request 0.98 to 1.00, requests/s 1.00 to 1.03;
//   - 512: CPU 1.00 to 1.03, requests/s 0.95 to 1.02.
// The quartiles lie 4 to 6 % off in a quiet run, 10 to 30 % in a loud one. At 60,000 requests a
// second, one run each, the shared one was the cheaper: 10.0 against 10.4 us and 9.6 against 10.8.
// So 3 % of the CPU at most, within the noise, although 17 % to 45 % of the events came to another
// thread than the connection's last one.
//
// In treadle with two Ps under the same load all of epoll_wait is 5 % of the CPU (perf, cpu-clock),
// waiting for its locks 0.1 %. At saturation a request takes 0.09 (64 connections) and 0.02 (512)
// calls of it, and 23 % and 46 % of goroutines go on on another P than before; at 60,000 requests a
// second 0.6 and 0.5 calls, half of which find nothing, and 48 % and 49 %. Two processes of one P
// each, which share nothing at all, need 0.93 to 1.01 of the CPU at saturation (0.96 to 1.00 at 64
// connections) for 0.98 to 1.05 (64) and 1.08 to 1.12 (512) of the requests/s, and 1.08 and 1.10 of
// the CPU at 60,000. What many CPUs would do to the instance's lock two cannot tell.
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
