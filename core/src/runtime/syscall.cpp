// The slow side of entering the runtime.
#include "runtime/syscall.h"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "runtime/dispatch.h"
#include "runtime/foreign.h"
#include "runtime/kernel_slice.h"
#include "runtime/random.h"
#include "runtime/scan.h"
#include "runtime/sched.h"

namespace treadle::rt {

namespace {

std::atomic<bool> have_membarrier{false};
std::atomic<bool> omit_membarrier{false};

long membarrier(int command) noexcept { return ::syscall(SYS_membarrier, command, 0, 0); }

// Its P, if that is free, else any idle one. sched.lock is held.
P* find_p_locked(P* old) noexcept {
  if (old && old->status.load(std::memory_order_relaxed) == PStatus::idle &&
      pidle_remove_locked(old))
    return old;
  return pidleget_locked();
}

// Runs on g0 after the G's registers were saved: a P if there is one now, else the global queue.
// Both under one hold of the lock: a P that became idle in between would find no work.
void hook_requeue(M* m, G* g, void*) {
  P* p;
  {
    LockGuard hold(sched.lock);
    p = find_p_locked(m->p.load(std::memory_order_relaxed));
    if (!p) {
      sched.runq.push_back(g);
      sched.runq_size.store(sched.runq.size(), std::memory_order_relaxed);
      m->p.store(nullptr, std::memory_order_relaxed);
      return;
    }
  }
  acquirep(m, p);
  m->next_g = g;
}

// Sleeps until somebody dequeues the bound G and hands a P over (startlockedm()), then goes on. The
// G need not be saved: only this thread continues it.
void wait_bound(M* m, G* g) noexcept {
  m->note.sleep();
  P* p = std::exchange(m->nextp, nullptr);
  g->bound_m = m->locked_g ? m : nullptr;
  g->status.store(GStatus::running, std::memory_order_relaxed);
  wait_for_scan(g);  // an inspector on its way must not take what is saved from here on for ours
  acquirep(m, p);
  begin_slice(m, p, m->curg, false);
}

void push_bound_locked(M* m, G* g) noexcept {
  g->bound_m = m;
  g->sched.sp = nullptr;  // its registers are not saved: not to be inspected
  g->status.store(GStatus::runnable, std::memory_order_release);  // pairs with scan_begin()
  m->p.store(nullptr, std::memory_order_relaxed);
  // In front: a whole thread waits with it, and whatever locks that thread holds. But every fourth
  // one at the back, or goroutines that never park would keep all others from ever being next.
  if (++sched.bound_queued % 4 == 0)
    sched.runq.push_back(g);
  else
    sched.runq.push_front(g);
  sched.runq_size.store(sched.runq.size(), std::memory_order_relaxed);
}

// For so many slices it is kept in mind how a goroutine lost its P; each further such loss starts
// the count again.
constexpr std::uint8_t kHogMemory = 8;

// What hinted calls of the P that this one was lost to are to be expected to be: a long one counts
// for many, and a few short ones end the expectation.
void learn_from_hint(M* m, G* g) noexcept {
  constexpr std::uint32_t kExpectLong = 64;
  P* p = m->p.load(std::memory_order_relaxed);
  const bool was_long = nanotime() - m->lost_at.load(std::memory_order_relaxed) >= kLongHint;
  const std::uint32_t before = p->long_hints.load(std::memory_order_relaxed);
  p->long_hints.store(was_long ? kExpectLong : before / 2, std::memory_order_relaxed);
  // Of a goroutine that also loses its P without a hint more is known already.
  if (g->hog != 0 && g->hog_slice != SliceKind::hints) return;
  g->hog = was_long ? kHogMemory : 0;
  g->hog_slice = SliceKind::hints;
}

// The P was taken away. Gets one, or queues the G and waits; returns the M the G is on then.
M* reacquire(M* m, Lost how, bool parking) noexcept {
  G* g = m->curg;
  sched.detached.fetch_sub(1, std::memory_order_relaxed);
  if (how == Lost::hinted) {
    learn_from_hint(m, g);
    blocking_ended();
  }
  if (how == Lost::slice_over) {
    g->hog = kHogMemory;
    g->hog_slice = SliceKind::blocks;
  }
  if (how == Lost::computing) {
    g->hog = kHogMemory;
    g->hog_slice = SliceKind::computes;
    kernel_slice_of_detached(m->tid.load(std::memory_order_relaxed), KernelSlice::with_p);
  }
  if (parking) {
    // Not by way of next_local(), which would look into a P that is not ours any more.
    m->hook = &hook_requeue;
    m->hook_g = g;
    m->hook_status = GStatus::runnable;
    switch_to_g0(m, g);
    return getm();
  }
  P* p;
  {
    LockGuard hold(sched.lock);
    p = find_p_locked(m->p.load(std::memory_order_relaxed));
    if (!p) push_bound_locked(m, g);
  }
  if (!p) {
    wait_bound(m, g);
    return m;
  }
  acquirep(m, p);
  begin_slice(m, p, m->curg, false);
  return m;
}

// Asked in an entry that must not move the G: the P goes to whoever waits, the M stays with its G.
M* give_way_in_place(M* m) noexcept {
  P* p = m->p.load(std::memory_order_relaxed);
  G* g = m->curg;
  const std::int64_t now = nanotime();
  run_timers(p->timers, now);  // due ones are reason enough to be asked
  if (!work_waits(p, now)) return m;
  const bool stop = sched.stop_wanted.load(std::memory_order_relaxed);
  if (!stop && !spare_m_available()) return m;  // nobody could take over
  p->counters.gave_way_in_place.add(1);
  p->m.store(nullptr, std::memory_order_relaxed);
  {
    LockGuard hold(sched.lock);
    push_bound_locked(m, g);
  }
  if (stop)
    give_to_stopper(p);
  else
    handoffp(p);
  wait_bound(m, g);
  return m;
}

// The seeded scheduler's preemption points.
M* enter_at_random(M* m, bool parking) noexcept {
  switch (random_step(m, parking)) {
    case RandomStep::go_on: break;
    case RandomStep::yield_local: yield_g(YieldTo::local_queue); return getm();
    case RandomStep::yield_global: yield_g(YieldTo::global_queue); return getm();
    case RandomStep::give_way:
      give_way_in_place(m);
      random_step_done();
      break;
  }
  return m;
}

}  // namespace

bool membarrier_init() noexcept {
  const bool ok = membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0 &&
                  membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) == 0;
  have_membarrier.store(ok, std::memory_order_relaxed);
  scan_fence.store(!ok, std::memory_order_relaxed);
  return ok;
}

