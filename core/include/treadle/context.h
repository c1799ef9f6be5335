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

#include <concepts>
#include <memory>
#include <new>
#include <source_location>
#include <system_error>
#include <type_traits>
#include <utility>

#include <treadle/detail/box.h>
#include <treadle/timer.h>

namespace treadle {

class Context;

namespace rt {
struct ContextState;
struct DoneCall;
void context_retain(ContextState*) noexcept;
void context_release(ContextState*) noexcept;
}  // namespace rt

namespace detail {
const void* context_value(const rt::ContextState*, const void* key) noexcept;
Context context_with_value(const Context& parent, const void* key, void* value,
                           void (*destroy)(void*) noexcept);
// A call to be armed or abandoned, and the room for its callable.
struct NewDoneCall {
  rt::DoneCall* call;
  void* room;
};
NewDoneCall done_call_make(const BoxOps& ops);
void done_call_abandon(rt::DoneCall*) noexcept;
void done_call_arm(rt::DoneCall*, const Context& ctx, const std::source_location& site) noexcept;
void done_call_retain(rt::DoneCall*) noexcept;
void done_call_release(rt::DoneCall*) noexcept;
}  // namespace detail

// The name of a value that contexts carry, and its type. Two keys are never the same, so make each
// a constant at namespace scope:
//   inline constexpr treadle::ContextKey<User> kUser;
//   ctx = treadle::with_value(ctx, kUser, User{...});
//   if (const User* user = ctx.value(kUser)) ...
template <class T>
class ContextKey {
  static_assert(std::is_object_v<T> && !std::is_const_v<T>, "the plain type of the value");

 public:
  constexpr ContextKey() noexcept = default;
  ContextKey(const ContextKey&) = delete;
  ContextKey& operator=(const ContextKey&) = delete;

 private:
  [[maybe_unused]] char identity_ = 0;  // the key is its address
};

// A handle, cheap to copy (a reference count); copies are the same context. Safe to use from any
// thread. Default-constructed it is the background context, which never ends.
class Context {
 public:
  Context() noexcept = default;
  Context(const Context& o) noexcept : state_(o.state_) {
    if (state_) rt::context_retain(state_);
  }
  Context(Context&& o) noexcept : state_(std::exchange(o.state_, nullptr)) {}
  Context& operator=(Context o) noexcept {
    std::swap(state_, o.state_);
    return *this;
  }
  ~Context() {
    if (state_) rt::context_release(state_);
  }

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

  // What with_value() stored under `key`, here or in the nearest ancestor that has one; null when
  // none has. It lives as long as this handle. Takes no lock: a walk over the values alone.
  // Never parks.
  template <class T>
  const T* value(const ContextKey<T>& key) const noexcept {
    return static_cast<const T*>(detail::context_value(state_, &key));
  }

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
  // For the runtime's own use.
  explicit CancelFunc(Context ctx) noexcept : ctx_(std::move(ctx)) {}

  void operator()() const noexcept { cancel({}); }
  // With a reason, which cause() then gives, here and in the descendants.
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
// `cause` is what cause() gives when the time passes (not when it is cancelled before); left out,
// it is Errc::timed_out.
CancelableContext with_deadline(const Context& parent, Deadline deadline,
                                std::error_code cause = {});
CancelableContext with_timeout(const Context& parent, Duration d, std::error_code cause = {});

// `parent` with a value, for what is done on its behalf (the user, a trace id); not for arguments a
// function needs. Done when its parent is. The value is shared by all who look it up and must not
// change; its destructor runs once the last handle that leads to it has gone, wherever that is.
// Never parks; any thread.
template <class T>
Context with_value(const Context& parent, const ContextKey<T>& key, std::type_identity_t<T> value) {
  auto boxed = std::make_unique<T>(std::move(value));
  Context made = detail::context_with_value(parent, &key, boxed.get(),
                                            [](void* at) noexcept { delete static_cast<T*>(at); });
  boxed.release();
  return made;
}

// The values of `parent`, without its end: never done, no deadline. For what must be finished
// although the request is over, such as undoing half of it. Never parks; any thread.
Context without_cancel(const Context& parent);

// Takes back an after_func(); see there. Cheap to copy.
class StopFunc {
 public:
  StopFunc() noexcept = default;
  StopFunc(const StopFunc& o) noexcept : ctx_(o.ctx_), call_(o.call_) {
    detail::done_call_retain(call_);
  }
  StopFunc(StopFunc&& o) noexcept
      : ctx_(std::move(o.ctx_)), call_(std::exchange(o.call_, nullptr)) {}
  StopFunc& operator=(StopFunc o) noexcept {
    std::swap(ctx_, o.ctx_);
    std::swap(call_, o.call_);
    return *this;
  }
  ~StopFunc() { detail::done_call_release(call_); }

  // True: the function will not run, because of this call. False: it was started, or stopped,
  // before; it may still be running. Never parks; any thread.
  bool operator()() const noexcept;

  // For the runtime's own use: takes over one reference.
  StopFunc(Context ctx, rt::DoneCall* adopted) noexcept : ctx_(std::move(ctx)), call_(adopted) {}

 private:
  Context ctx_;  // the call stands in its list
  rt::DoneCall* call_ = nullptr;
};

// Calls `f` in a goroutine of its own once `ctx` is done; at once when it is already. Letting go of
// the StopFunc does not stop it. `f` is destroyed after its call, or when it is stopped and the
// handles are gone, or with a context that can no longer end. An `f` that holds `ctx` itself keeps
// the context, and so itself, until the context ends or it is stopped.
// Never parks; any thread. The new goroutine's current Context is background; out of memory for its
// stack is fatal, as for go().
template <class F>
  requires std::invocable<std::decay_t<F>&>
StopFunc after_func(const Context& ctx, F&& f,
                    std::source_location site = std::source_location::current()) {
  using Fn = std::decay_t<F>;
  const detail::NewDoneCall made = detail::done_call_make(detail::kBoxOps<Fn>);
  try {
    ::new (made.room) Fn(std::forward<F>(f));
  } catch (...) {
    detail::done_call_abandon(made.call);
    throw;
  }
  detail::done_call_arm(made.call, ctx, site);
  return StopFunc(ctx, made.call);
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
