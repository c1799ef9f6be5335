// Semaphore: a number of units that goroutines take and give back; weighted, first come first
// served.
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

#include <treadle/context.h>

namespace treadle {

namespace rt {
struct Waiter;
}

// Bounds how much of something is in use at one time.
//
//   treadle::Semaphore memory(64 << 20);
//   memory.acquire(size);
//   treadle::Semaphore::Hold hold(memory, size);   // gives it back
//
// Requests are served in order of arrival: a small one does not overtake a large one that waits, so
// large ones are not starved. Goroutines and plain threads may share one. It must not be moved, nor
// destroyed while waited for; it may be once every unit has been given back.
class Semaphore {
 public:
  // `size` units in all, none of them taken. Panics when it is negative, or above 2^61.
  explicit Semaphore(std::int64_t size);
  Semaphore(const Semaphore&) = delete;
  Semaphore& operator=(const Semaphore&) = delete;

  // Takes `n` units, waiting until they are free and those that came before have theirs.
  // Parks the calling G; on a plain thread it blocks that thread. Panics when `n` is negative, or
  // more than there are in all: that would wait for ever.
  void acquire(std::int64_t n = 1);
  // As acquire(n), but gives up when `ctx` is done: then `canceled` or `timed_out`, and nothing
  // taken. An already done context fails only when it would have to wait. More than there are in
  // all fails at once, with std::errc::value_too_large: a size that a client chose is no bug of
  // ours, and nothing would be gained by waiting for the context, as Go does.
  [[nodiscard]] Result<void> acquire(std::int64_t n, const Context& ctx);
  // Takes them only when that needs no wait, nor overtakes anybody. Never parks; any thread.
  // Panics when `n` is negative.
  [[nodiscard]] bool try_acquire(std::int64_t n = 1);
  // Gives `n` units back. Never parks; any thread. Panics when `n` is negative or more than are
  // taken. The last thing it does with the semaphore is to let the next one have them.
  void release(std::int64_t n = 1);

  // Units in all, and free now. Never park; any thread.
  std::int64_t size() const noexcept { return size_; }
  std::int64_t available() const noexcept;

  // Gives back, when it goes out of scope, units that were taken.
  class Hold {
   public:
    Hold() noexcept = default;  // of nothing
    explicit Hold(Semaphore& s, std::int64_t n = 1) noexcept : semaphore_(&s), n_(n) {}
    Hold(Hold&& o) noexcept : semaphore_(std::exchange(o.semaphore_, nullptr)), n_(o.n_) {}
    Hold& operator=(Hold o) noexcept {
      std::swap(semaphore_, o.semaphore_);
      std::swap(n_, o.n_);
      return *this;
    }
    ~Hold() {
      if (semaphore_) semaphore_->release(n_);
    }

   private:
    Semaphore* semaphore_ = nullptr;
    std::int64_t n_ = 0;
  };

 private:
  bool acquire_slow(std::int64_t n, rt::ContextState* context);

  const std::int64_t size_;
  std::atomic<std::uint64_t> state_{0};  // units taken, and flags; see semaphore.cpp
  // Under the word's lock bit.
  rt::Waiter* head_ = nullptr;
  rt::Waiter* tail_ = nullptr;
};

}  // namespace treadle
