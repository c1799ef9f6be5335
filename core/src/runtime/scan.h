// Holding goroutines still that do not run, to walk or trim their stacks.
//
// Invariant: a goroutine whose scan flag an inspector has set and then seen `waiting` or `runnable`
// does not begin to run until the flag is cleared; its stack and saved registers do not change.
//
// The handshake is asymmetric, as that of syscall.h. The runner stores `running`, then (compiler
// barrier) loads the flag, and waits while it is set. The inspector stores the flag, issues one
// membarrier for all, then loads the status. The barrier falls at one point of the runner's program
// order: a store of `running` before it is seen by the inspector, otherwise the runner's load sees
// the flag. In fence mode the runner pays a fence.
// The states are stored once the registers are saved (after_switch()), so that a goroutine on its
// way into a park still counts as running.
#pragma once

#include <span>

#include <treadle/detail/lock.h>

#include "runtime/g.h"

namespace treadle::rt {

// Scans are one at a time: whoever uses the functions below holds it.
extern Lock scan_lock;
inline constexpr std::size_t kScanBatch = 64;

// Tries to hold each of `gs`, and nulls those that run, or have no stack. What is left is held,
// for microseconds: a thread that wants to run one spins. Not for the calling goroutine.
void scan_begin(std::span<G*> gs) noexcept;
void scan_end(std::span<G* const> gs) noexcept;

extern std::atomic<bool>
    scan_fence;  // there is no membarrier: set once, before the first goroutine
void wait_for_scan_slow(G* g) noexcept;

// Before a goroutine runs; its status is `running` already.
inline void wait_for_scan(G* g) noexcept {
  std::atomic_signal_fence(std::memory_order_seq_cst);
  if (scan_fence.load(std::memory_order_relaxed)) [[unlikely]]
    std::atomic_thread_fence(std::memory_order_seq_cst);
  // Acquire: pairs with scan_end().
  if (g->scan.load(std::memory_order_acquire) != 0) [[unlikely]]
    wait_for_scan_slow(g);
}

// Gives back the unused stack of every goroutine that has been parked since before `before`
// (coarse clock), once a park. Returns how many parked ones are younger. Any thread without a P.
std::size_t sweep_parked_stacks(std::int64_t before) noexcept;

}  // namespace treadle::rt
