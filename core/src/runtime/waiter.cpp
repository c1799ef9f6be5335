#include "runtime/waiter.h"

#include "runtime/sched.h"

namespace treadle::rt {

namespace {

constexpr std::uintptr_t fired_state(Fired reason, bool parked) noexcept {
  return static_cast<std::uintptr_t>(reason) << 2 | (parked ? 2u : 0u) | 1u;
}

// Runs once the G's registers are saved. The CAS publishes it; when it fails, something has fired
// while we were on our way, and the G goes on. `arg` lies on the G's stack: not touched after.
void hook_commit(M* m, G* g, void* arg) {
  auto* w = static_cast<Waiter*>(arg);
  std::uintptr_t registered = 0;
  // Release: pairs with claim()'s acquire, which may run the G on another M.
  if (!w->state.compare_exchange_strong(registered, reinterpret_cast<std::uintptr_t>(g),
                                        std::memory_order_release, std::memory_order_relaxed))
    ready_in_hook(m, g);
}

}  // namespace

bool Waiter::claim(Fired reason, G** parked) noexcept {
  std::uintptr_t s = state.load(std::memory_order_relaxed);
  do {
    if (s & 1) return false;
  } while (!state.compare_exchange_weak(s, fired_state(reason, s != 0), std::memory_order_acq_rel,
                                        std::memory_order_relaxed));
  *parked = reinterpret_cast<G*>(s);
  return true;
}

bool Waiter::fire(Fired reason) noexcept {
  G* g = nullptr;
  if (!claim(reason, &g)) return false;
  if (g) goready(g);
  return true;
}

Fired Waiter::wait(WaitReason why) noexcept {
  if (Fired f = fired(); f != Fired::no) {
    getm()->curg->outside = false;  // no park follows that it would be meant for
    return f;
  }
  gopark(&hook_commit, this, why);
  return fired();
}

void WaiterQueue::push_back(Waiter* w) noexcept {
  w->next = nullptr;
  w->prev = tail_;
  w->queued = true;
  (tail_ ? tail_->next : head_) = w;
  tail_ = w;
}

void WaiterQueue::push_front(Waiter* w) noexcept {
  w->prev = nullptr;
  w->next = head_;
  w->queued = true;
  (head_ ? head_->prev : tail_) = w;
  head_ = w;
}

Waiter* WaiterQueue::pop_front() noexcept {
  Waiter* w = head_;
  if (w) remove(w);
  return w;
}

void WaiterQueue::remove(Waiter* w) noexcept {
  if (!w->queued) return;
  (w->prev ? w->prev->next : head_) = w->next;
  (w->next ? w->next->prev : tail_) = w->prev;
  w->next = w->prev = nullptr;
  w->queued = false;
}

}  // namespace treadle::rt
