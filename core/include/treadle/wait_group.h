// WaitGroup: waits for a number of goroutines to finish.
//
//   treadle::WaitGroup wg;
//   for (auto& job : jobs) wg.go([&] { run(job); });
//   wg.wait();
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
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

// A counter that goroutines, or plain threads, wait on until it is zero. Reusable once every
// waiter has returned. May be destroyed as soon as wait() has returned, even while the done() that
// released it is still returning.
class WaitGroup {
 public:
  constexpr WaitGroup() noexcept = default;
  WaitGroup(const WaitGroup&) = delete;
  WaitGroup& operator=(const WaitGroup&) = delete;

  // Adds `delta`, which may be negative. Call it before the goroutine it counts is started.
  // Never parks; any thread. Panics when the counter would become negative, or above 2^63 - 1; it
  // stays as it was then.
  void add(std::int64_t delta);
  void done() { add(-1); }
  // Counts a new goroutine that calls `f`, from now until `f` has returned and was destroyed. As
  // with treadle::go(), an exception that leaves `f` ends the process; TaskGroup carries it to the
  // waiter. Never parks; any thread.
  template <class F>
    requires std::invocable<std::decay_t<F>&>
  void go(F&& f, std::source_location site = std::source_location::current()) {
    struct Count {
      WaitGroup* group;
      ~Count() {
        if (group) group->done();
      }
    };
    add(1);
    Count count{this};  // undone when copying `f` throws
    treadle::go(
        [this, task = std::optional<std::decay_t<F>>(std::in_place, std::forward<F>(f))]() mutable {
          std::invoke(*task);
          task.reset();
          done();
        },
        site);
    count.group = nullptr;
  }
  // Parks the calling G until the counter is zero; on a plain thread it blocks that thread.
  void wait();
  // The same, unless `ctx` is done first: then `canceled` or `timed_out`.
  [[nodiscard]] Result<void> wait(const Context& ctx);

 private:
  Result<void> wait_for(rt::ContextState* context);

  rt::Lock lock_;  // protects what follows
  std::int64_t count_ = 0;
  rt::Waiter* head_ = nullptr;
  rt::Waiter* tail_ = nullptr;
};

}  // namespace treadle
