#include "output_sweep.h"

#include <treadle/go.h>

#include <mutex>
#include <utility>

#include "connection.h"

namespace treadle::http::detail {

void OutputSweep::arm_locked() {
  if (timer_)
    timer_.reset(kEvery);
  else
    timer_ = after_func(kEvery, [weak = weak_from_this()] {
      if (const auto self = weak.lock()) self->sweep();
    });
  armed_ = true;
}

void OutputSweep::watch(std::weak_ptr<Connection> c) {
  List one;
  one.push_back(std::move(c));
  const std::lock_guard guard(lock_);
  watched_.splice(watched_.end(), one);
  if (!armed_) arm_locked();
}

void OutputSweep::sweep() {
  List all;
  {
    const std::lock_guard guard(lock_);
    all.swap(watched_);
  }
  all = look_at(std::move(all));
  const std::lock_guard guard(lock_);
  watched_.splice(watched_.end(), all);
  if (watched_.empty())
    armed_ = false;
  else
    arm_locked();
}

// Those that are to be looked at again. Where there is no memory for a goroutine, what is held
// waits for the next look.
OutputSweep::List OutputSweep::look_at(List all) {
  std::erase_if(all, [](const std::weak_ptr<Connection>& weak) {
    const std::shared_ptr<Connection> c = weak.lock();
    if (!c || c->held().try_unwatch()) return true;
    if (c->held().waits()) (void)try_go([c] { c->send_held(); });
    return false;
  });
  return all;
}

}  // namespace treadle::http::detail
