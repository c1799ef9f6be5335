// Cond: waits, with a lock let go meanwhile, until somebody says that something has changed.
#pragma once

#include <atomic>
#include <concepts>
#include <cstdint>

#include <treadle/context.h>
#include <treadle/detail/lock.h>

namespace treadle {

namespace rt {
struct Waiter;
}

namespace detail {

// How Cond lets go of the caller's lock and takes it back.
struct LockOps {
  void* lock;
  void (*release)(void* lock);
  void (*acquire)(void* lock);
};

template <class L>
LockOps lock_ops(L& lock) noexcept {
  return {std::addressof(lock), [](void* l) { static_cast<L*>(l)->unlock(); },
          [](void* l) { static_cast<L*>(l)->lock(); }};
}

}  // namespace detail

// A condition variable for any lock with lock() and unlock(): a Mutex, a std::unique_lock of one, a
// std::shared_lock of an RwMutex (but no std::mutex: the goroutine may come back on another
// thread).
//
//   std::unique_lock hold(mu);
//   changed.wait(hold, [&] { return !queue.empty(); });
//
// Waiters are notified first come first served; one that waits after a notification does not take
// it from one that waited before. No wake-up is lost when what is waited for changes under the
// lock, and there are no spurious ones; the predicate may have become false again, though, by the
// time the lock is taken back. Goroutines and plain threads may share one. It must not be moved,
// nor destroyed while waited on; it may be once every waiter has been notified.
class Cond {
 public:
  constexpr Cond() noexcept = default;
  Cond(const Cond&) = delete;
  Cond& operator=(const Cond&) = delete;

  // Unlocks `lock`, which the caller holds, waits to be notified, and locks it again.
  // Parks the calling G; on a plain thread it blocks that thread. What unlocking throws (a Panic,
  // when it is not locked) comes out at once.
  template <class L>
  void wait(L& lock) {
    (void)wait_with(detail::lock_ops(lock), nullptr);
  }
  // The same until `ready()`, which is called with the lock held.
  template <class L, std::predicate P>
  void wait(L& lock, P ready) {
    while (!ready()) wait(lock);
  }
  // As wait(lock), unless `ctx` is done first: then `canceled` or `timed_out`. The lock is held
  // again in either case, however long that takes.
  template <class L>
  [[nodiscard]] Result<void> wait(L& lock, const Context& ctx) {
    return wait_with(detail::lock_ops(lock), &ctx);
  }
  // The same until `ready()`. Fails only when that is still false after `ctx` has ended.
  template <class L, std::predicate P>
  [[nodiscard]] Result<void> wait(L& lock, const Context& ctx, P ready) {
    while (!ready())
      if (auto r = wait(lock, ctx); !r) return ready() ? Result<void>() : r;
    return {};
  }

  // Wakes the one that has waited longest, when there is one; all of them. They need not be called
  // with the lock held. Never park; any thread.
  void notify_one() noexcept;
  void notify_all() noexcept;

 private:
  Result<void> wait_with(detail::LockOps ops, const Context* ctx);

  // Length of the queue, for a look without the lock; stored under it.
  std::atomic<std::uint32_t> waiting_{0};
  rt::Lock lock_;  // protects what follows
  rt::Waiter* head_ = nullptr;
  rt::Waiter* tail_ = nullptr;
};

}  // namespace treadle
