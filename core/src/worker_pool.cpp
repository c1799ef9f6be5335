// WorkerPool: a gate that admits as many jobs as there are workers and places in the queue, a list
// of jobs, and the workers.
//
// Invariants
//  - A job is in the gate from before it is listed until after it has been destroyed, so that the
//    list is never longer than the gate's limit, and the pool is done when the gate is closed and
//    empty. Whoever learns that (Gate::leave() or close() says so) calls finish().
//  - Workers wait only while the list is empty and it is not finished.
// The state is shared: a worker's last steps may come after close() has returned.
#include <treadle/worker_pool.h>

#include <fmt/core.h>

#include <algorithm>
#include <limits>
#include <vector>

#include <treadle/go.h>
#include <treadle/runtime.h>
#include <treadle/wait_group.h>

#include "gate.h"
#include "runtime/sched.h"
#include "runtime/syscall.h"
#include "wait_list.h"

namespace treadle {

using detail::Job;

struct WorkerPool::State {
  State(std::int64_t worker_count, std::int64_t queue)
      : gate(worker_count + queue, rt::WaitReason::worker_pool),
        ids(static_cast<std::size_t>(worker_count)) {}
  ~State() {
    // Empty, since the pool's destructor waits; but for a constructor that threw.
    while (Job* j = first) {
      first = j->next;
      delete j;
    }
  }

  rt::Gate gate;
  std::function<void(std::exception_ptr)> on_exception;
  WaitGroup running;                            // workers
  std::vector<std::atomic<std::uint64_t>> ids;  // the workers' goroutines, to know them by

  rt::Lock lock;  // protects what follows
  Job* first = nullptr;
  Job* last = nullptr;
  bool finished = false;
  rt::Waiter* head = nullptr;  // idle workers
  rt::Waiter* tail = nullptr;

  void push(Job* job) noexcept;
  std::unique_ptr<Job> pop();
  void finish() noexcept;
  void work();
  bool is_worker(std::uint64_t id) const noexcept {
    return std::any_of(ids.begin(), ids.end(), [&](const auto& i) { return i == id; });
  }
};

void WorkerPool::State::push(Job* job) noexcept {
  rt::Entry entry;
  rt::GList ready;
  {
    rt::LockGuard hold(lock);
    (first ? last->next : first) = job;
    last = job;
    rt::wake_one({head, tail}, rt::Fired::granted, ready);
  }
  rt::ready_all(ready);
}

// The next job, waiting for one; null at the end.
std::unique_ptr<Job> WorkerPool::State::pop() {
  rt::ParkingEntry entry;
  for (;;) {
    lock.lock();
    Job* job = first;
    if (job) first = job->next;
    if (job || finished) {
      lock.unlock();
      return std::unique_ptr<Job>(job);
    }
    rt::wait_in(lock, {head, tail}, {}, rt::WaitReason::worker_pool);
  }
}

void WorkerPool::State::finish() noexcept {
  rt::Entry entry;
  rt::GList ready;
  {
    rt::LockGuard hold(lock);
    finished = true;
    rt::wake_all({head, tail}, rt::Fired::closed, ready);
  }
  rt::ready_all(ready);
}

void WorkerPool::State::work() {
  while (auto job = pop()) {
    if (on_exception) {
      try {
        job->run();
      } catch (...) {
        on_exception(std::current_exception());
      }
    } else {
      job->run();  // under no catch: an exception ends the process where it was thrown
    }
    job.reset();
    if (gate.leave()) finish();
  }
}

WorkerPool::WorkerPool(WorkerPoolOptions options, std::source_location site) {
  const std::int64_t workers = options.workers == 0 ? max_procs() : options.workers;
  if (workers < 0 || workers > 1'000'000)
    throw Panic(fmt::format("treadle::WorkerPool: {} workers; 0 to 1,000,000", workers));
  if (options.queue < 0 || options.queue > std::numeric_limits<std::int64_t>::max() - workers)
    throw Panic(fmt::format("treadle::WorkerPool: a queue of {} jobs", options.queue));
  state_ = std::make_shared<State>(workers, options.queue);
  state_->on_exception = std::move(options.on_exception);
  state_->running.add(workers);
  for (std::size_t i = 0; i < state_->ids.size(); ++i) {
    go(
        [state = state_, i] {
          state->ids[i] = goroutine_id();
          state->work();
          state->running.done();
        },
        site);
  }
}

WorkerPool::~WorkerPool() { close(); }

Result<void> WorkerPool::submit_job(std::unique_ptr<Job> job, const Context* ctx) {
  switch (state_->gate.enter(ctx)) {
    case rt::Admission::admitted: accept(std::move(job)); return {};
    case rt::Admission::context_done: return fail(ctx->error());
    default: return fail(Errc::closed);
  }
}

bool WorkerPool::try_reserve() noexcept {
  return state_->gate.try_enter() == rt::Admission::admitted;
}

void WorkerPool::give_back() noexcept {
  if (state_->gate.leave()) state_->finish();
}

void WorkerPool::accept(std::unique_ptr<Job> job) noexcept { state_->push(job.release()); }

void WorkerPool::close() { (void)close(background()); }

Result<void> WorkerPool::close(const Context& ctx) {
  if (const std::uint64_t self = goroutine_id(); self != 0 && state_->is_worker(self))
    throw Panic("treadle::WorkerPool::close: called from one of its own jobs");
  if (state_->gate.close()) state_->finish();
  return state_->running.wait(ctx);
}

std::int64_t WorkerPool::pending() const noexcept { return state_->gate.used(); }

}  // namespace treadle
