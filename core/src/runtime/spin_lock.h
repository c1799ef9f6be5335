// A lock for a handful of instructions that run very often: channels.
//
// Unlike Lock it has no sleepers to wake, so unlock() is one store instead of a read-modify-write,
// which would be a third of an uncontended channel operation. The price: who finds it held spins,
// then gives up its CPU again and again. Holders are inside the guard and keep their P; they are
// gone in a moment unless the kernel took their CPU, which yielding gives back.
#pragma once

#include <atomic>
#include <cstdint>

namespace treadle::rt {

class SpinLock {
 public:
  constexpr SpinLock() noexcept = default;
  SpinLock(const SpinLock&) = delete;
  SpinLock& operator=(const SpinLock&) = delete;

  void lock() noexcept {
    // Acquire: pairs with unlock().
    if (held_.exchange(1, std::memory_order_acquire) != 0) [[unlikely]]
      lock_slow();
  }
  // The last access: the memory may go as soon as somebody else has had the lock.
  void unlock() noexcept { held_.store(0, std::memory_order_release); }

 private:
  void lock_slow() noexcept;

  std::atomic<std::uint32_t> held_{0};
};

class SpinGuard {
 public:
  explicit SpinGuard(SpinLock& l) noexcept : lock_(l) { lock_.lock(); }
  ~SpinGuard() { lock_.unlock(); }
  SpinGuard(const SpinGuard&) = delete;
  SpinGuard& operator=(const SpinGuard&) = delete;

 private:
  SpinLock& lock_;
};

}  // namespace treadle::rt
