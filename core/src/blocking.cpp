// The hints of blocking calls, and how many may block at once.
//
// A hinted call that loses its P keeps a thread to itself until it ends. So their number is
// bounded: blocking_room counts how many more may lose their P, and a goroutine that finds no room
// parks before its call, in order, until one has come back. Calls that keep their P are not
// counted: there are no more of those than Ps. The room may become negative by them, when several
// calls that began with room lose their Ps at once.
//
// No wake-up is lost: a waiter counts itself in `waiting`, then looks at the room; who makes room
// raises it, then looks at `waiting` (all sequentially consistent). One of them sees the other.
#include <treadle/blocking.h>

#include <algorithm>

#include "runtime/sched.h"
#include "runtime/syscall.h"

namespace treadle::rt {

namespace {

struct {
  Lock lock;
  GList queue;             // under lock
  std::int32_t limit = 0;  // what the room was made of; under lock
  std::atomic<std::int32_t> waiting{0};
} turn;

G* pop_waiter() noexcept {
  LockGuard hold(turn.lock);
  G* g = turn.queue.pop_front();
  if (g) turn.waiting.fetch_sub(1, std::memory_order_seq_cst);
  return g;
}

// Wakes one that waits, if there is room. The caller may have no P.
void wake_waiters() noexcept {
  if (sched.blocking_room.load(std::memory_order_seq_cst) <= 0 ||
      turn.waiting.load(std::memory_order_seq_cst) == 0)
    return;
  G* g = pop_waiter();
  if (!g) return;
  g->status.store(GStatus::runnable, std::memory_order_release);
  GList one;
  one.push_back(g);
  inject(nullptr, one);
}

void hook_wait_for_room(M* m, G* g, void* again) {
  {
    LockGuard hold(turn.lock);
    if (turn.waiting.fetch_add(1, std::memory_order_seq_cst) == 0) wake_template_thread();
    if (sched.blocking_room.load(std::memory_order_seq_cst) <= 0) {
      if (again)
        turn.queue.push_front(g);  // it has waited its time, and somebody slipped in
      else
        turn.queue.push_back(g);
      return;
    }
    turn.waiting.fetch_sub(1, std::memory_order_seq_cst);
  }
  ready_in_hook(m, g);
}

// Parks until there is room for one more.
[[gnu::noinline]] void wait_for_room() noexcept {
  ParkingEntry entry;
  sched.blocking_waits.fetch_add(1, std::memory_order_relaxed);
  G* g = getm()->curg;
  static char again;
  void* how = nullptr;
  do {
    if (g->in_bubble) g->outside = true;  // whoever makes room is not of its bubble
    gopark(&hook_wait_for_room, how, WaitReason::blocking);
    how = &again;
  } while (sched.blocking_room.load(std::memory_order_seq_cst) <= 0);
  // The room is ours only when we lose our P: a short call leaves it to the next, who looks again.
  wake_waiters();
}

}  // namespace

void blocking_began() noexcept { sched.blocking_room.fetch_sub(1, std::memory_order_seq_cst); }

bool blocking_calls_wait() noexcept { return turn.waiting.load(std::memory_order_seq_cst) != 0; }

void blocking_ended() noexcept {
  sched.blocking_room.fetch_add(1, std::memory_order_seq_cst);
  wake_waiters();
}

// Each P needs an M besides, and one stands by.
void update_blocking_limit() noexcept {
  std::int32_t threads;
  {
    LockGuard hold(sched.lock);
    threads = std::min(sched.max_ms, sched.ms_possible);
  }
  const std::int32_t procs = sched.procs.load(std::memory_order_relaxed);
  {
    LockGuard hold(turn.lock);
    const std::int32_t limit = std::clamp(threads - procs - 1, 1, sched.max_blocking);
    const std::int32_t change = limit - turn.limit;
    turn.limit = limit;
    sched.blocking_room.fetch_add(change, std::memory_order_seq_cst);
    if (change <= 0) return;
  }
  for (std::int32_t left = turn.waiting.load(std::memory_order_seq_cst); left > 0; --left)
    wake_waiters();
}

}  // namespace treadle::rt

namespace treadle::detail {

using namespace rt;

namespace {

// A nested hint is the outer one's; inside blocking_long() there is no P to give.
bool may_hint(const M* m) noexcept {
  return !m->foreign && (m->blk.load(std::memory_order_relaxed) & 1) == 0 &&
         (m->req.load(std::memory_order_relaxed) & kReqMask) != kReqLost;
}

// Gives the P away before a call that will be long. False: nobody could run it.
bool hand_off_p() noexcept {
  Entry entry;
  M* m = entry.m();
  if (!spare_m_available()) return false;
  // We are inside the guard, so nobody else can take the P: the state is none or ask.
  P* p = m->p.load(std::memory_order_relaxed);
  sched.detached.fetch_add(1, std::memory_order_relaxed);
  blocking_began();
  m->lost_at.store(nanotime(), std::memory_order_relaxed);
  m->req.store((m->req.load(std::memory_order_relaxed) & kReqSlow) | req_lost(Lost::hinted),
               std::memory_order_relaxed);
  p->m.store(nullptr, std::memory_order_relaxed);
  sched.handoffs.fetch_add(1, std::memory_order_relaxed);
  handoffp(p);
  return true;
}

}  // namespace

// The hint is a counter that sysmon watches: odd for longer than its limit, with work waiting,
// means that the P is taken. Nothing is entered, no lock is taken.
[[gnu::noinline]] bool blocking_begin() noexcept {
  M* m = getm();
  if (!may_hint(m)) return false;
  if (sched.blocking_room.load(std::memory_order_relaxed) <= 0) [[unlikely]] {
    wait_for_room();
    m = getm();
  }
  m->blk.store(m->blk.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  // Outside the guard the P may be lost at any moment; then this looks at another's, harmlessly.
  P* p = m->p.load(std::memory_order_relaxed);
  // With one P nobody polls the network during a long call, and sysmon may be 10 ms away: where one
  // is expected, the P goes at once.
  if (p->long_hints.load(std::memory_order_relaxed) != 0 && hand_off_p()) [[unlikely]]
    return true;
  if (sched.sysmon_nap.load(std::memory_order_relaxed) > kHintNap) [[unlikely]] {
    Entry e;
    p = e.m()->p.load(std::memory_order_relaxed);
    if (!runq_empty(p) || sched.runq_size.load(std::memory_order_relaxed) != 0)
      wake_sysmon_for_hint();
  }
  return true;
}

[[gnu::noinline]] void blocking_end() noexcept {
  M* m = getm();
  const std::uint32_t blk = m->blk.load(std::memory_order_relaxed);
  if (!(blk & 1)) return;
  m->blk.store(blk + 1, std::memory_order_relaxed);
  // Back to work only with a P.
  if (m->req.load(std::memory_order_relaxed) & kReqMask) Entry e;
}

[[gnu::noinline]] LongHint blocking_begin_long() noexcept {
  if (!may_hint(getm())) return LongHint::none;
  if (sched.blocking_room.load(std::memory_order_relaxed) <= 0) [[unlikely]]
    wait_for_room();
  if (hand_off_p()) return LongHint::given_away;
  // Nobody could run the P yet; there will be one before long.
  return blocking_begin() ? LongHint::plain : LongHint::none;
}

[[gnu::noinline]] void blocking_end_long(LongHint hint) noexcept {
  switch (hint) {
    case LongHint::none: return;
    case LongHint::plain: return blocking_end();
    case LongHint::given_away: {
      const Entry entry;  // back to work only with a P
    }
  }
}

}  // namespace treadle::detail
