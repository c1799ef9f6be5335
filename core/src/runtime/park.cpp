// gopark, goready and the switches between goroutines. The protocol stands in sched.h.
#include <cstdint>
#include <utility>

#include "runtime/bubble.h"
#include "runtime/coarse_clock.h"
#include "runtime/dispatch.h"
#include "runtime/foreign.h"
#include "runtime/random.h"
#include "runtime/scan.h"
#include "runtime/sched.h"
#include "runtime/syscall.h"
#include "runtime/timers.h"

namespace treadle::rt {

namespace {

// A thread's exception state belongs to the G that leaves; an empty one is not worth a store.
void save_eh(M* m, G* g) noexcept {
  if (m->eh->any()) [[unlikely]] {
    g->eh = std::exchange(*m->eh, {});
    g->eh_saved = true;
  }
}
void restore_eh(M* m, G* g) noexcept {
  if (g->eh_saved) [[unlikely]] {
    *m->eh = std::exchange(g->eh, {});
    g->eh_saved = false;
  }
}

// A hint of a blocking call does not outlive a park: the M will run somebody else.
void drop_hint(M* m) noexcept {
  const std::uint32_t blk = m->blk.load(std::memory_order_relaxed);
  if (blk & 1) [[unlikely]]
    m->blk.store(blk + 1, std::memory_order_relaxed);
}

// There is no stack for `g`. One that was dormant stays runnable, and the caller's.
[[gnu::cold]] bool give_up(M* m, G* g) noexcept {
  if (!g->was_dormant.load(std::memory_order_relaxed))
    fatal("out of memory for a goroutine's stack (see vm.max_map_count and the memory limit)", g);
  m->curg = nullptr;
  g->status.store(GStatus::runnable, std::memory_order_release);  // pairs with scan_begin()
  return false;
}

// The M becomes the G's, which runs as soon as the stacks are switched. False: it cannot run yet.
bool adopt(M* m, G* g) noexcept {
  m->curg = g;
  g->m.store(m, std::memory_order_release);
  g->status.store(GStatus::running, std::memory_order_relaxed);
  wait_for_scan(g);
  if (!g->stack && !g_give_stack(m->p.load(std::memory_order_relaxed), g)) [[unlikely]]
    return give_up(m, g);
  m->last_entry.store(nullptr, std::memory_order_relaxed);
  m->guard.store(g->depth, std::memory_order_relaxed);  // stays above zero: no P can be lost here
  return true;
}

// Where a switch leads: another G, adopted already, or g0.
struct Target {
  FiberState* fiber;
  void* sp;
};

Target to_g0(M* m) noexcept {
  m->curg = nullptr;
  m->guard.store(1, std::memory_order_relaxed);
  return {&m->g0_fiber, m->g0.sp};
}

// Those who run after the next: with many goroutines neither their Gs nor their stacks are in a
// cache near by (a tenth of a switch among 10,000). G's are never freed, and a wrong guess is only
// a prefetch in vain; TSan would not know.
void prefetch_followers([[maybe_unused]] const P* p) noexcept {
#if !TREADLE_TSAN
  if (const G* g = p->runq.guess(3)) __builtin_prefetch(g);
  if (const G* g = p->runq.guess(1)) {
    // A number: one that never ran has no stack yet, and a null pointer must not be moved.
    const auto sp =
        reinterpret_cast<std::uintptr_t>(__atomic_load_n(&g->sched.sp, __ATOMIC_RELAXED));
    for (std::uintptr_t at = 0; at < 256; at += 64)
      __builtin_prefetch(reinterpret_cast<const void*>(sp + at));
  }
#endif
}

Target to_next(M* m) noexcept {
  if (m->locked_g) [[unlikely]]
    return to_g0(m);
  bool inherit = false;
  P* p = m->p.load(std::memory_order_relaxed);
  G* next = next_local(m, p, &inherit);
  if (!next) return to_g0(m);
  if (!inherit) prefetch_followers(p);
  begin_slice(m, p, next, inherit);
  if (!adopt(m, next)) [[unlikely]] {
    m->next_g = next;  // g0 knows what to do
    return to_g0(m);
  }
  return {&next->stack->fiber, next->sched.sp};
}

void leave_g(M* m, G* g) noexcept {
  save_eh(m, g);
  drop_hint(m);
  g->depth = static_cast<std::uint16_t>(m->guard.load(std::memory_order_relaxed));
}

// Returns when the G runs again, perhaps on another M; only then may the caller look at getm().
[[gnu::noinline]] void switch_to(G* g, Target target) noexcept {
  fiber_leave(g->stack->fiber, *target.fiber, false);
  treadle_rt_switch(&g->sched.sp, target.sp);
  fiber_arrive(g->stack->fiber);
  M* now = getm();
  after_switch(now);
  restore_eh(now, g);
}

void switch_from(M* m, G* g) noexcept {
  leave_g(m, g);
  switch_to(g, to_next(m));
}

// A plain thread waits on its M's note. The hook runs at once: nobody else can continue this
// stack, and the note keeps a wake-up that comes first.
void park_thread(M* m, G* g, SwitchHook hook, void* arg) noexcept {
  g->status.store(GStatus::waiting, std::memory_order_relaxed);
  hook(m, g, arg);
#if TREADLE_TSAN
  // TSan puts a handler off while its thread waits in a system call that TSan does not know: leave
  // signals to the template thread.
  sigset_t previous;
  block_async_signals(&previous);
  m->note.sleep();
  ::pthread_sigmask(SIG_SETMASK, &previous, nullptr);
#else
  m->note.sleep();
#endif
  g->status.store(GStatus::running, std::memory_order_relaxed);
}

void hook_yield_local(M* m, G* g, void*) {
  runqput(m->p.load(std::memory_order_relaxed), g, false);
}

void hook_yield_global(M*, G* g, void*) {
  GList list;
  list.push_back(g);
  globrunqput(list);
}

}  // namespace

void after_switch(M* m) noexcept {
  SwitchHook hook = std::exchange(m->hook, nullptr);
  if (!hook) return;
  if (m->req.load(std::memory_order_relaxed) & kReqSlow) [[unlikely]]
    random_pause(m);
  // Release: pairs with scan_begin(), which reads what the switch has saved.
  m->hook_g->status.store(m->hook_status, std::memory_order_release);
  hook(m, m->hook_g, m->hook_arg);
}

bool run_on_m(M* m, G* g) noexcept {
  if (!adopt(m, g)) [[unlikely]]
    return false;
  fiber_leave(m->g0_fiber, g->stack->fiber, false);
  treadle_rt_switch(&m->g0.sp, g->sched.sp);
  fiber_arrive(m->g0_fiber);
  after_switch(m);  // g0 never moves: m is still ours
  return true;
}

namespace {
// A durable park of a bubble's member: `arg` lies on its stack, which is not ours after the hook.
struct BubblePark {
  SwitchHook hook;
  void* arg;
  Bubble* bubble;
};
void hook_bubble(M* m, G* g, void* arg) {
  const BubblePark park = *static_cast<BubblePark*>(arg);
  park.hook(m, g, park.arg);
  bubble_parked(m, park.bubble);
}

[[gnu::noinline]] void park_in_bubble(M* m, G* g, SwitchHook hook, void* arg,
                                      WaitReason reason) noexcept {
  BubblePark park{hook, arg, g->bubble.load(std::memory_order_relaxed)};
  const bool durable = bubble_before_park(g, reason);
  m->hook = durable ? &hook_bubble : hook;
  m->hook_arg = durable ? &park : arg;
  m->hook_g = g;
  m->hook_status = GStatus::waiting;
  switch_from(m, g);
}
}  // namespace

void gopark(SwitchHook hook, void* arg, WaitReason reason) noexcept {
  M* m = getm();
  if (m->req.load(std::memory_order_relaxed) & kReqSlow) [[unlikely]]
    random_pause(m);
  G* g = m->curg;
  g->reason.store(reason, std::memory_order_relaxed);
  g->waiting_since.store(coarse_now(), std::memory_order_relaxed);
  if (m->foreign) return park_thread(m, g, hook, arg);
  m->p.load(std::memory_order_relaxed)->counters.parks.add(1);
  // Before the switch chooses where to go: it honours timers that are due. A channel's lock may be
  // held, which comes before the heaps'.
  if (g->park_alarm) [[unlikely]]
    sound_park_alarm(g);
  if (g->in_bubble) [[unlikely]]
    return park_in_bubble(m, g, hook, arg, reason);
  m->hook = hook;
  m->hook_arg = arg;
  m->hook_g = g;
  m->hook_status = GStatus::waiting;
  switch_from(m, g);
}

void goready(G* g) noexcept {
  M* m = getm();
  if (m->req.load(std::memory_order_relaxed) & kReqSlow) [[unlikely]]
    random_pause(m);
  if (g->durable) [[unlikely]]
    bubble_wake(g);
  g->status.store(GStatus::runnable, std::memory_order_release);  // pairs with scan_begin()
  if (g->foreign) {
    g->m.load(std::memory_order_relaxed)->note.wake();
    return;
  }
  P* p = m->foreign ? nullptr : m->p.load(std::memory_order_relaxed);
  if (p) {
    runqput(p, g, true);
    if (several_ps()) wakep();
    return;
  }
  GList list;
  list.push_back(g);
  inject(nullptr, list);
}

void ready_in_hook(M* m, G* g) noexcept {
  if (g->durable) [[unlikely]]
    bubble_wake(g);
  g->status.store(GStatus::runnable, std::memory_order_release);
  if (g->foreign) {
    m->note.wake();  // our own: the sleep that follows returns at once
    return;
  }
  runqput(m->p.load(std::memory_order_relaxed), g, true);
}

void switch_to_g0(M* m, G* g) noexcept {
  leave_g(m, g);
  switch_to(g, to_g0(m));
}

namespace {
// Whether a yield would only lead over g0 back to who yields: nobody else stands in the local
// queue, and it is not the turn of the global one, of the timers or of a stop.
bool alone(P* p) noexcept {
  return p->runnext.load(std::memory_order_relaxed) == nullptr && p->runq.empty() &&
         p->timers.next_when() == kNever && !global_queue_turn(p) &&
         !sched.stop_wanted.load(std::memory_order_relaxed) && !sched.random;
}
}  // namespace

void yield_g(YieldTo where) noexcept {
  M* m = getm();
  if (where == YieldTo::local_queue) {
    P* p = m->p.load(std::memory_order_relaxed);
    if (alone(p)) {
      begin_slice(m, p, m->curg, false);
      return;
    }
  }
  G* g = m->curg;
  m->hook = where == YieldTo::local_queue ? &hook_yield_local : &hook_yield_global;
  m->hook_g = g;
  m->hook_status = GStatus::runnable;
  switch_from(m, g);
}

// Not instrumented, and calls nothing instrumented that does not return: the frames would stay on
// the fiber's shadow stack, which the next goroutine of this G inherits.
[[noreturn]] TREADLE_UNINSTRUMENTED void leave_stack(SwitchHook hook, void* arg,
                                                     GStatus as) noexcept {
  M* m = getm();
  G* g = m->curg;
  m->hook = hook;
  m->hook_arg = arg;
  m->hook_g = g;
  m->hook_status = as;
  leave_g(m, g);
  const Target target = to_next(m);
  fiber_leave(g->stack->fiber, *target.fiber, true);
  treadle_rt_switch(&g->sched.sp, target.sp);
  __builtin_unreachable();
}

}  // namespace treadle::rt
