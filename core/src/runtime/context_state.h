// What a Context handle points to, and how waits register with it.
//
// Invariants
//  - A child holds a reference to its parent; the parent holds a plain node, which the child's
//    destructor unlinks under the parent's lock. cancel() retains a child, under that lock, only
//    while its count is above zero, so a child that is being destroyed is left alone.
//  - A wait's node is unlinked under the context's lock before its frame ends; its function runs
//    under that lock, so it never runs on a dead frame. It must not block or take locks of the
//    first group of sched.h's lock order.
//  - error_ is stored once, under the lock, before the nodes are run.
#pragma once

#include <atomic>
#include <cstdint>
#include <system_error>

#include <treadle/context.h>
#include <treadle/detail/lock.h>

#include "runtime/timers.h"
#include "runtime/waiter.h"

namespace treadle::rt {

struct ContextState;

struct ContextNode {
  // Called once, under the context's lock, when it becomes done. A child adds itself, retained, to
  // `children`.
  using Fn = void (*)(ContextNode* self, ContextState*& children);
  Fn fn = nullptr;
  ContextNode* next = nullptr;
  ContextNode* prev = nullptr;
  bool linked = false;
};

struct ContextState {
  std::atomic<std::uint32_t> refs{1};
  std::atomic<int> error{0};  // an Errc; 0 while not done. Release by cancel(), acquire by readers
  Lock lock;                  // protects nodes and cause
  std::error_code cause;
  ContextNode* nodes = nullptr;
  ContextState* parent = nullptr;  // retained
  ContextNode in_parent;           // under the parent's lock
  Deadline deadline;
  Timer timer;  // armed when this context's deadline is its own
  // Two lists, each of which a context enters at most once in its life: its timer fires once, and
  // its one parent ends once. Retained while in either.
  ContextState* next_expired = nullptr;    // TimerWork's
  ContextState* next_collected = nullptr;  // children of a context being cancelled

  // False when it is done already; then `n` was not linked. Inside the guard.
  bool link(ContextNode& n) noexcept;
  void unlink(ContextNode& n) noexcept;
};

void context_cancel(ContextState* c, Errc error, std::error_code cause) noexcept;
// Cancels with timed_out what timers have collected, and releases it.
void cancel_expired(ContextState* list) noexcept;

// The current Context of the calling goroutine, borrowed; null for background.
ContextState* current_context_state() noexcept;

// Registers a Waiter with a context (null: none) for the scope of one wait.
class ContextWait : private ContextNode {
 public:
  ContextWait(ContextState* c, Waiter& w) noexcept;
  ~ContextWait();
  ContextWait(const ContextWait&) = delete;
  ContextWait& operator=(const ContextWait&) = delete;

 private:
  ContextState* context_;
  Waiter& waiter_;
};

}  // namespace treadle::rt
