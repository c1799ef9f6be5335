// The run queue of a P: a ring with one producer and many consumers.
//
// Invariants: only the owner moves tail; head moves by compare-and-swap, by the owner's pop and by
// thieves; tail - head is the number of elements, 0..N, also when the counters wrap. A slot is read
// before the CAS that claims it: when the CAS succeeds, nobody else took the element and the owner
// could not have overwritten the slot, since it was still counted.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace treadle::rt {

template <class T, std::uint32_t N>
class RunQueue {
  static_assert((N & (N - 1)) == 0 && N >= 4, "the ring's size is a power of two");

 public:
  // Owner only. False when full.
  bool push(T item) noexcept {
    std::uint32_t tail = tail_.load(std::memory_order_relaxed);
    // Acquire pairs with the consumers' release CAS: their reads of the slot are over.
    if (tail - head_.load(std::memory_order_acquire) == N) return false;
    ring_[tail % N].store(item, std::memory_order_relaxed);
    tail_.store(tail + 1, std::memory_order_release);  // pairs with steal(): publishes the slot
    return true;
  }

  // Owner only; null when empty. `contended`: there may be thieves; without them a store does.
  T pop(bool contended = true) noexcept {
    std::uint32_t head = head_.load(std::memory_order_acquire);
    if (!contended) {
      if (head == tail_.load(std::memory_order_relaxed)) return nullptr;
      head_.store(head + 1, std::memory_order_release);
      return ring_[head % N].load(std::memory_order_relaxed);
    }
    for (;;) {
      if (head == tail_.load(std::memory_order_relaxed)) return nullptr;
      T item = ring_[head % N].load(std::memory_order_relaxed);
      if (head_.compare_exchange_weak(head, head + 1, std::memory_order_acq_rel,
                                      std::memory_order_acquire))
        return item;
    }
  }

  // Owner only, when push() said full: takes half of the elements into out[0..N/2). 0 when thieves
  // made room meanwhile.
  std::uint32_t pop_half(T* out) noexcept {
    std::uint32_t head = head_.load(std::memory_order_acquire);
    std::uint32_t count = (tail_.load(std::memory_order_relaxed) - head) / 2;
    if (count != N / 2) return 0;
    for (std::uint32_t i = 0; i < count; ++i)
      out[i] = ring_[(head + i) % N].load(std::memory_order_relaxed);
    return head_.compare_exchange_strong(head, head + count, std::memory_order_acq_rel) ? count : 0;
  }

  // Any thread that owns `to`, which must be empty: moves half of the elements (rounded up) there
  // and returns one of them; null when there was nothing.
  T steal_into(RunQueue& to) noexcept {
    std::uint32_t to_tail = to.tail_.load(std::memory_order_relaxed);
    for (;;) {
      std::uint32_t head = head_.load(std::memory_order_acquire);
      std::uint32_t tail = tail_.load(std::memory_order_acquire);
      std::uint32_t count = tail - head;
      count -= count / 2;
      if (count == 0) return nullptr;
      if (count > N / 2) continue;  // head and tail were read at different times
      for (std::uint32_t i = 0; i < count; ++i)
        to.ring_[(to_tail + i) % N].store(ring_[(head + i) % N].load(std::memory_order_relaxed),
                                          std::memory_order_relaxed);
      if (!head_.compare_exchange_strong(head, head + count, std::memory_order_acq_rel)) continue;
      // The last one is for the caller; the others become visible to further thieves.
      T item = to.ring_[(to_tail + count - 1) % N].load(std::memory_order_relaxed);
      if (count > 1) to.tail_.store(to_tail + count - 1, std::memory_order_release);
      return item;
    }
  }

  // The element that is the n-th next, or one that was there before; null when none ever was. A
  // guess: it may be somebody else's already.
  T guess(std::uint32_t n) const noexcept {
    return ring_[(head_.load(std::memory_order_relaxed) + n) % N].load(std::memory_order_relaxed);
  }
  // A moment's view, exact only for the owner.
  bool empty() const noexcept { return size() == 0; }
  std::uint32_t size() const noexcept {
    std::uint32_t head = head_.load(std::memory_order_acquire);
    std::uint32_t tail = tail_.load(std::memory_order_acquire);
    return tail - head > N ? N : tail - head;
  }

 private:
  alignas(64) std::atomic<std::uint32_t> head_{0};  // CAS by owner and thieves
  alignas(64) std::atomic<std::uint32_t> tail_{0};  // stored by the owner
  std::atomic<T> ring_[N] = {};
};

}  // namespace treadle::rt
