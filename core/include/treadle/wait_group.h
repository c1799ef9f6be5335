// WaitGroup: waits for a number of goroutines to finish.
//
//   treadle::WaitGroup wg;
//   for (auto& job : jobs) { wg.add(1); treadle::go([&] { run(job); wg.done(); }); }
//   wg.wait();
#pragma once

#include <cstdint>

#include <treadle/context.h>
#include <treadle/detail/lock.h>

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
  // Never parks; any thread. Panics when the counter would become negative.
  void add(std::int64_t delta);
  void done() { add(-1); }
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
