// TaskGroup: a WaitGroup, a Context and, with a limit, a Semaphore.
//
// leave() lets go of the group by tasks_.done(), which may be destroyed as soon as a waiter has
// seen zero; so the place in the limit is given back before.
#include <treadle/task_group.h>

#include <fmt/core.h>

#include <algorithm>

#include <treadle/log.h>

#include "runtime/syscall.h"

namespace treadle {

TaskGroup::TaskGroup(const Context& parent) : scope_(with_cancel(parent)) {}

TaskGroup::~TaskGroup() {
  if (!waited_ && std::uncaught_exceptions() > exceptions_) scope_.cancel();
  tasks_.wait();  // after a wait() too: tasks may have been added since
  scope_.cancel();
  if (!exception_ || waited_) return;
  try {
    std::rethrow_exception(exception_);
  } catch (const std::exception& e) {
    log::error("treadle::TaskGroup: nobody waited for a task that threw: {}", e.what());
  } catch (...) {
    log::error("treadle::TaskGroup: nobody waited for a task that threw");
  }
}

void TaskGroup::set_limit(std::int64_t limit) {
  if (limit < 1) throw Panic(fmt::format("treadle::TaskGroup::set_limit: limit of {}", limit));
  if (const auto n = running_.load(std::memory_order_relaxed); n != 0)
    throw Panic(fmt::format("treadle::TaskGroup::set_limit: {} tasks are running", n));
  constexpr std::int64_t kNoLimit = std::int64_t{1} << 61;  // a Semaphore's most
  limit_.emplace(std::min(limit, kNoLimit));
}

void TaskGroup::enter() {
  if (limit_) limit_->acquire();
  running_.fetch_add(1, std::memory_order_relaxed);
  tasks_.add(1);
}

bool TaskGroup::try_enter() {
  if (limit_ && !limit_->try_acquire()) return false;
  running_.fetch_add(1, std::memory_order_relaxed);
  tasks_.add(1);
  return true;
}

void TaskGroup::leave() {
  running_.fetch_sub(1, std::memory_order_relaxed);
  if (limit_) limit_->release();
  tasks_.done();
}

void TaskGroup::failed(std::error_code error) noexcept {
  {
    rt::Entry entry;
    const rt::LockGuard hold(lock_);
    if (!error_) error_ = error;
  }
  scope_.cancel(error);  // only the first cancel has an effect
}

void TaskGroup::failed(std::exception_ptr exception) noexcept {
  {
    rt::Entry entry;
    const rt::LockGuard hold(lock_);
    if (!exception_) exception_.swap(exception);
  }
  scope_.cancel();
  // A later exception ends here, outside the lock.
}

Result<void> TaskGroup::wait() {
  tasks_.wait();
  waited_ = true;
  scope_.cancel();
  if (exception_) std::rethrow_exception(exception_);
  if (error_) return fail(error_);
  return {};
}

}  // namespace treadle
