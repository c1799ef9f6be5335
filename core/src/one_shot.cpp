// OneShot.
//
//   pending  nobody has completed it; whoever moves it to `claimed` owns the payload
//   claimed  that sender stores the payload, outside the lock: it is user code
//   done     the payload is the receiver's
//   broken   the last sender went while it was pending
//   taken    the receiver has had its answer
//
// The receiver waits only while it is pending or claimed, and is woken by whoever ends that. A
// payload whose receiver has gone is dropped by the one who learns it second: publish() when the
// receiver went first, drop_receiver() otherwise; the lock orders the two.
#include <treadle/one_shot.h>

#include "runtime/sched.h"
#include "runtime/syscall.h"
#include "wait_list.h"

namespace treadle::detail {

void one_shot_misuse(const char* what) { throw Panic(what); }

void OneShotCore::drop_sender() noexcept {
  // Acquire/release: what the other senders did is before the last one's look.
  if (senders_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  rt::Entry entry;
  rt::GList ready;
  {
    rt::LockGuard hold(lock_);
    if (state_ != State::pending) return;
    state_ = State::broken;
    rt::wake_all({head_, tail_}, rt::Fired::closed, ready);
  }
  rt::ready_all(ready);
}

bool OneShotCore::claim() noexcept {
  rt::Entry entry;
  rt::LockGuard hold(lock_);
  if (state_ != State::pending || receiver_gone_) return false;
  state_ = State::claimed;
  return true;
}

void OneShotCore::unclaim() noexcept {
  rt::Entry entry;
  rt::LockGuard hold(lock_);
  state_ = State::pending;
}

bool OneShotCore::publish() noexcept {
  rt::Entry entry;
  rt::GList ready;
  {
    rt::LockGuard hold(lock_);
    if (receiver_gone_) {
      state_ = State::taken;
      return false;
    }
    state_ = State::done;
    rt::wake_all({head_, tail_}, rt::Fired::granted, ready);
  }
  rt::ready_all(ready);
  return true;
}

bool OneShotCore::abandoned() noexcept {
  rt::Entry entry;
  rt::LockGuard hold(lock_);
  return receiver_gone_;
}

bool OneShotCore::ready() noexcept {
  rt::Entry entry;
  rt::LockGuard hold(lock_);
  return state_ != State::pending && state_ != State::claimed;
}

bool OneShotCore::drop_receiver() noexcept {
  rt::Entry entry;
  rt::LockGuard hold(lock_);
  receiver_gone_ = true;
  return state_ == State::done;
}

// Under the lock: what the receiver gets in state `s`.
OneShotCore::End OneShotCore::settle(State s) noexcept {
  switch (s) {
    case State::done: state_ = State::taken; return End::done;
    case State::broken: state_ = State::taken; return End::broken;
    case State::taken: return End::taken;
    default: return End::pending;
  }
}

OneShotCore::End OneShotCore::take(bool may_park, const Context* ctx) {
  rt::ensure_started();
  if (!may_park) {
    rt::Entry entry;
    rt::LockGuard hold(lock_);
    return settle(state_);
  }
  bool second = false;
  {
    rt::ParkingEntry entry;
    for (;;) {
      lock_.lock();
      const End end = settle(state_);
      second = head_ != nullptr;
      if (end != End::pending || second) {
        lock_.unlock();
        if (!second) return end;
        break;
      }
      if (rt::wait_in(lock_, {head_, tail_}, {.context = rt::state_of(ctx)},
                      rt::WaitReason::one_shot) == rt::Fired::context)
        return End::context_done;
    }
  }
  throw Panic("treadle::OneShotReceiver::wait: somebody waits there already");
}

}  // namespace treadle::detail
