// A spin lock in one bit of an object's state word: an object that is let go of by the last store
// to that word may be destroyed by whoever sees the store.
#pragma once

#include <atomic>

#include "runtime/note.h"

namespace treadle::rt {

// Takes `bit` of `word` and returns the word without it. Inside the guard: a holder keeps its P,
// and is gone in a moment unless the kernel took its CPU. The bit is let go by a store to the word.
template <class T>
T lock_bit(std::atomic<T>& word, T bit) noexcept {
  for (int spins = 0;; ++spins) {
    T s = word.load(std::memory_order_relaxed);
    // Acquire: pairs with the holder's release store; what stands under the bit is ours.
    if (!(s & bit) && word.compare_exchange_weak(s, s | bit, std::memory_order_acquire,
                                                 std::memory_order_relaxed))
      return s;
    spin_pause(spins);
  }
}

}  // namespace treadle::rt
