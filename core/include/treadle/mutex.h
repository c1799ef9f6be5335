// Mutex: parks the goroutine, not the thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>

#include <treadle/context.h>

namespace treadle {

namespace rt {
struct Waiter;
}

// A mutual exclusion lock; works with std::lock_guard and std::unique_lock. Not recursive. It may
// be unlocked by another goroutine than the one that locked it. Waiters are served first come
// first served, but a running goroutine may overtake them until one has waited 1 ms or was
// overtaken several times: then the lock is handed to it, and to those behind it, directly
// (starvation, as in Go). Goroutines and plain threads may share one. It must not be moved, nor
// destroyed while locked or waited for.
class Mutex {
 public:
  constexpr Mutex() noexcept = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  // Parks the calling G until the lock is free; on a plain thread it blocks that thread.
  void lock() {
    std::uint32_t free = 0;
    if (!state_.compare_exchange_strong(free, kLocked, std::memory_order_acquire,
                                        std::memory_order_relaxed))
      lock_slow();
  }
  // As lock(), but gives up when `ctx` is done: then `canceled` or `timed_out`, and not locked.
  // An already done context fails only when the lock is not free.
  [[nodiscard]] Result<void> lock(const Context& ctx);
  // Never parks.
  [[nodiscard]] bool try_lock() noexcept;
  // Never parks; any goroutine or thread. Panics when the mutex is not locked. Does not touch the
  // mutex once another could have locked it, so the next holder may destroy it.
  void unlock() {
    // A load first: with waiters the compare-and-swap would be in vain.
    std::uint32_t locked = kLocked;
    if (state_.load(std::memory_order_relaxed) != kLocked ||
        !state_.compare_exchange_strong(locked, 0, std::memory_order_release,
                                        std::memory_order_relaxed))
      unlock_slow();
  }

 private:
  static constexpr std::uint32_t kLocked = 1;

  void lock_slow();
  void unlock_slow();

  // Locked, waiters, and a spin lock over what follows (see mutex.cpp): one word, so that unlock()
  // lets go of all of them by its last access.
  std::atomic<std::uint32_t> state_{0};
  bool woken_ = false;           // a waiter was woken and has not tried again yet
  std::uint8_t hand_overs_ = 0;  // how many unlocks give the lock to the first waiter
  rt::Waiter* head_ = nullptr;
  rt::Waiter* tail_ = nullptr;
};

}  // namespace treadle
