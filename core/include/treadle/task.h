// spawn() and Task: a goroutine whose result somebody waits for.
//
//   auto user = treadle::spawn([&] { return load_user(id); });
//   auto items = load_items(id);             // meanwhile
//   render(user.join(), items);              // its value, or the exception that ended it
#pragma once

#include <atomic>
#include <concepts>
#include <cstdint>
#include <exception>
#include <optional>
#include <source_location>
#include <type_traits>
#include <utility>

#include <treadle/context.h>
#include <treadle/detail/lock.h>
#include <treadle/go.h>

namespace treadle {

namespace rt {
struct Waiter;
}

namespace detail {

// What the handle and the goroutine share; it goes with the second of the two.
class TaskCore {
 public:
  explicit TaskCore(const std::source_location& site) noexcept : site_(site) {}
  virtual ~TaskCore() = default;
  TaskCore(const TaskCore&) = delete;
  TaskCore& operator=(const TaskCore&) = delete;

  // The goroutine's side. `thrown` is what ended it, if anything did.
  void begin() noexcept;
  void finish(std::exception_ptr thrown) noexcept;

  // The handle's side.
  bool done() const noexcept { return finished_.load(std::memory_order_acquire); }
  // False: the context (null: none) was done first.
  bool wait(rt::ContextState* context);
  void rethrow();  // what ended it; once done
  void abandon() noexcept;
  void release() noexcept;  // the handle, when its result was taken

 private:
  void report_lost() noexcept;

  std::atomic<std::uint32_t> refs_{2};
  std::atomic<bool> finished_{false};  // release by finish(), under lock_; acquire by done()
  rt::Lock lock_;                      // protects what follows
  bool abandoned_ = false;
  rt::Waiter* waiter_ = nullptr;
  std::exception_ptr thrown_;                // set before finished_
  std::atomic<std::uint64_t> goroutine_{0};  // its id, once it runs
  std::source_location site_;
};

template <class T>
class TaskState final : public TaskCore {
 public:
  using TaskCore::TaskCore;
  std::optional<T> value;  // set before finish()
};
template <>
class TaskState<void> final : public TaskCore {
 public:
  using TaskCore::TaskCore;
};

// What the goroutine runs. The callable is destroyed before the task counts as done: who has joined
// it may destroy what the callable refers to. In place, since a move may have to copy (a lambda
// that captured a const object) and would leave the original behind.
template <class T, class F>
struct TaskBody {
  TaskState<T>* state;
  std::optional<F> f;
  void operator()() noexcept {
    state->begin();
    std::exception_ptr thrown;
    try {
      if constexpr (std::is_void_v<T>)
        (*f)();
      else
        state->value.emplace((*f)());
    } catch (...) {
      thrown = std::current_exception();
    }
    f.reset();
    state->finish(std::move(thrown));
  }
};

[[noreturn]] void task_panic(const char* what);
[[noreturn]] void task_no_memory();

}  // namespace detail

// The handle of a goroutine started by spawn(). Move-only; used by one goroutine or plain thread at
// a time. Empty once joined, moved from or detached.
//
// One that is dropped without join() is detached: the goroutine runs on and its value is dropped.
// An exception that thereby nobody collects does not end the process, but it is logged as an
// error, with the goroutine's id and where it was started.
template <class T = void>
class [[nodiscard]] Task {
  static_assert(!std::is_reference_v<T>, "a Task holds a value: return a pointer instead");

 public:
  Task() noexcept = default;
  Task(Task&& o) noexcept : state_(std::exchange(o.state_, nullptr)) {}
  Task& operator=(Task&& o) noexcept {
    if (this != &o) {
      detach();
      state_ = std::exchange(o.state_, nullptr);
    }
    return *this;
  }
  ~Task() { detach(); }

  bool valid() const noexcept { return state_ != nullptr; }
  // True once the callable has returned or thrown, and is destroyed: join() will not wait.
  // Never parks. Panics when the task is empty.
  bool done() const {
    need("done");
    return state_->done();
  }

  // Waits until the goroutine's callable is done; returns its value, or rethrows what it threw.
  // Parks the calling G; on a plain thread it blocks that thread. Panics when the task is empty, or
  // is the caller itself.
  T join() {
    need("join");
    state_->wait(nullptr);
    return take();
  }
  // The same, unless `ctx` is done first: then `canceled` or `timed_out`; the goroutine runs on,
  // and the task can be joined again.
  [[nodiscard]] Result<T> join(const Context& ctx) {
    need("join");
    if (!state_->wait(ctx.state())) return fail(ctx.error());
    if constexpr (std::is_void_v<T>) {
      take();
      return {};
    } else {
      return take();
    }
  }

  // Lets the goroutine run on by itself, as the destructor does; see above. Never parks.
  void detach() noexcept {
    if (state_) std::exchange(state_, nullptr)->abandon();
  }

  // For spawn().
  explicit Task(detail::TaskState<T>* adopted) noexcept : state_(adopted) {}

 private:
  void need(const char* what) const {
    if (!state_) detail::task_panic(what);
  }
  T take() {
    struct Release {
      detail::TaskCore* state;
      ~Release() { state->release(); }
    } release{state_};
    auto* state = std::exchange(state_, nullptr);
    state->rethrow();
    if constexpr (!std::is_void_v<T>) return std::move(*state->value);
  }

  detail::TaskState<T>* state_ = nullptr;
};

namespace detail {

template <class F>
using TaskOf = Task<std::invoke_result_t<std::decay_t<F>&>>;

template <class F>
TaskOf<F> spawn(F&& f, GoOptions* options, const std::source_location& site) {
  using T = std::invoke_result_t<std::decay_t<F>&>;
  static_assert(!std::is_reference_v<T>, "a Task holds a value: return a pointer instead");
  auto* state = new TaskState<T>(site);
  bool started = false;
  try {
    started = start(TaskBody<T, std::decay_t<F>>{state, std::optional<std::decay_t<F>>(
                                                            std::in_place, std::forward<F>(f))},
                    options, StackWhen::now, site);
  } catch (...) {
    delete state;
    throw;
  }
  if (!started) {
    delete state;
    task_no_memory();
  }
  return Task<T>(state);
}

}  // namespace detail

// Starts a goroutine that calls `f`, as go() does, and returns its Task. What `f` returns must be
// movable. An exception that leaves `f` goes to whoever joins.
// Never parks; any thread. Throws std::system_error with not_enough_memory when there is no memory
// for another goroutine.
template <class F>
  requires std::invocable<std::decay_t<F>&>
detail::TaskOf<F> spawn(F&& f, std::source_location site = std::source_location::current()) {
  return detail::spawn(std::forward<F>(f), nullptr, site);
}
template <class F>
  requires std::invocable<std::decay_t<F>&>
detail::TaskOf<F> spawn(F&& f, GoOptions options,
                        std::source_location site = std::source_location::current()) {
  return detail::spawn(std::forward<F>(f), &options, site);
}

}  // namespace treadle
