// What a Context handle points to, and how waits register with it.
//
// Three kinds: one that can end (CancelState), one that carries a value (ValueState), and one that
// has its parent's values but not its end (without_cancel()). Each knows the nearest that can end
// for it, `source`, and the nearest that holds a value, `values`, so that neither a look at its end
// nor one for a value walks over the others.
//
// Invariants
//  - A child holds a reference to its parent; source and values are ancestors, or itself, and live
//    with it. All three are fixed before anybody else sees the child.
//  - The source of a child's parent holds a plain node, which the child's end unlinks under that
//    source's lock. Cancelling retains a child, under that lock, only while its count is above
//    zero, so a child that is being destroyed is left alone.
//  - A wait's node is unlinked under the source's lock before its frame ends; its function runs
//    under that lock, so it never runs on a dead frame. It must not block or take locks of the
//    first group of sched.h's lock order.
//  - A DoneCall (after_func) in the list of nodes is owned by it: one reference, which goes to
//    whoever wins `claimed`.
//  - `error` is stored once, under the lock, before the nodes are run.
//  - `settled` follows once all descendants have ended as well. Who finds a context ended already
//    waits for that, so that after a cancel() the descendants are done, whoever ended them. Those
//    who wait do so for walks that began further down: never in a circle.
//  - Values and callables are the user's: they are destroyed outside the guard, see dispose().
#pragma once

#include <atomic>
#include <cstdint>
#include <source_location>
#include <system_error>

#include <treadle/context.h>
#include <treadle/detail/lock.h>

#include "runtime/timers.h"
#include "runtime/waiter.h"

namespace treadle::rt {

struct CancelState;
struct ValueState;
struct ContextNode;

// What ending a context leaves to be done without its lock.
struct ContextEnd {
  CancelState* children = nullptr;  // retained, through next_collected
  DoneCall* calls = nullptr;        // to be started, through next_call
};

struct ContextNode {
  // Called once, under the source's lock, when it becomes done.
  using Fn = void (*)(ContextNode* self, ContextEnd& left);
  Fn fn = nullptr;
  ContextNode* next = nullptr;
  ContextNode* prev = nullptr;
  bool linked = false;
};

struct ContextState {
  enum class Kind : std::uint8_t { cancel, value, detached };

  std::atomic<std::uint32_t> refs{1};
  const Kind kind;
  ContextState* const parent;          // retained
  CancelState* source = nullptr;       // null: it never ends
  const ValueState* values = nullptr;  // null: it has none

  ContextState(Kind k, ContextState* p) noexcept : kind(k), parent(p) { context_retain(p); }

  // False when it is done already; then `n` was not linked. True also when it never ends. Inside
  // the guard.
  bool link(ContextNode& n) noexcept;
  void unlink(ContextNode& n) noexcept;
  bool done() const noexcept;
  // Empty while it is not done.
  std::error_code error_code() const noexcept;
};

// Its node stands in the list of its parent's source.
struct CancelState final : ContextState, ContextNode {
  std::atomic<int> error{0};  // an Errc; 0 while not done. Release by cancel(), acquire by readers
  std::atomic<bool> settled{false};  // by who ended it. Release; acquire by who waits for it
  Lock lock;                         // protects nodes and cause
  // Before the end: what the deadline's passing is to give, or empty.
  std::error_code cause;
  std::atomic<ContextNode*> nodes{nullptr};  // stored under the lock
  // The earliest that is certain, its own or an ancestor's: fixed before anybody else sees it.
  Deadline deadline;
  // The nearest, itself included, whose deadline is kept elsewhere and may move (kept_deadline.h),
  // or null: fixed like `source`. A descendant never relies on such a deadline to end it.
  CancelState* keeper = nullptr;
  std::atomic<Deadline> kept{Deadline()};  // of a keeper: what it states. Relaxed: a value alone
  Timer timer;                             // used when the deadline is this context's own
  // The timer may be on its heap: set under the lock. The node may stand in its list: set before it
  // does. Both are cleared by who ends the context: then the last handle has nothing to do for
  // them.
  bool timer_used = false;
  bool in_list = false;
  // Two lists, each of which a context enters at most once in its life: its timer fires once, and
  // its one parent ends once. Retained while in either.
  CancelState* next_expired = nullptr;    // TimerWork's
  CancelState* next_collected = nullptr;  // descendants of a context being cancelled

  const std::uint32_t bubble;  // where it was made (bubble.h)

  explicit CancelState(ContextState* p) noexcept;
  // Whether anything stands in its list. Any thread.
  bool waited_for() const noexcept { return nodes.load(std::memory_order_relaxed) != nullptr; }
  bool link(ContextNode& n) noexcept;
  void unlink(ContextNode& n) noexcept;
};

inline bool ContextState::done() const noexcept {
  return source && source->error.load(std::memory_order_acquire) != 0;
}

struct ValueState final : ContextState {
  const void* const key;
  void* const value;
  void (*const destroy)(void*) noexcept;
  ValueState* next_dead = nullptr;  // on its way to dispose()

  ValueState(ContextState* p, const void* k, void* v, void (*d)(void*) noexcept) noexcept;
};

// An after_func(): the callable follows in the same memory.
struct DoneCall final : ContextNode {
  std::atomic<std::uint32_t> refs{1};
  std::atomic<bool> claimed{false};  // started or stopped; exchanged once by each who tries
  const detail::BoxOps* const ops;
  std::source_location site;
  DoneCall* next_call = nullptr;  // to be started
  DoneCall* next_dead = nullptr;  // on its way to dispose()

  explicit DoneCall(const detail::BoxOps& how) noexcept : ops(&how) {}
};

// Ends `c` and its descendants; on return all are done. Any thread, inside the guard or not.
void context_cancel(CancelState* c, Errc error, std::error_code cause) noexcept;
// The function of a context's timer.
std::int64_t on_context_deadline(Timer* t, std::int64_t now, TimerWork& work);
// Cancels with timed_out what timers have collected, and releases it.
void cancel_expired(CancelState* list) noexcept;

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
  CancelState* source_;
  Waiter& waiter_;
};

}  // namespace treadle::rt
