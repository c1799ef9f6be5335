// The tree of contexts: ending, releasing, registering.
#include "runtime/context_state.h"

#include <algorithm>
#include <cstddef>
#include <new>
#include <utility>

#include <treadle/go.h>

#include "runtime/allocate.h"
#include "runtime/bubble.h"
#include "runtime/extra.h"
#include "runtime/note.h"
#include "runtime/sched.h"
#include "runtime/syscall.h"

namespace treadle::rt {

namespace {

// Only while the count is above zero: the last release is final.
bool try_retain(CancelState* c) noexcept {
  std::uint32_t n = c->refs.load(std::memory_order_relaxed);
  while (n != 0)
    if (c->refs.compare_exchange_weak(n, n + 1, std::memory_order_relaxed)) return true;
  return false;
}

void collect_child(ContextNode* n, ContextEnd& left) {
  auto* child = static_cast<CancelState*>(n);
  if (try_retain(child)) child->next_collected = std::exchange(left.children, child);
}

// Values and after_func()'s callables whose last handle went, by way of whatever owned them.
struct DeadList {
  ValueState* values = nullptr;
  DoneCall* calls = nullptr;
};

// A DoneCall and its callable lie in one piece of memory.
std::size_t call_align(const detail::BoxOps& ops) noexcept {
  return std::max(ops.align, alignof(DoneCall));
}
std::size_t call_offset(const detail::BoxOps& ops) noexcept {
  return (sizeof(DoneCall) + ops.align - 1) / ops.align * ops.align;
}
void* call_room(DoneCall* call) noexcept {
  return reinterpret_cast<std::byte*>(call) + call_offset(*call->ops);
}
void free_call(DoneCall* call) noexcept {
  const std::size_t align = call_align(*call->ops);
  call->~DoneCall();
  deallocate(call, align);
}

void destroy_all(DeadList dead) noexcept {
  while (ValueState* v = dead.values) {
    dead.values = v->next_dead;
    v->destroy(v->value);
    delete v;
  }
  while (DoneCall* call = dead.calls) {
    dead.calls = call->next_dead;
    call->ops->destroy(call_room(call));
    free_call(call);
  }
}

// The destructors are the user's: they run here when this is the user's side, else (a timer ended
// the context, or a handle went inside the runtime) in a goroutine of their own.
void dispose(DeadList dead) noexcept {
  if (!dead.values && !dead.calls) [[likely]]
    return;
  bool inside;
  {
    Entry entry;
    inside = entry.m()->guard.load(std::memory_order_relaxed) > 1;
  }
  if (inside)
    go([dead] { destroy_all(dead); });
  else
    destroy_all(dead);
}

void release_call(DoneCall* call, DeadList& dead) noexcept {
  if (call->refs.fetch_sub(1, std::memory_order_acq_rel) == 1)
    call->next_dead = std::exchange(dead.calls, call);
}

void free_cancel(CancelState* c, DeadList& dead) noexcept {
  if (c->timer_used || c->in_list) {
    Entry entry;
    if (c->timer_used) timer_remove(c->timer);
    if (c->in_list) c->parent->source->unlink(*c);
  }
  // Nobody can end it now. What still stands in its list are calls: children and waits hold it.
  while (ContextNode* n = c->nodes.load(std::memory_order_relaxed)) {
    c->nodes.store(n->next, std::memory_order_relaxed);
    release_call(static_cast<DoneCall*>(n), dead);
  }
  delete c;
}

bool drop(ContextState* c) noexcept { return c->refs.fetch_sub(1, std::memory_order_acq_rel) == 1; }

// Frees `c`, and up its ancestors what it alone kept: by a loop, since a long chain must not use up
// the stack.
void free_chain(ContextState* c, DeadList& dead) noexcept {
  for (;;) {
    ContextState* parent = c->parent;
    switch (c->kind) {
      case ContextState::Kind::cancel: free_cancel(static_cast<CancelState*>(c), dead); break;
      case ContextState::Kind::value: {
        auto* v = static_cast<ValueState*>(c);
        v->next_dead = std::exchange(dead.values, v);
        break;
      }
      case ContextState::Kind::detached: delete c; break;
    }
    if (!parent || !drop(parent)) return;
    c = parent;
  }
}

// Ends one context. True: this call did, and `left` has what is to be done.
bool end_one(CancelState* c, Errc error, std::error_code cause, ContextEnd& left) noexcept {
  {
    LockGuard hold(c->lock);
    if (c->error.load(std::memory_order_relaxed) != 0) return false;
    if (cause)
      c->cause = cause;
    else if (!c->cause || error != Errc::timed_out)
      c->cause = make_error_code(error);
    c->error.store(static_cast<int>(error), std::memory_order_release);
    while (ContextNode* n = c->nodes.load(std::memory_order_relaxed)) {
      c->nodes.store(n->next, std::memory_order_relaxed);
      if (n->next) n->next->prev = nullptr;
      n->linked = false;
      n->fn(n, left);
    }
  }
  if (c->timer_used) {  // or it would end the idle wait of the whole process, for nothing
    c->timer_used = false;
    timer_remove(c->timer);
  }
  return true;
}

// Whoever ends `c` is on its way, inside the guard, too.
void wait_settled(const CancelState* c) noexcept {
  for (int n = 0; !c->settled.load(std::memory_order_acquire); ++n) spin_pause(n);
}

// Over the descendants without recursion. The lists hold collected children only, never `c`, which
// others may be cancelling or collecting at the same time. Returns the calls to start.
DoneCall* end_tree(CancelState* c, Errc error, std::error_code cause, DeadList& dead) noexcept {
  ContextEnd left;
  if (!end_one(c, error, cause, left)) {
    wait_settled(c);
    return nullptr;
  }
  const std::error_code given = c->cause;
  CancelState* todo = std::exchange(left.children, nullptr);
  CancelState* ours = nullptr;    // ended here
  CancelState* theirs = nullptr;  // ended by others, perhaps not yet down to their leaves
  while (todo) {
    CancelState* now = std::exchange(todo, todo->next_collected);
    CancelState** list = &theirs;
    if (end_one(now, error, given, left)) {
      now->in_list = false;  // who ended its parent took it out
      list = &ours;
    }
    now->next_collected = std::exchange(*list, now);
    while (left.children) {
      CancelState* child = std::exchange(left.children, left.children->next_collected);
      child->next_collected = std::exchange(todo, child);
    }
  }
  for (CancelState* at = theirs; at; at = at->next_collected) wait_settled(at);
  for (CancelState* list : {theirs, ours})
    while (list) {
      CancelState* now = std::exchange(list, list->next_collected);
      now->settled.store(true, std::memory_order_release);
      if (drop(now)) free_chain(now, dead);
    }
  // A parent that lives on does not keep those that have ended. Not before: one that is being ended
  // itself finds us there, and waits.
  if (c->in_list) {
    c->in_list = false;
    c->parent->source->unlink(*c);
  }
  c->settled.store(true, std::memory_order_release);
  return left.calls;
}

void start_call(DoneCall* call) noexcept {
  go(
      [call] {
        struct Release {
          DoneCall* call;
          ~Release() { detail::done_call_release(call); }
        } release{call};
        call->ops->call(call_room(call));
      },
      call->site);
}

void claim_call(ContextNode* n, ContextEnd& left) {
  auto* call = static_cast<DoneCall*>(n);
  // Lost to a stop(), which then waits for the lock we hold, and has the list's reference.
  if (!call->claimed.exchange(true, std::memory_order_relaxed))
    call->next_call = std::exchange(left.calls, call);
}

}  // namespace

CancelState::CancelState(ContextState* p) noexcept
    : ContextState(Kind::cancel, p), bubble(bubble_id(current_bubble())) {
  source = this;
  values = p ? p->values : nullptr;
  keeper = p && p->source ? p->source->keeper : nullptr;
  fn = &collect_child;
}

ValueState::ValueState(ContextState* p, const void* k, void* v, void (*d)(void*) noexcept) noexcept
    : ContextState(Kind::value, p), key(k), value(v), destroy(d) {
  source = p ? p->source : nullptr;
  values = this;
}

void context_retain(ContextState* c) noexcept {
  if (c) c->refs.fetch_add(1, std::memory_order_relaxed);
}

void context_release(ContextState* c) noexcept {
  if (!c || !drop(c)) return;
  DeadList dead;
  free_chain(c, dead);
  dispose(dead);
}

void context_cancel(CancelState* c, Errc error, std::error_code cause) noexcept {
  DeadList dead;
  DoneCall* calls;
  {
    Entry entry;
    calls = end_tree(c, error, cause, dead);
  }
  while (calls) start_call(std::exchange(calls, calls->next_call));
  dispose(dead);
}

void cancel_expired(CancelState* list) noexcept {
  while (list) {
    CancelState* c = std::exchange(list, list->next_expired);
    context_cancel(c, Errc::timed_out, {});
    context_release(c);
  }
}

std::int64_t on_context_deadline(Timer* t, std::int64_t, TimerWork& work) {
  auto* c = static_cast<CancelState*>(t->arg);
  // Whoever frees it removes the timer first, so `c` is there; it may be on its way out, though.
  if (try_retain(c)) c->next_expired = std::exchange(work.expired_contexts, c);
  return kNever;
}

ContextState* current_context_state() noexcept {
  M* m = getm();
  return m->curg ? m->curg->context : nullptr;
}

bool CancelState::link(ContextNode& n) noexcept {
  LockGuard hold(lock);
  if (error.load(std::memory_order_relaxed) != 0) return false;
  n.prev = nullptr;
  n.next = nodes.load(std::memory_order_relaxed);
  if (n.next) n.next->prev = &n;
  nodes.store(&n, std::memory_order_relaxed);
  n.linked = true;
  return true;
}

void CancelState::unlink(ContextNode& n) noexcept {
  LockGuard hold(lock);
  if (!n.linked) return;
  if (n.prev)
    n.prev->next = n.next;
  else
    nodes.store(n.next, std::memory_order_relaxed);
  if (n.next) n.next->prev = n.prev;
  n.linked = false;
}

bool ContextState::link(ContextNode& n) noexcept { return !source || source->link(n); }

void ContextState::unlink(ContextNode& n) noexcept {
  if (source) source->unlink(n);
}

std::error_code ContextState::error_code() const noexcept {
  const int e = source ? source->error.load(std::memory_order_acquire) : 0;
  return e ? make_error_code(static_cast<Errc>(e)) : std::error_code();
}

ContextWait::ContextWait(ContextState* c, Waiter& w) noexcept
    : source_(c ? c->source : nullptr), waiter_(w) {
  if (!source_) return;
  waits_on(getm()->curg, source_->bubble);
  fn = [](ContextNode* self, ContextEnd&) {
    static_cast<ContextWait*>(self)->waiter_.fire(Fired::context);
  };
  if (!source_->link(*this)) waiter_.fire(Fired::context);
}

ContextWait::~ContextWait() {
  if (source_) source_->unlink(*this);
}

}  // namespace treadle::rt

