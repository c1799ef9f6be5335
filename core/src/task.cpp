// Task: one lock, one waiter. Handle and goroutine each hold a reference, so neither touches a
// state that the other has let go of.
#include <treadle/task.h>

#include <fmt/core.h>

#include <string>
#include <system_error>

#include <treadle/log.h>

#include "runtime/context_state.h"
#include "runtime/sched.h"
#include "runtime/syscall.h"
#include "runtime/waiter.h"

namespace treadle::detail {

using namespace rt;

void task_panic(const char* what) {
  throw Panic(fmt::format("treadle::Task::{}: the task is empty", what));
}

void task_no_memory() {
  throw std::system_error(std::make_error_code(std::errc::not_enough_memory),
                          "treadle::spawn: no memory for another goroutine");
}

void TaskCore::begin() noexcept { goroutine_.store(goroutine_id(), std::memory_order_relaxed); }

void TaskCore::finish(std::exception_ptr thrown) noexcept {
  thrown_ = std::move(thrown);
  bool abandoned;
  {
    Entry entry;
    G* g = nullptr;
    {
      LockGuard hold(lock_);
      finished_.store(true, std::memory_order_release);
      abandoned = abandoned_;
      if (waiter_) std::exchange(waiter_, nullptr)->claim(Fired::granted, &g);
    }
    if (g) goready(g);
  }
  if (abandoned) report_lost();
  release();
}

bool TaskCore::wait(ContextState* context) {
  if (done()) return true;
  bool second = false, self = false;
  {
    ParkingEntry entry;
    Waiter w;
    {
      LockGuard hold(lock_);
      if (finished_.load(std::memory_order_relaxed)) return true;
      const std::uint64_t it = goroutine_.load(std::memory_order_relaxed);
      self = it != 0 && it == getm()->curg->id.load(std::memory_order_relaxed);
      second = waiter_ != nullptr;
      if (!self && !second) waiter_ = &w;
    }
    if (!self && !second) {
      Fired fired;
      {
        ContextWait registered(context, w);
        fired = w.wait(WaitReason::task);
      }
      if (fired != Fired::context) return true;
      LockGuard hold(lock_);  // finish() may be about to claim `w`
      if (waiter_ == &w) waiter_ = nullptr;
      return false;
    }
  }
  throw Panic(self ? "treadle::Task::join: a goroutine cannot join itself"
                   : "treadle::Task::join: called by two at once");
}

void TaskCore::rethrow() {
  if (thrown_) std::rethrow_exception(std::exchange(thrown_, nullptr));
}

void TaskCore::abandon() noexcept {
  bool finished;
  {
    Entry entry;
    LockGuard hold(lock_);
    abandoned_ = true;
    finished = finished_.load(std::memory_order_relaxed);
  }
  if (finished) report_lost();
  release();
}

void TaskCore::release() noexcept {
  // Each side's last use of the state is before the other's delete.
  if (refs_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
}

void TaskCore::report_lost() noexcept {
  if (!thrown_) return;
  try {
    std::string what = "an exception of unknown type";
    try {
      std::rethrow_exception(std::exchange(thrown_, nullptr));
    } catch (const std::exception& e) {
      what = e.what();
    } catch (...) {
    }
    log::error("goroutine {}, spawned at {}:{}, ended by an exception that nobody collected: {}",
               goroutine_.load(), site_.file_name(), site_.line(), what);
  } catch (...) {
    // Out of memory for the message.
  }
}

}  // namespace treadle::detail
