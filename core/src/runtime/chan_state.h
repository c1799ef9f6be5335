// What a Chan handle points to, shared by chan.cpp and select.cpp.
//
// Invariants, under the lock; "waits" means: is queued and has not been claimed elsewhere
//  - Receivers wait only while the buffer is empty, senders only while it is full (an unbuffered
//    channel's is both).
//  - So at most one of the two queues has somebody who waits, but for a select that both sends and
//    receives on the channel: it stands in both, and never serves itself.
//  - A closed channel has nobody who waits.
// An element goes straight from sender to receiver where one waits: into the receiver's slot, or
// out of the sender's variable, under the lock.
//
// Two ways to wait
//  - Plain: for this channel only. The goroutine parks with the lock held, and the park's hook
//    unlocks it once the registers are saved. Whoever dequeues a plain Sudog therefore finds its
//    goroutine parked, and nobody else can be about to wake it: no claim is needed.
//  - Shared: the wait may be ended from elsewhere (a Context, another case of a select, a timer).
//    All its sources share one Waiter; who dequeues the Sudog claims that first and skips the Sudog
//    when the claim fails. When the claim comes before the waiter has parked, the waiter sees it
//    at once, perhaps before the element has moved; it therefore takes the lock once before it
//    looks at anything.
//  A Sudog lies on its goroutine's stack. It is off its queue, and nobody will look at it, once its
//  owner has held the lock after the claim, or was parked when this channel's other side served it.
//
// count, closed and the queues' heads are also read without the lock, as hints, or where a single
// look is exact (see nothing_to_send(), nothing_to_recv()).
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include <treadle/chan.h>

#include "runtime/spin_lock.h"
#include "runtime/waiter.h"

namespace treadle::rt {

// One place in a channel's queue.
struct Sudog {
  Sudog* next = nullptr;  // under the channel's lock, as prev and queued
  Sudog* prev = nullptr;
  void* element = nullptr;   // the sender's variable, or the receiver's slot
  G* g = nullptr;            // a plain wait's goroutine
  Waiter* waiter = nullptr;  // a shared wait; null: plain
  // `granted` or `closed`: stored once, under the channel's lock, by whoever ended the wait here.
  Fired outcome = Fired::no;
  bool queued = false;
};

// First in, first out; protected by the channel's lock.
class SudogQueue {
 public:
  bool empty() const noexcept { return head_.load(std::memory_order_acquire) == nullptr; }
  void push_back(Sudog* s) noexcept;
  void remove(Sudog* s) noexcept;  // when it is still queued
  // Ends the wait of the first who still waits; null when nobody does. *wake is to be made ready
  // once the lock is free; null when its owner had not parked yet.
  Sudog* serve(Fired outcome, G** wake) noexcept;

 private:
  std::atomic<Sudog*> head_{nullptr};  // stored under the lock
  Sudog* tail_ = nullptr;
};

// What sends on a channel from inside the runtime, a timer. It is told when the last handle has
// gone, while the channel is still whole.
struct ChanFeeder {
  void (*gone)(ChanFeeder* self) noexcept = nullptr;
};

struct Hchan {
  Hchan(std::size_t elements, const detail::ElementOps& how, std::uint32_t made_in) noexcept
      : ops(&how), capacity(elements), bytes(elements * how.size), bubble(made_in) {}

  std::atomic<std::uint32_t> refs{1};
  SpinLock lock;  // protects what follows, but for the constants
  const detail::ElementOps* const ops;
  const std::size_t capacity;
  const std::size_t bytes;     // of the buffer
  const std::uint32_t bubble;  // where it was made (bubble.h)
  std::byte* buffer = nullptr;
  // Set before anybody else sees the channel, which then shows neither size nor capacity: what it
  // holds may be taken back.
  ChanFeeder* feeder = nullptr;

  std::atomic<std::size_t> count{0};  // release: pairs with the looks without the lock
  std::size_t send_at = 0;            // byte offsets of the next free and of the oldest element
  std::size_t recv_at = 0;
  std::atomic<bool> closed{false};
  SudogQueue receivers;
  SudogQueue senders;

  // At one moment during the call a send would have had to wait, or a receive. Without the lock.
  // The order of the loads is what makes it one moment: a channel that is full (empty) and was not
  // closed afterwards was full and open at the first load.
  bool nothing_to_send() const noexcept {
    return count.load(std::memory_order_acquire) == capacity && receivers.empty() &&
           !closed.load(std::memory_order_acquire);
  }
  bool nothing_to_recv() const noexcept {
    return count.load(std::memory_order_acquire) == 0 && senders.empty() &&
           !closed.load(std::memory_order_acquire);
  }
};

// What can be done without waiting, under the lock. *wake as in SudogQueue::serve().
detail::ChanStatus send_locked(Hchan* c, void* element, G** wake) noexcept;
detail::ChanStatus recv_locked(Hchan* c, void* to, G** wake) noexcept;

}  // namespace treadle::rt
