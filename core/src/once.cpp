// Once.
//
// One word: idle, running, done, and kQueue, a spin lock over the queue and runner_. Invariants:
//  - The state changes only under kQueue; the queue is empty unless a call is running.
//  - Whoever made it `running`, or was handed that by the caller before, calls end() once.
//  - end() lets go of the object by its last store, so it may be destroyed by a caller that finds
//    `done`. A waiter that was claimed before it parked waits for kQueue to clear.
#include <treadle/once.h>

#include <treadle/result.h>

#include "runtime/sched.h"
#include "runtime/syscall.h"
#include "runtime/waiter.h"
#include "runtime/word_lock.h"

namespace treadle {

namespace {

constexpr std::uint32_t kIdle = 0;
constexpr std::uint32_t kRunning = 1;
constexpr std::uint32_t kDoneState = 2;
constexpr std::uint32_t kQueue = 4;

constexpr auto kYourTurn = rt::Fired::closed;

enum class Begun { ours, done, recursive };

Begun begin_or_wait(std::atomic<std::uint32_t>& state, rt::G*& runner, rt::WaiterQueue queue) {
  rt::ParkingEntry entry;
  rt::G* const self = rt::getm()->curg;
  rt::Waiter w;
  const std::uint32_t s = rt::lock_bit(state, kQueue);
  if (s != kRunning || runner == self) {
    const bool ours = s == kIdle;
    if (ours) runner = self;
    state.store(ours ? kRunning : s, std::memory_order_release);
    if (ours) return Begun::ours;
    return s == kDoneState ? Begun::done : Begun::recursive;
  }
  queue.push_back(&w);
  state.store(s, std::memory_order_release);
  const rt::Fired fired = w.wait(rt::WaitReason::once);
  if (fired != kYourTurn && w.claimed_parked()) return Begun::done;
  const std::uint32_t now = rt::lock_bit(state, kQueue);
  if (fired == kYourTurn) runner = self;
  state.store(now, std::memory_order_release);
  return fired == kYourTurn ? Begun::ours : Begun::done;
}

}  // namespace

bool Once::begin() {
  rt::ensure_started();
  const Begun begun = begin_or_wait(state_, runner_, {head_, tail_});
  if (begun == Begun::recursive)
    throw Panic("treadle::Once: call from within the function that it calls");
  return begun == Begun::ours;
}

void Once::end(bool done) noexcept {
  rt::Entry entry;
  rt::GList ready;
  rt::WaiterQueue queue(head_, tail_);
  rt::lock_bit(state_, kQueue);
  runner_ = nullptr;
  std::uint32_t next = done ? kDone : kIdle;
  while (rt::Waiter* w = queue.pop_front()) {
    rt::G* g = nullptr;
    w->claim(done ? rt::Fired::granted : kYourTurn, &g);  // nothing else ends its wait
    if (g) ready.push_back(g);
    if (!done) {
      next = kRunning;
      break;
    }
  }
  state_.store(next, std::memory_order_release);
  while (rt::G* g = ready.pop_front()) rt::goready(g);
}

}  // namespace treadle
