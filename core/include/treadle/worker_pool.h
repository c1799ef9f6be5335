// WorkerPool: jobs done by a fixed number of goroutines, behind a bounded queue.
//
//   treadle::WorkerPool pool({.workers = 8, .queue = 100});
//   if (!pool.try_submit([=] { resize(image); })) return busy();
//   pool.submit([=] { send_mail(m); });      // waits for room
//   pool.close();                            // no more; does what is queued, then returns
#pragma once

#include <concepts>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <source_location>
#include <type_traits>
#include <utility>

#include <treadle/context.h>
#include <treadle/result.h>

namespace treadle {

struct WorkerPoolOptions {
  // How many jobs run at a time, 1 to 1,000,000. 0: as many as there are Ps.
  std::int64_t workers = 0;
  // How many jobs wait beyond those that run. 0: a job is taken only when a worker is free for it.
  std::int64_t queue = 1024;
  // Called by the worker with what a job threw; the worker goes on. It must not throw, and several
  // workers may call it at a time. Empty: an exception that leaves a job ends the process with its
  // stack, as one that leaves a goroutine does.
  std::function<void(std::exception_ptr)> on_exception = nullptr;
};

namespace detail {

struct Job {
  virtual ~Job() = default;
  virtual void run() = 0;
  Job* next = nullptr;  // under the pool's lock
};

template <class F>
struct JobOf final : Job {
  template <class U>
  explicit JobOf(U&& u) : f(std::forward<U>(u)) {}
  void run() override { f(); }
  F f;
};

}  // namespace detail

// All functions may be called from any goroutine or plain thread, and at the same time. Jobs are
// started in the order in which they were accepted; each runs with the background Context.
class WorkerPool {
 public:
  // Starts the workers. Values out of range panic with the value. Never parks; any thread.
  explicit WorkerPool(WorkerPoolOptions options = {},
                      std::source_location site = std::source_location::current());
  // close()s. Parks as that does.
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  // Queues `f`, waiting for room. Errors: `closed`; `f` is destroyed then, and not run.
  // Parks the calling G; on a plain thread it blocks that thread. From a job it may wait for ever,
  // when all workers do the same.
  template <class F>
    requires std::invocable<std::decay_t<F>&>
  Result<void> submit(F&& f) {
    return submit_job(box(std::forward<F>(f)), nullptr);
  }
  // The same, unless `ctx` is done first: then `canceled` or `timed_out`. Room that is there counts
  // before the context.
  template <class F>
    requires std::invocable<std::decay_t<F>&>
  Result<void> submit(F&& f, const Context& ctx) {
    return submit_job(box(std::forward<F>(f)), &ctx);
  }
  // Queues `f` only if there is room now. False: it is full or closed, and `f` is as it was. Never
  // parks.
  template <class F>
    requires std::invocable<std::decay_t<F>&>
  [[nodiscard]] bool try_submit(F&& f) {
    Place place(*this);
    if (!place.taken) return false;
    accept(box(std::forward<F>(f)));
    place.taken = false;
    return true;
  }

  // No more jobs: those who wait in submit() get `closed`. Does all that was accepted, and returns
  // when the last worker has ended. Idempotent; panics when called from one of its jobs.
  // Parks the calling G; on a plain thread it blocks that thread.
  void close();
  // The same, but stops waiting when `ctx` is done: then `canceled` or `timed_out`, and the workers
  // go on to the end.
  Result<void> close(const Context& ctx);

  // Jobs accepted and not finished yet. Never parks.
  std::int64_t pending() const noexcept;

 private:
  struct State;  // core/src/worker_pool.cpp
  // A place in the queue, given back unless a job has taken it over.
  struct Place {
    explicit Place(WorkerPool& p) : pool(p), taken(p.try_reserve()) {}
    ~Place() {
      if (taken) pool.give_back();
    }
    WorkerPool& pool;
    bool taken;
  };

  template <class F>
  static std::unique_ptr<detail::Job> box(F&& f) {
    return std::make_unique<detail::JobOf<std::decay_t<F>>>(std::forward<F>(f));
  }
  Result<void> submit_job(std::unique_ptr<detail::Job> job, const Context* ctx);
  bool try_reserve() noexcept;
  void give_back() noexcept;
  void accept(std::unique_ptr<detail::Job> job) noexcept;

  std::shared_ptr<State> state_;
};

}  // namespace treadle