bool membarrier_available() noexcept { return have_membarrier.load(std::memory_order_relaxed); }

void membarrier_omit_for_litmus() noexcept {
  omit_membarrier.store(true, std::memory_order_relaxed);
}

void membarrier_all() noexcept {
  if (omit_membarrier.load(std::memory_order_relaxed)) [[unlikely]]
    return;
  if (membarrier_available())
    membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED);
  else
    std::atomic_thread_fence(std::memory_order_seq_cst);  // pairs with the one in enter_slow()
}

[[gnu::noinline]] M* enter_slow(M* m, bool parking) noexcept {
  if (sched.forked.load(std::memory_order_relaxed)) [[unlikely]]
    fatal("treadle was called in a forked child: its threads are not there; exec, or posix_spawn");
  if (m == &foreign_sentinel) return foreign_m();
  if (m->guard.load(std::memory_order_relaxed) > 1 || m->foreign) return m;
  std::uint32_t req = m->req.load(std::memory_order_acquire);
  if ((req & kReqSlow) && !membarrier_available()) {
    std::atomic_thread_fence(std::memory_order_seq_cst);  // what a membarrier would do for us
    req = m->req.load(std::memory_order_acquire);
  }
  if ((req & kReqMask) == kReqAsk && cas_req(m, kReqAsk, kReqNone, std::memory_order_acquire)) {
    // Without preemption the ask is for parking calls only. It is withdrawn all the same: see
    // above.
    if (!parking && !sched.preempt && !sched.stop_wanted.load(std::memory_order_relaxed)) return m;
    m->p.load(std::memory_order_relaxed)->counters.yields_on_request.add(1);
    if (!parking) return give_way_in_place(m);
    yield_g(YieldTo::global_queue);
    return getm();
  }
  // The CAS failed: the ask became `lost`, or was withdrawn.
  req = m->req.load(std::memory_order_acquire);
  if ((req & kReqMask) == kReqLost) return reacquire(m, lost_how(req), parking);
  if (sched.random) return enter_at_random(m, parking);
  return m;
}

}  // namespace treadle::rt
