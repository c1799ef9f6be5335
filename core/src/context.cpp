// Contexts; the invariants stand in runtime/context_state.h.
#include <treadle/context.h>

#include <treadle/detail/kept_deadline.h>

#include <algorithm>
#include <cstddef>
#include <utility>

#include "runtime/context_state.h"
#include "runtime/foreign.h"
#include "runtime/sched.h"
#include "runtime/syscall.h"

namespace treadle {

using rt::CancelState;
using rt::ContextState;

namespace {
CancelState* source_of(const Context& ctx) noexcept {
  return ctx.state() ? ctx.state()->source : nullptr;
}
}  // namespace

bool Context::done() const noexcept { return state_ && state_->done(); }

std::error_code Context::error() const noexcept {
  return state_ ? state_->error_code() : std::error_code();
}

std::error_code Context::cause() const noexcept {
  return done() ? source_of(*this)->cause : std::error_code();  // stored before `error`, for good
}

Deadline Context::deadline() const noexcept {
  const CancelState* source = source_of(*this);
  if (!source) return {};
  if (!source->keeper) return source->deadline;
  return std::min(source->deadline, source->keeper->kept.load(std::memory_order_relaxed));
}

void Context::wait() const {
  rt::ensure_started();
  rt::ParkingEntry entry;
  rt::Waiter w;
  rt::ContextWait registered(state_, w);
  w.wait(rt::WaitReason::context);
}

void CancelFunc::cancel(std::error_code cause) const noexcept {
  ContextState* c = ctx_.state();
  if (c && c->kind == ContextState::Kind::cancel)
    rt::context_cancel(static_cast<CancelState*>(c), Errc::canceled, cause);
}

namespace {

// Puts a new context below its parent. `own`: the deadline is this context's, and has not passed.
Context place(CancelState* c, const Context& parent, Deadline deadline, bool own,
              std::error_code cause) {
  Context made(c);  // has the first reference
  c->deadline = deadline;
  c->cause = cause;
  CancelState* above = source_of(parent);
  if (!own && !above) return made;
  rt::Entry entry;
  c->in_list = above != nullptr;
  if (above && !above->link(*c)) {
    rt::context_cancel(c, static_cast<Errc>(above->error.load(std::memory_order_acquire)),
                       above->cause);
    return made;
  }
  if (!own) return made;
  // From above it may be ended already: under its lock, so that whoever does finds the timer.
  if (above) c->lock.lock();
  if (c->error.load(std::memory_order_relaxed) == 0) {
    c->timer_used = true;
    c->timer.fn = &rt::on_context_deadline;
    c->timer.arg = c;
    rt::timer_arm(c->timer, deadline.at().time_since_epoch().count());
  }
  if (above) c->lock.unlock();
  return made;
}

CancelableContext derive(const Context& parent, Deadline deadline, bool own,
                         std::error_code cause) {
  rt::ensure_started();
  Context made = place(new CancelState(parent.state()), parent, deadline, own, cause);
  CancelFunc cancel(made);
  return {std::move(made), std::move(cancel)};
}

// The one that its ancestors are sure to end at: what a keeper states may move.
Deadline certain_deadline(const Context& ctx) noexcept {
  const CancelState* source = source_of(ctx);
  return source ? source->deadline : Deadline();
}

}  // namespace

CancelableContext with_cancel(const Context& parent) {
  return derive(parent, certain_deadline(parent), false, {});
}

CancelableContext with_deadline(const Context& parent, Deadline deadline, std::error_code cause) {
  const Deadline inherited = certain_deadline(parent);
  if (deadline >= inherited) return derive(parent, inherited, false, {});
  if (parent.done() || !deadline.passed()) return derive(parent, deadline, true, cause);
  CancelableContext made = derive(parent, deadline, false, cause);
  // With the cause it was given.
  rt::context_cancel(static_cast<CancelState*>(made.context.state()), Errc::timed_out, {});
  return made;
}

CancelableContext with_timeout(const Context& parent, Duration d, std::error_code cause) {
  const Deadline deadline = Deadline::after(d);
  // One look at the clock is enough: it has not passed yet.
  if (d > Duration::zero() && deadline < certain_deadline(parent))
    return derive(parent, deadline, true, cause);
  return with_deadline(parent, deadline, cause);
}

Context without_cancel(const Context& parent) {
  ContextState* c = parent.state();
  if (!c || !c->values) return {};
  // The values alone: the contexts between them and `parent` need not live on.
  auto* values = const_cast<rt::ValueState*>(c->values);
  auto* detached = new ContextState(ContextState::Kind::detached, values);
  detached->values = values;
  return Context(detached);
}

bool StopFunc::operator()() const noexcept {
  if (!call_ || call_->claimed.exchange(true, std::memory_order_relaxed)) return false;
  if (CancelState* source = source_of(ctx_)) {
    {
      rt::Entry entry;
      source->unlink(*call_);  // also waits for an end that is about to find it claimed
    }
    detail::done_call_release(call_);  // the list's
  }
  return true;
}

namespace detail {

Context context_with_value(const Context& parent, const void* key, void* value,
                           void (*destroy)(void*) noexcept) {
  rt::ensure_started();
  return Context(new rt::ValueState(parent.state(), key, value, destroy));
}

Context with_kept_deadline(const Context& parent, Deadline stated) {
  rt::ensure_started();
  auto* c = new CancelState(parent.state());
  c->keeper = c;
  c->kept.store(stated, std::memory_order_relaxed);
  return place(c, parent, certain_deadline(parent), false, {});
}

std::uint32_t kept_context_handles(const Context& ctx) noexcept {
  return ctx.state()->refs.load(std::memory_order_acquire);
}

// Acquire: pairs with the release of a handle, whose owner has done with it.
bool kept_context_unseen(const Context& ctx, std::uint32_t known) noexcept {
  const auto* c = static_cast<const CancelState*>(ctx.state());
  return c->refs.load(std::memory_order_acquire) <= known && !c->waited_for() && !c->done();
}

void move_kept_deadline(const Context& ctx, Deadline stated) noexcept {
  if (CancelState* source = source_of(ctx); source && source->keeper)
    source->keeper->kept.store(stated, std::memory_order_relaxed);
}

void expire_context(const Context& ctx) noexcept {
  if (CancelState* source = source_of(ctx)) rt::context_cancel(source, Errc::timed_out, {});
}

}  // namespace detail

Context current_context() noexcept {
  ContextState* c = rt::current_context_state();
  rt::context_retain(c);
  return Context(c);
}

namespace {
rt::G* calling_g() {
  if (rt::G* g = rt::getm()->curg) [[likely]]
    return g;
  rt::Entry entry;  // gives a plain thread its G
  return entry.m()->curg;
}
}  // namespace

ContextScope::ContextScope(Context ctx) noexcept : ctx_(std::move(ctx)) {
  rt::G* g = calling_g();
  previous_ = std::exchange(g->context, ctx_.state());
}

ContextScope::~ContextScope() { calling_g()->context = previous_; }

detail::BorrowedContextScope::BorrowedContextScope(const Context& ctx) noexcept
    : g_(calling_g()), previous_(std::exchange(g_->context, ctx.state())) {}

detail::BorrowedContextScope::~BorrowedContextScope() { g_->context = previous_; }

}  // namespace treadle