namespace treadle::detail {

using namespace rt;

NewDoneCall done_call_make(const BoxOps& ops) {
  void* at = allocate(call_offset(ops) + ops.size, call_align(ops));
  auto* call = ::new (at) DoneCall(ops);
  call->fn = &claim_call;
  return {call, call_room(call)};
}

void done_call_abandon(DoneCall* call) noexcept { free_call(call); }

void done_call_arm(DoneCall* call, const Context& ctx, const std::source_location& site) noexcept {
  call->site = site;
  CancelState* source = ctx.state() ? ctx.state()->source : nullptr;
  if (!source) return;  // it will never be called: the handle alone owns it
  ensure_started();
  call->refs.store(2, std::memory_order_relaxed);  // the handle's, and the list's or the call's
  bool waits;
  {
    Entry entry;
    waits = source->link(*call);
  }
  if (waits) return;
  call->claimed.store(true, std::memory_order_relaxed);
  // As when it ends later: not a child of whoever asked for it.
  Entry entry;
  const HiddenLabels hidden(entry.m());
  start_call(call);
}

void done_call_retain(DoneCall* call) noexcept {
  if (call) call->refs.fetch_add(1, std::memory_order_relaxed);
}

void done_call_release(DoneCall* call) noexcept {
  if (!call) return;
  DeadList dead;
  release_call(call, dead);
  dispose(dead);
}

const void* context_value(const ContextState* c, const void* key) noexcept {
  for (const ValueState* v = c ? c->values : nullptr; v;
       v = v->parent ? v->parent->values : nullptr)
    if (v->key == key) return v->value;
  return nullptr;
}

}  // namespace treadle::detail
