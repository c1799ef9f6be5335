// RwMutex: many readers or one writer; parks the goroutine, not the thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <shared_mutex>

#include <treadle/context.h>

namespace treadle {

namespace rt {
struct Waiter;
}

// A reader-writer lock; works with std::shared_lock, std::unique_lock and std::lock_guard.
//
//   treadle::RwMutex mu;
//   { std::shared_lock hold(mu); look(table); }
//   { std::unique_lock hold(mu); change(table); }
//
// Writers come first: while one waits, no new reader gets in. Readers do not starve either: those
// that waited for a writer get in before the next one. Both kinds are served in order of arrival.
// Not recursive, for readers neither: one that locks again while a writer waits between the two
// waits for ever. There is no way up from reader to writer, nor down.
// It may be unlocked by another goroutine than the one that locked it. Goroutines and plain threads
// may share one. It must not be moved, nor destroyed while locked or waited for.
class RwMutex {
 public:
  constexpr RwMutex() noexcept = default;
  RwMutex(const RwMutex&) = delete;
  RwMutex& operator=(const RwMutex&) = delete;

  // Parks the calling G until there are neither readers nor a writer; on a plain thread it blocks
  // that thread.
  void lock() {
    std::uint64_t free = 0;
    if (!state_.compare_exchange_strong(free, kWriter, std::memory_order_acquire,
                                        std::memory_order_relaxed))
      lock_slow();
  }
  // As lock(), but gives up when `ctx` is done: then `canceled` or `timed_out`, and not locked.
  // An already done context fails only when the lock is not free.
  [[nodiscard]] Result<void> lock(const Context& ctx);
  // Never parks.
  [[nodiscard]] bool try_lock() noexcept;
  // Never parks; any goroutine or thread. Panics when no writer holds the lock. Does not touch the
  // lock once another could have it, so the next holder may destroy it.
  void unlock() {
    std::uint64_t locked = kWriter;
    if (state_.load(std::memory_order_relaxed) != kWriter ||
        !state_.compare_exchange_strong(locked, 0, std::memory_order_release,
                                        std::memory_order_relaxed))
      unlock_slow();
  }

  // Parks the calling G while a writer holds the lock or waits for it; on a plain thread it blocks
  // that thread. Otherwise it is one atomic addition.
  void lock_shared() {
    if (!try_lock_shared()) lock_shared_slow();
  }
  // As lock_shared(), but gives up when `ctx` is done, as lock(ctx) does.
  [[nodiscard]] Result<void> lock_shared(const Context& ctx);
  // False when a writer holds the lock or waits for it. Never parks.
  [[nodiscard]] bool try_lock_shared() noexcept {
    std::uint64_t s = state_.load(std::memory_order_relaxed);
    while (!(s & kFlags))
      if (state_.compare_exchange_weak(s, s + kReader, std::memory_order_acquire,
                                       std::memory_order_relaxed))
        return true;
    return (s & kQueue) && try_lock_shared_slow();
  }
  // Never parks; any goroutine or thread. Panics when no reader holds the lock. Does not touch the
  // lock once a writer could have it.
  void unlock_shared() {
    std::uint64_t s = state_.load(std::memory_order_relaxed);
    while (!(s & kFlags) && s >= kReader)
      if (state_.compare_exchange_weak(s, s - kReader, std::memory_order_release,
                                       std::memory_order_relaxed))
        return;
    unlock_shared_slow();
  }

 private:
  // The word; see rw_mutex.cpp. The readers are counted above the flags.
  static constexpr std::uint64_t kWriter = 1;
  static constexpr std::uint64_t kQueue = 2;
  static constexpr std::uint64_t kFlags = 15;
  static constexpr std::uint64_t kReader = 16;

  void lock_slow();
  void unlock_slow();
  void lock_shared_slow();
  bool try_lock_shared_slow() noexcept;
  void unlock_shared_slow();

  std::atomic<std::uint64_t> state_{0};
  // Under kQueue.
  rt::Waiter* writers_head_ = nullptr;
  rt::Waiter* writers_tail_ = nullptr;
  rt::Waiter* readers_head_ = nullptr;
  rt::Waiter* readers_tail_ = nullptr;
};

}  // namespace treadle
