// Context: a deadline and a cancellation signal that reach everything done on their behalf.
//
//   auto [ctx, cancel] = treadle::with_timeout(treadle::current_context(), 2s);
//   treadle::ContextScope scope(ctx);
//   auto n = conn.read(buf);   // ends with timed_out after 2 s
//
// Each goroutine has a current Context (background unless a ContextScope says otherwise). I/O,
// dial, resolve and sleep honour it without being told; channel waits and locks take one
// explicitly, since their results have no room for an error.
#pragma once

#include <system_error>
#include <utility>

#include <treadle/timer.h>

namespace treadle {

namespace rt {
struct ContextState;
void context_retain(ContextState*) noexcept;
void context_release(ContextState*) noexcept;
}  // namespace rt

class CancelFunc;

// A handle, cheap to copy (a reference count); copies are the same context. Safe to use from any
// thread. Default-constructed it is the background context, which never ends.
class Context {
 public:
  Context() noexcept = default;
  Context(const Context& o) noexcept : state_(o.state_) { rt::context_retain(state_); }
  Context(Context&& o) noexcept : state_(std::exchange(o.state_, nullptr)) {}
  Context& operator=(Context o) noexcept {
    std::swap(state_, o.state_);
    return *this;
  }
  ~Context() { rt::context_release(state_); }

  // True once cancelled or past the deadline. Never parks.
  bool done() const noexcept;
  // Empty while not done; then Errc::canceled or Errc::timed_out. Never parks.
  std::error_code error() const noexcept;
  // What the canceller gave as its reason; error() when it gave none.
  std::error_code cause() const noexcept;
  // The earliest deadline of this context and its ancestors; never when there is none.
  Deadline deadline() const noexcept;

  // Parks until the context is done. For the background context that is for ever.
  // On a plain thread it blocks that thread.
  void wait() const;

  friend bool operator==(const Context&, const Context&) noexcept = default;

  // For the runtime's own use: takes over one reference.
  explicit Context(rt::ContextState* adopted) noexcept : state_(adopted) {}
  rt::ContextState* state() const noexcept { return state_; }

 private:
  rt::ContextState* state_ = nullptr;  // null: background
};

// Cancels the Context it was made with, and its descendants; further calls do nothing. Cheap to
// copy. Never parks; any thread. Letting every handle go without a call is fine: nothing leaks.
class CancelFunc {
 public:
  explicit CancelFunc(Context ctx) noexcept : ctx_(std::move(ctx)) {}
  void operator()() const noexcept { cancel({}); }
  void operator()(std::error_code cause) const noexcept { cancel(cause); }

 private:
  void cancel(std::error_code cause) const noexcept;
  Context ctx_;
};

struct CancelableContext {
  Context context;
  CancelFunc cancel;
};

// The root: never cancelled, no deadline.
inline Context background() noexcept { return {}; }

// Contexts derived from `parent`: done when it is, and on their own occasion. Never park; any
// thread.
CancelableContext with_cancel(const Context& parent);
CancelableContext with_deadline(const Context& parent, Deadline deadline);
inline CancelableContext with_timeout(const Context& parent, Duration d) {
  return with_deadline(parent, Deadline::after(d));
}

// The calling goroutine's current Context; background on a plain thread that set none.
Context current_context() noexcept;

// Sets the calling goroutine's current Context until the scope ends. Scopes nest; one must end on
// the goroutine that began it.
class ContextScope {
 public:
  explicit ContextScope(Context ctx) noexcept;
  ~ContextScope();
  ContextScope(const ContextScope&) = delete;
  ContextScope& operator=(const ContextScope&) = delete;

 private:
  Context ctx_;
  rt::ContextState* previous_;
};

}  // namespace treadle
