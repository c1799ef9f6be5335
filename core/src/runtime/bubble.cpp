#include "runtime/bubble.h"

#include <new>
#include <utility>

#include "runtime/sched.h"
#include "runtime/syscall.h"

namespace treadle::rt {

namespace {

// Where every bubble's clock begins: a round number that no real clock shows soon.
constexpr std::int64_t kEpoch = 1'000'000'000'000'000'000;

struct BubblePool {
  Lock lock;
  Bubble* free = nullptr;
  std::uint32_t next_id = 1;
} pool;

void give_back(Bubble* b) noexcept {
  b->timers.clear();
  LockGuard hold(pool.lock);
  b->next_free = pool.free;
  pool.free = b;
}

// Who is to go on when nobody is active, counted already; null while somebody is.
G* next_when_idle_locked(Bubble* b) noexcept {
  if (b->active != 0) return nullptr;
  G* g = std::exchange(b->waiter ? b->waiter : b->root_parked, nullptr);
  if (g) b->active = 1;
  return g;
}

void run_again(M* m, G* g) noexcept {
  if (!g) return;
  ready_in_hook(m, g);
  wakep();
}

// Parks the root, or the waiter, until the others are blocked. `arg` is the slot it waits in.
struct IdleWait {
  Bubble* b;
  G** slot;
};
void hook_wait_idle(M* m, G* g, void* arg) {
  const IdleWait wait = *static_cast<IdleWait*>(arg);  // lies on the G's stack
  G* next;
  {
    LockGuard hold(wait.b->lock);
    *wait.slot = g;
    --wait.b->active;
    next = next_when_idle_locked(wait.b);
  }
  run_again(m, next);
}

void wait_idle(Bubble* b, G** slot) noexcept {
  IdleWait wait{b, slot};
  gopark(&hook_wait_idle, &wait, WaitReason::virtual_time);
}

}  // namespace

Bubble* current_bubble() noexcept {
  const M* m = getm();
  const G* g = m->curg;
  return g && g->in_bubble ? g->bubble.load(std::memory_order_relaxed) : nullptr;
}

void bubble_join(Bubble* b, G* g) noexcept {
  g->bubble.store(b, std::memory_order_relaxed);
  g->in_bubble = true;
  LockGuard hold(b->lock);
  ++b->members;
  ++b->active;
}

void bubble_leave(M* m, G* g) noexcept {
  Bubble* b = g->bubble.exchange(nullptr, std::memory_order_relaxed);
  g->in_bubble = false;
  G* next;
  bool last;
  {
    LockGuard hold(b->lock);
    --b->members;
    --b->active;
    next = next_when_idle_locked(b);
    last = b->abandoned && b->members == 0 && b->active == 0;
  }
  run_again(m, next);
  if (last) give_back(b);
}

bool bubble_before_park(G* g, WaitReason reason) noexcept {
  if (std::exchange(g->outside, false)) return false;
  switch (reason) {
    case WaitReason::io_read:
    case WaitReason::io_write:
    case WaitReason::signal:
    case WaitReason::descriptor:
    case WaitReason::subprocess: return false;
    case WaitReason::virtual_time: return false;  // counts for itself: hook_wait_idle()
    default: break;
  }
  g->durable = true;
  return true;
}

void bubble_parked(M* m, Bubble* b) noexcept {
  G* next;
  bool last;
  {
    LockGuard hold(b->lock);
    --b->active;
    next = next_when_idle_locked(b);
    last = b->abandoned && b->members == 0 && b->active == 0;
  }
  run_again(m, next);
  if (last) give_back(b);
}

void bubble_wake(G* g) noexcept {
  g->durable = false;
  Bubble* b = g->bubble.load(std::memory_order_relaxed);
  LockGuard hold(b->lock);
  ++b->active;
}

Bubble* bubble_open(G* root) noexcept {
  Bubble* b;
  std::uint32_t id;
  {
    LockGuard hold(pool.lock);
    id = pool.next_id++;
    b = pool.free;
    if (b) pool.free = b->next_free;
  }
  if (!b) b = new (std::nothrow) Bubble;
  if (!b) fatal("out of memory for a bubble");
  b->timers.bubble = b;
  b->id = id;
  b->now.store(kEpoch, std::memory_order_relaxed);
  b->root = root;
  b->abandoned = false;
  {
    LockGuard hold(b->lock);
    b->active = 1;
    b->members = 0;
  }
  root->bubble.store(b, std::memory_order_relaxed);
  root->in_bubble = true;
  return b;
}

bool bubble_drive(Bubble* b) noexcept {
  for (;;) {
    wait_idle(b, &b->root_parked);
    {
      LockGuard hold(b->lock);
      if (b->members == 0) return true;
    }
    const std::int64_t next = b->timers.next_when();
    if (next == kNever) return false;
    // Not backwards: one may have been armed for a time that has passed.
    if (next > b->now.load(std::memory_order_relaxed))
      b->now.store(next, std::memory_order_relaxed);
    run_timers(b->timers, b->now.load(std::memory_order_relaxed));
  }
}

void bubble_close(Bubble* b) noexcept {
  b->root->bubble.store(nullptr, std::memory_order_relaxed);
  b->root->in_bubble = false;
  bool last;
  {
    LockGuard hold(b->lock);
    --b->active;
    last = b->members == 0 && b->active == 0;
    b->abandoned = !last;
  }
  if (last) give_back(b);
}

bool bubble_wait(Bubble* b) noexcept {
  {
    LockGuard hold(b->lock);
    if (b->waiting) return false;
    b->waiting = true;
  }
  wait_idle(b, &b->waiter);
  LockGuard hold(b->lock);
  b->waiting = false;
  return true;
}

}  // namespace treadle::rt
