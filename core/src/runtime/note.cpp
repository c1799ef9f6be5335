#include "runtime/note.h"

#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>

#include <treadle/detail/lock.h>

namespace treadle::rt {

int futex_wait(std::atomic<std::uint32_t>& word, std::uint32_t expected,
               std::int64_t timeout_ns) noexcept {
  const KeepErrno keep;
  timespec ts{};
  ts.tv_sec = timeout_ns / 1'000'000'000;
  ts.tv_nsec = timeout_ns % 1'000'000'000;
  long r = ::syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, expected, timeout_ns < 0 ? nullptr : &ts,
                     nullptr, 0);
  return r == 0 ? 0 : errno;
}

void futex_wake(std::atomic<std::uint32_t>& word, int count) noexcept {
  const KeepErrno keep;
  ::syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, count, nullptr, nullptr, 0);
}

void spin_pause(int n) noexcept {
  if (n < 100)
    cpu_relax();
  else
    ::sched_yield();
}

void Note::sleep() noexcept {
  std::uint32_t expected = 0;
  if (word_.compare_exchange_strong(expected, 2, std::memory_order_acquire)) {
    while (word_.load(std::memory_order_acquire) == 2) futex_wait(word_, 2);
  }
  // Acquire above pairs with the release in wake(): what the waker wrote before is ours.
  word_.store(0, std::memory_order_relaxed);
}

bool Note::sleep_for(std::int64_t ns) noexcept {
  std::uint32_t expected = 0;
  if (word_.compare_exchange_strong(expected, 2, std::memory_order_acquire)) {
    const std::int64_t end = nanotime() + ns;
    while (word_.load(std::memory_order_acquire) == 2) {
      std::int64_t left = end - nanotime();
      if (left <= 0) {
        expected = 2;
        if (word_.compare_exchange_strong(expected, 0, std::memory_order_acquire)) return false;
        break;  // woken at the last moment
      }
      futex_wait(word_, 2, left);
    }
  }
  word_.store(0, std::memory_order_relaxed);
  return true;
}

void Note::wake() noexcept {
  if (word_.exchange(1, std::memory_order_release) == 2) futex_wake(word_, 1);
}

void Lock::lock_slow() noexcept {
  // Holders leave after tens of nanoseconds, unless the kernel took their CPU: then sleeping is
  // what lets them go on.
  for (int i = 0; i < 60; ++i) {
    cpu_relax();
    if (word_.load(std::memory_order_relaxed) == 0 && try_lock()) return;
  }
  while (word_.exchange(2, std::memory_order_acquire) != 0) futex_wait(word_, 2);
}

void Lock::wake() noexcept { futex_wake(word_, 1); }

}  // namespace treadle::rt
