// The runtime's own lock, for critical sections of a few instructions. Not for applications: it
// blocks the thread, and parking while holding it is fatal.
#pragma once

#include <atomic>
#include <cstdint>

namespace treadle::rt {

// A futex lock: 0 free, 1 held, 2 held and perhaps waited for. Spins briefly before it sleeps.
// Taken only inside the runtime's guard (or on a thread without a P), so that a P is never taken
// away from its holder. unlock() does not touch the lock once another thread could take it, so the
// memory may go as soon as a later holder says so.
class Lock {
 public:
  constexpr Lock() noexcept = default;
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

  void lock() noexcept {
    std::uint32_t free = 0;
    if (!word_.compare_exchange_strong(free, 1, std::memory_order_acquire,
                                       std::memory_order_relaxed)) [[unlikely]]
      lock_slow();
  }
  bool try_lock() noexcept {
    std::uint32_t free = 0;
    return word_.compare_exchange_strong(free, 1, std::memory_order_acquire,
                                         std::memory_order_relaxed);
  }
  void unlock() noexcept {
    if (word_.exchange(0, std::memory_order_release) == 2) [[unlikely]]
      wake();
  }

 private:
  void lock_slow() noexcept;
  void wake() noexcept;

  std::atomic<std::uint32_t> word_{0};
};

class LockGuard {
 public:
  explicit LockGuard(Lock& l) noexcept : lock_(l) { lock_.lock(); }
  ~LockGuard() { lock_.unlock(); }
  LockGuard(const LockGuard&) = delete;
  LockGuard& operator=(const LockGuard&) = delete;

 private:
  Lock& lock_;
};

}  // namespace treadle::rt
