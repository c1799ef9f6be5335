// TaskGroup: goroutines that work on one thing, and end before the scope that started them.
//
//   treadle::TaskGroup group;
//   for (auto& url : urls) group.go([&] { return fetch(url); });   // Result<void>
//   if (auto r = group.wait(); !r) return r;                       // the first error
#pragma once

#include <atomic>
#include <concepts>
#include <cstdint>
#include <exception>
#include <functional>
#include <optional>
#include <source_location>
#include <system_error>
#include <type_traits>
#include <utility>

#include <treadle/context.h>
#include <treadle/detail/lock.h>
#include <treadle/go.h>
#include <treadle/semaphore.h>
#include <treadle/wait_group.h>

namespace treadle {

namespace detail {

// What a task may return: nothing, or a Result whose value is not wanted.
template <class R>
inline constexpr bool kIsResult = false;
template <class T>
inline constexpr bool kIsResult<std::expected<T, std::error_code>> = true;
template <class F>
concept TaskFunction = std::invocable<F&> && (std::is_void_v<std::invoke_result_t<F&>> ||
                                              kIsResult<std::invoke_result_t<F&>>);

}  // namespace detail

// Tasks run as goroutines with the group's Context as their current one. The first that fails, by
// an error or an exception, cancels that Context and so the others, with its error as the cause; so
// does the end of the parent. The group waits for all of them, in wait() or else in its destructor:
// tasks may use references to whatever was there before the group. Groups nest: a group made in a
// task is a child of that task's group. Any goroutine or thread may add tasks, tasks themselves
// too. It must not be moved.
class TaskGroup {
 public:
  // Tasks get a child of `parent`. Never parks; any thread.
  explicit TaskGroup(const Context& parent = current_context());
  // Waits for the tasks when wait() has not. Parks the calling G; on a plain thread it blocks that
  // thread. When an exception is on its way through the scope, the tasks are cancelled first.
  // Errors nobody has waited for are lost; an exception is at least logged.
  ~TaskGroup();
  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;

  // At most `limit` tasks run at one time from now on. Panics when that is less than 1, or while
  // tasks are running. Never parks.
  void set_limit(std::int64_t limit);

  // Runs `f`, which returns nothing or a Result, in a new goroutine; copied or moved into it, and
  // destroyed before the group counts it as ended.
  // Parks the calling G while as many tasks run as the limit allows; on a plain thread it blocks
  // that thread. A task that adds to its own group should use try_go(): all places may be taken by
  // tasks that wait for one. Tasks are started even when the group is cancelled already, and see
  // that.
  template <class F>
    requires detail::TaskFunction<std::decay_t<F>>
  void go(F&& f, std::source_location site = std::source_location::current()) {
    enter();
    start(std::forward<F>(f), site);
  }
  // The same when the limit allows it at once; else false. Never parks; any thread.
  template <class F>
    requires detail::TaskFunction<std::decay_t<F>>
  [[nodiscard]] bool try_go(F&& f, std::source_location site = std::source_location::current()) {
    if (!try_enter()) return false;
    start(std::forward<F>(f), site);
    return true;
  }

  // Waits until all tasks have ended, whatever happened to the Context, then cancels it: what was
  // derived from it ends with the group. Rethrows the first exception that left a task; else
  // returns the first error; else nothing. Further calls do the same. Parks the calling G; on a
  // plain thread it blocks that thread. Not from one of the tasks.
  Result<void> wait();

  // The tasks' Context; its end is also the way to learn that one of them has failed.
  const Context& context() const noexcept { return scope_.context; }
  // Cancels the tasks that are running; wait() does not report it as an error. Never parks.
  void cancel() const noexcept { scope_.cancel(); }

 private:
  template <class F>
  void start(F&& f, const std::source_location& site) {
    struct Place {
      TaskGroup* group;
      ~Place() {
        if (group) group->leave();
      }
    } place{this};  // given back when copying `f` throws
    using Fn = std::decay_t<F>;
    treadle::go(
        [this, task = std::optional<Fn>(std::in_place, std::forward<F>(f))]() mutable {
          run(*task);
          task.reset();
          leave();
        },
        site);
    place.group = nullptr;
  }
  template <class F>
  void run(F& f) noexcept {
    try {
      const ContextScope scope(scope_.context);
      if constexpr (std::is_void_v<std::invoke_result_t<F&>>)
        std::invoke(f);
      else if (auto r = std::invoke(f); !r)
        failed(r.error());
    } catch (...) {
      failed(std::current_exception());
    }
  }

  void enter();
  bool try_enter();
  void leave();
  void failed(std::error_code error) noexcept;
  void failed(std::exception_ptr exception) noexcept;

  const CancelableContext scope_;
  const int exceptions_ = std::uncaught_exceptions();  // at the start
  std::optional<Semaphore> limit_;                     // changes only while no task runs
  WaitGroup tasks_;
  std::atomic<std::int64_t> running_{0};
  bool waited_ = false;  // the owner's
  rt::Lock lock_;        // protects what follows
  std::error_code error_;
  std::exception_ptr exception_;
};

}  // namespace treadle
