// Contexts; the invariants stand in runtime/context_state.h.
#include <treadle/context.h>

#include <cstddef>
#include <utility>

#include "runtime/context_state.h"
#include "runtime/foreign.h"
#include "runtime/sched.h"
#include "runtime/syscall.h"

namespace treadle {

namespace rt {

namespace {

// Only while the count is above zero: the last release is final.
bool try_retain(ContextState* c) noexcept {
  std::uint32_t n = c->refs.load(std::memory_order_relaxed);
  while (n != 0)
    if (c->refs.compare_exchange_weak(n, n + 1, std::memory_order_relaxed)) return true;
  return false;
}

ContextState* child_of(ContextNode* n) noexcept {
  // in_parent is a member of a standard-layout part: the offset is the usual container walk.
  return reinterpret_cast<ContextState*>(reinterpret_cast<std::byte*>(n) -
                                         offsetof(ContextState, in_parent));
}

void collect_child(ContextNode* n, ContextState*& children) {
  ContextState* child = child_of(n);
  if (try_retain(child)) child->next_collected = std::exchange(children, child);
}

std::int64_t on_deadline(Timer* t, std::int64_t, TimerWork& work) {
  auto* c = static_cast<ContextState*>(t->arg);
  // The destructor removes the timer first, so `c` is there; it may be on its way out, though.
  if (try_retain(c)) c->next_expired = std::exchange(work.expired_contexts, c);
  return kNever;
}

// Ends one context; its children come back retained, through next_expired.
ContextState* end_one(ContextState* c, Errc error, std::error_code cause) noexcept {
  LockGuard hold(c->lock);
  if (c->error.load(std::memory_order_relaxed) != 0) return nullptr;
  c->cause = cause ? cause : make_error_code(error);
  c->error.store(static_cast<int>(error), std::memory_order_release);
  ContextState* children = nullptr;
  while (ContextNode* n = c->nodes) {
    c->nodes = n->next;
    if (n->next) n->next->prev = nullptr;
    n->linked = false;
    n->fn(n, children);
  }
  return children;
}

}  // namespace

void context_retain(ContextState* c) noexcept {
  if (c) c->refs.fetch_add(1, std::memory_order_relaxed);
}

void context_release(ContextState* c) noexcept {
  // Up the ancestors by a loop: a long chain must not use up the stack.
  while (c && c->refs.fetch_sub(1, std::memory_order_acq_rel) == 1) {
    Entry entry;
    timer_remove(c->timer);
    ContextState* parent = c->parent;
    if (parent) parent->unlink(c->in_parent);
    delete c;
    c = parent;
  }
}

bool ContextState::link(ContextNode& n) noexcept {
  LockGuard hold(lock);
  if (error.load(std::memory_order_relaxed) != 0) return false;
  n.prev = nullptr;
  n.next = nodes;
  if (nodes) nodes->prev = &n;
  nodes = &n;
  n.linked = true;
  return true;
}

void ContextState::unlink(ContextNode& n) noexcept {
  LockGuard hold(lock);
  if (!n.linked) return;
  (n.prev ? n.prev->next : nodes) = n.next;
  if (n.next) n.next->prev = n.prev;
  n.linked = false;
}

// Over the descendants without recursion. The list holds collected children only, never `c`, which
// others may be cancelling or collecting at the same time.
void context_cancel(ContextState* c, Errc error, std::error_code cause) noexcept {
  Entry entry;
  ContextState* todo = end_one(c, error, cause);
  while (todo) {
    ContextState* now = std::exchange(todo, todo->next_collected);
    ContextState* children = end_one(now, error, cause);
    while (children) {
      ContextState* child = std::exchange(children, children->next_collected);
      child->next_collected = std::exchange(todo, child);
    }
    context_release(now);
  }
}

void cancel_expired(ContextState* list) noexcept {
  while (list) {
    ContextState* c = std::exchange(list, list->next_expired);
    context_cancel(c, Errc::timed_out, {});
    context_release(c);
  }
}

ContextState* current_context_state() noexcept {
  M* m = getm();
  return m->curg ? m->curg->context : nullptr;
}

namespace {
ContextState* make_child(ContextState* parent, Deadline deadline) {
  auto* c = new ContextState;
  c->parent = parent;
  context_retain(parent);
  c->deadline = deadline;
  c->in_parent.fn = &collect_child;
  return c;
}
}  // namespace

ContextWait::ContextWait(ContextState* c, Waiter& w) noexcept : context_(c), waiter_(w) {
  if (!context_) return;
  fn = [](ContextNode* self, ContextState*&) {
    static_cast<ContextWait*>(self)->waiter_.fire(Fired::context);
  };
  if (!context_->link(*this)) waiter_.fire(Fired::context);
}

ContextWait::~ContextWait() {
  if (context_) context_->unlink(*this);
}

}  // namespace rt

using rt::ContextState;

bool Context::done() const noexcept {
  return state_ && state_->error.load(std::memory_order_acquire) != 0;
}

std::error_code Context::error() const noexcept {
  if (!state_) return {};
  const int e = state_->error.load(std::memory_order_acquire);
  return e ? make_error_code(static_cast<Errc>(e)) : std::error_code();
}

std::error_code Context::cause() const noexcept {
  return done() ? state_->cause : std::error_code();  // stored once, before `error`
}

Deadline Context::deadline() const noexcept { return state_ ? state_->deadline : Deadline(); }

void Context::wait() const {
  rt::ensure_started();
  rt::ParkingEntry entry;
  rt::Waiter w;
  rt::ContextWait registered(state_, w);
  w.wait(rt::WaitReason::context);
}

void CancelFunc::cancel(std::error_code cause) const noexcept {
  if (ctx_.state()) rt::context_cancel(ctx_.state(), Errc::canceled, cause);
}

CancelableContext with_deadline(const Context& parent, Deadline deadline) {
  rt::ensure_started();
  const Deadline inherited = parent.deadline();
  const bool own = deadline < inherited;
  ContextState* c = rt::make_child(parent.state(), own ? deadline : inherited);
  Context ctx(c);
  rt::Entry entry;
  if (c->parent && !c->parent->link(c->in_parent)) {
    rt::context_cancel(c, static_cast<Errc>(c->parent->error.load(std::memory_order_acquire)),
                       c->parent->cause);
  } else if (own && deadline.passed()) {
    rt::context_cancel(c, Errc::timed_out, {});
  } else if (own) {
    c->timer.fn = &rt::on_deadline;
    c->timer.arg = c;
    rt::timer_arm(c->timer, deadline.at().time_since_epoch().count());
  }
  return {ctx, CancelFunc(ctx)};
}

CancelableContext with_cancel(const Context& parent) {
  return with_deadline(parent, Deadline::never());
}

Context current_context() noexcept {
  ContextState* c = rt::current_context_state();
  rt::context_retain(c);
  return Context(c);
}

namespace {
rt::G* calling_g() {
  rt::Entry entry;  // gives a plain thread its G
  return entry.m()->curg;
}
}  // namespace

ContextScope::ContextScope(Context ctx) noexcept : ctx_(std::move(ctx)) {
  rt::G* g = calling_g();
  previous_ = std::exchange(g->context, ctx_.state());
}

ContextScope::~ContextScope() { calling_g()->context = previous_; }

}  // namespace treadle
