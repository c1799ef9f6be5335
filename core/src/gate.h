// Gate: admits up to a number at a time, first come first served, until it is closed. The
// back-pressure of WorkerPool and Batcher.
//
// Invariants, under the lock
//  - used_ <= limit_; somebody waits only while used_ == limit_ and it is not closed.
//  - A place that becomes free goes straight to the first waiter: nobody overtakes.
#pragma once

#include <cstdint>

#include <treadle/context.h>
#include <treadle/detail/lock.h>

namespace treadle::rt {

enum class Admission { admitted, closed, full, context_done };
enum class WaitReason : std::uint8_t;
struct Waiter;

class Gate {
 public:
  Gate(std::int64_t limit, WaitReason why) noexcept : why_(why), limit_(limit) {}

  // Takes a place, waiting for one. A place that is there counts before the context.
  // Parks the calling G; on a plain thread it blocks that thread.
  Admission enter(const Context* ctx);
  // Only if that needs no wait. Never parks.
  Admission try_enter() noexcept;
  // Gives `n` places back. True: it is closed, and now nobody is inside; true once. Never parks.
  bool leave(std::int64_t n = 1) noexcept;
  // Nobody is admitted any more; those who wait are refused. True: nobody is inside. Never parks.
  bool close() noexcept;
  std::int64_t used() const noexcept;

 private:
  mutable Lock lock_;  // protects what follows
  const WaitReason why_;
  bool closed_ = false;
  const std::int64_t limit_;
  std::int64_t used_ = 0;
  Waiter* head_ = nullptr;
  Waiter* tail_ = nullptr;
};

}  // namespace treadle::rt
