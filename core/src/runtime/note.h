// Note: one thread sleeps until another wakes it, once.
#pragma once

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <ctime>

namespace treadle::rt {

// Invariant: between two sleeps at most one wake() happens, by whoever decided that the sleeper
// goes on (popped its M from the idle list, readied its G). The wake-up is kept when it comes
// first.
class Note {
 public:
  // Blocks the thread until wake() was called, then forgets it.
  void sleep() noexcept;
  // The same for at most `ns` nanoseconds; false when the time passed without a wake-up.
  bool sleep_for(std::int64_t ns) noexcept;
  // Any thread. Not from a signal handler.
  void wake() noexcept;

 private:
  std::atomic<std::uint32_t> word_{0};  // 0 nothing, 1 woken, 2 the sleeper is in the kernel
};

// Calls that do not park leave errno alone: a hint's end, an unlock or a go() may lock and wake.
// For leaf functions only, which nothing switches away from.
class KeepErrno {
 public:
  KeepErrno() noexcept : saved_(errno) {}
  ~KeepErrno() { errno = saved_; }
  KeepErrno(const KeepErrno&) = delete;
  KeepErrno& operator=(const KeepErrno&) = delete;

 private:
  const int saved_;
};

// The raw system call, errno untouched; a null timeout means for ever. Returns the errno, 0 when
// woken.
int futex_wait(std::atomic<std::uint32_t>& word, std::uint32_t expected,
               std::int64_t timeout_ns = -1) noexcept;
void futex_wake(std::atomic<std::uint32_t>& word, int count) noexcept;

// One pause of a spin loop.
inline void cpu_relax() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  asm volatile("" ::: "memory");
#endif
}

// The n-th pause of a spin loop whose holder may have lost its CPU: after a while gives up ours.
void spin_pause(int n) noexcept;

// CLOCK_MONOTONIC in nanoseconds: the runtime's own time. What users see is Clock, which in a
// bubble is virtual.
inline std::int64_t nanotime() noexcept {
  timespec ts;
  ::clock_gettime(CLOCK_MONOTONIC, &ts);
  return ts.tv_sec * 1'000'000'000 + ts.tv_nsec;
}

}  // namespace treadle::rt
