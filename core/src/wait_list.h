// Waiting in a queue of goroutines that an object keeps under its rt::Lock; what OneShot,
// Broadcast, Watch, WorkerPool, Batcher and RateLimiter share.
//
// All of it is called inside the guard. The object must outlive the wait: those who wait and those
// who wake hold a reference to it.
#pragma once

#include <cstdint>

#include <treadle/context.h>
#include <treadle/detail/lock.h>

#include "runtime/timers.h"
#include "runtime/waiter.h"

namespace treadle::rt {

// What ends a wait besides being woken.
struct WaitLimits {
  ContextState* context = nullptr;
  std::int64_t until = kNever;  // of the runtime's clock
};

// Waits at the end of `queue`, whose lock is held on entry and free on return. Gives the reason of
// the one who woke it, or Fired::context or Fired::timeout; the waiter is off the queue then.
Fired wait_in(Lock& lock, WaiterQueue queue, WaitLimits limits, WaitReason why) noexcept;
// Waits in no queue: for the context or the timeout only.
Fired wait_alone(WaitLimits limits, WaitReason why) noexcept;

// Claims the first one that still waits, or all of them; under the lock. They are to be readied by
// ready_all() once it is free.
bool wake_one(WaiterQueue queue, Fired reason, GList& ready) noexcept;
void wake_all(WaiterQueue queue, Fired reason, GList& ready) noexcept;
void ready_all(GList& ready) noexcept;

inline ContextState* state_of(const Context* ctx) noexcept { return ctx ? ctx->state() : nullptr; }

}  // namespace treadle::rt
