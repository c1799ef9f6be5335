// Waiter: one wait of one goroutine for the first of several things to happen.
//
// Protocol
//   The owner registers the waiter with its sources (a queue, a context, a timer) while it runs,
//   then calls wait(). Each source may call fire() once; exactly one of them wins, and gives the
//   reason that wait() returns. When that comes before the owner has parked, it does not park.
//   Afterwards the owner unregisters from every source, under the source's lock, before the waiter
//   goes out of scope: a losing source that is still inside fire() holds that lock.
//
//   state: 0 registered -> G* parked -> fired(reason, parked), or 0 -> fired(reason)
#pragma once

#include <atomic>
#include <cstdint>

#include "runtime/g.h"

namespace treadle {
class Context;
}

namespace treadle::rt {

enum class Fired : std::uintptr_t { no, granted, closed, context, timeout };

struct Waiter {
  std::atomic<std::uintptr_t> state{0};
  // For queues of waiters; under the lock of the queue it stands in.
  Waiter* next = nullptr;
  Waiter* prev = nullptr;
  bool queued = false;
  std::int64_t since = 0;  // for the queue's owner

  // Ends the wait, unless something else has. True: this call did, and the owner will go on (it
  // may have gone on, and the waiter be gone, by the time this returns). Inside the guard.
  bool fire(Fired reason) noexcept;
  // In two steps, for who has to do something in between: claim() wins the waiter and returns true,
  // *parked is the G to be made ready afterwards, or null when the owner has not parked: it is then
  // on its way to see the claim, and must be kept off by the source's lock.
  bool claim(Fired reason, G** parked) noexcept;
  // Parks the calling G until fired; returns the reason.
  Fired wait(WaitReason why) noexcept;
  Fired fired() const noexcept {
    const std::uintptr_t s = state.load(std::memory_order_acquire);
    return s & 1 ? static_cast<Fired>(s >> 2) : Fired::no;
  }
  // Whether the owner was parked when it was claimed; once fired. Having called gopark() says
  // nothing: the claim may come before the hook.
  bool claimed_parked() const noexcept { return state.load(std::memory_order_relaxed) & 2; }
};

// A queue of waiters, first in first out; protected by its owner's lock.
class WaiterQueue {
 public:
  WaiterQueue(Waiter*& head, Waiter*& tail) noexcept : head_(head), tail_(tail) {}
  bool empty() const noexcept { return head_ == nullptr; }
  void push_back(Waiter* w) noexcept;
  void push_front(Waiter* w) noexcept;
  Waiter* pop_front() noexcept;
  void remove(Waiter* w) noexcept;  // when it is still queued

 private:
  Waiter*& head_;
  Waiter*& tail_;
};

}  // namespace treadle::rt
