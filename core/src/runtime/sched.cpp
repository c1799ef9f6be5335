#include "runtime/sched.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "runtime/bubble.h"
#include "runtime/coarse_clock.h"
#include "runtime/context_state.h"
#include "runtime/dispatch.h"
#include "runtime/extra.h"
#include "runtime/netpoll.h"
#include "runtime/random.h"
#include "runtime/syscall.h"

namespace treadle::rt {

Sched sched;

namespace {

constexpr int kStealRounds = 4;

std::int32_t procs() noexcept { return sched.procs.load(std::memory_order_relaxed); }

// For direct switches: whether it is worth reading the clock for the P's timers. At each 16th
// slice, each 64th G that follows through runnext, and whenever the coarse clock has moved: a timer
// is late by no more than all of these allow. g0 always looks.
bool timers_may_be_due(P* p) noexcept {
  if (p->schedtick.load(std::memory_order_relaxed) % 16 == 0 ||
      p->runnext_streak % kRunnextStreak == 0)
    return true;
  const std::int64_t coarse = coarse_now();
  if (coarse == p->coarse_seen) return false;
  p->coarse_seen = coarse;
  return true;
}

// It blocked not long ago, without a hint or for long.
bool expected_to_block(const G* g) noexcept {
  return g->hog != 0 && g->hog_slice != SliceKind::computes;
}

G* first_ready(PollWork& work) noexcept {
  constexpr int kLook = 128;
  G* g = work.ready.remove_if([](const G* x) { return !expected_to_block(x); }, kLook);
  return g ? g : work.ready.pop_front();
}

G* globrunqget_locked(P* p, std::uint32_t most) noexcept {
  std::uint32_t n = sched.runq.size();
  if (n == 0) return nullptr;
  n = std::min({n, n / static_cast<std::uint32_t>(procs()) + 1, kRunqSize / 2, most});
  if (sched.random) [[unlikely]] {
    n = std::min(n, kRandomRunq / 2);
    random_rotate(p, sched.runq);
  }
  G* first = sched.runq.pop_front();
  // The local queue is empty here, or `most` is 1. One that blocks comes alone: see
  // poll_before_blocker().
  if (!expected_to_block(first))
    for (std::uint32_t i = 1; i < n && !expected_to_block(sched.runq.front()); ++i)
      p->runq.push(sched.runq.pop_front());
  sched.runq_size.store(sched.runq.size(), std::memory_order_relaxed);
  return first;
}

G* globrunqget(P* p, std::uint32_t most) noexcept {
  if (sched.runq_size.load(std::memory_order_relaxed) == 0) return nullptr;
  LockGuard hold(sched.lock);
  return globrunqget_locked(p, most);
}

// A G that is next on a busy P will run there in a moment, with warm caches; it is taken only when
// it still stands there after a few microseconds.
G* steal_runnext(P* victim) noexcept {
  G* g = victim->runnext.load(std::memory_order_acquire);
  if (!g) return nullptr;
  if (victim->status.load(std::memory_order_relaxed) == PStatus::running) {
    for (int i = 0; i < 100; ++i) cpu_relax();
    if (victim->runnext.load(std::memory_order_acquire) != g) return nullptr;
  }
  return victim->runnext.compare_exchange_strong(g, nullptr, std::memory_order_acquire) ? g
                                                                                        : nullptr;
}

// Tries every other P in a random order, several times; in the last round also their timers and
// what they are about to run.
G* steal_work(M* m, P* p) noexcept {
  const auto n = static_cast<std::uint32_t>(procs());
  for (int round = 0; round < kStealRounds; ++round) {
    const bool last = round == kStealRounds - 1;
    const auto start = static_cast<std::uint32_t>(fast_random(m) >> 33);
    for (std::uint32_t i = 0; i < n; ++i) {
      if (sched.stop_wanted.load(std::memory_order_relaxed)) return nullptr;
      P* victim = sched.ps[(start + i) % n];
      if (victim == p) continue;
      if (last && victim->timers.next_when() != kNever && run_timers(victim->timers, nanotime())) {
        bool inherit;
        // Also what keeps steal_into() to an empty queue: cancelled contexts ready any number of
        // Gs.
        if (G* g = local_runq(p, &inherit)) return g;
      }
      G* g = victim->runq.steal_into(p->runq);
      if (!g && last) g = steal_runnext(victim);
      if (g) {
        p->counters.steals.add(1);
        return g;
      }
    }
  }
  return nullptr;
}

}  // namespace

bool any_queued() noexcept {
  if (sched.runq_size.load(std::memory_order_relaxed) != 0 || netpoll_left()) return true;
  return std::any_of(sched.ps.begin(), sched.ps.end(), [](P* p) { return !runq_empty(p); });
}

std::int64_t earliest_timer() noexcept {
  std::int64_t until = kNever;
  for (P* p : sched.ps) until = std::min(until, p->timers.next_when());
  return until;
}

namespace {

// An M without a P that saw work takes one from the idle list, if there is any.
bool take_idle_p(M* m, bool spin) noexcept {
  P* p;
  {
    LockGuard hold(sched.lock);
    p = pidleget_locked();
  }
  if (!p) return false;
  acquirep(m, p);
  if (spin) {
    m->spinning = true;
    sched.spinning.fetch_add(1, std::memory_order_seq_cst);
  }
  return true;
}

void stop_spinning(M* m) noexcept {
  m->spinning = false;
  sched.spinning.fetch_sub(1, std::memory_order_seq_cst);
}

// A timer armed on an idle P's heap while we were the spinner that its owner relied on.
bool timer_due_on_idle_p() noexcept {
  if (sched.idle_ps.load(std::memory_order_relaxed) == 0) return false;
  const std::int64_t first = earliest_timer();
  return first != kNever && first <= nanotime();
}

// Work was found by a spinner. Producers that saw it spin have not woken anybody, so it looks on
// their behalf: full fence after `spinning` fell, then all queues.
void reset_spinning(M* m) noexcept {
  stop_spinning(m);
  std::atomic_thread_fence(std::memory_order_seq_cst);  // pairs with wakep()
  if (any_queued() || timer_due_on_idle_p()) wakep();
}

// What the network has ready, without waiting; the first of it.
G* poll_now(M* m, P* p) noexcept {
  if (netpoll_waiters() == 0 || sched.polling.load(std::memory_order_relaxed)) return nullptr;
  PollWork work;
  netpoll(0, work);
  sched.last_poll.store(nanotime(), std::memory_order_relaxed);
  p->counters.polls.add(1);
  G* g = first_ready(work);
  netpoll_finish(m, work);
  return g;
}

// A goroutine that blocks without a hint holds the P until sysmon comes, and one that makes long
// hinted calls sends the P from thread to thread, before the call and when it is back. So it goes
// to the end of the global queue when the network makes it ready, and before it runs the network
// has its turn: what is ready then would have to wait for it. Without this a batch of requests to a
// handler that blocks held up all others until the last of them had begun, and once more when their
// calls came back together. Those with hints, which cost less, take turns with the network; the
// others run when it has nothing. Each 61st slice takes from the global queue whatever there is.
G* poll_before_blocker(M* m, P* p) noexcept {
  if (sched.runq_size.load(std::memory_order_relaxed) == 0) return nullptr;
  SliceKind kind;
  {
    LockGuard hold(sched.lock);
    const G* first = sched.runq.front();
    if (!first || !expected_to_block(first)) return nullptr;
    kind = first->hog_slice;
  }
  if (std::exchange(p->network_had_turn, false) && kind == SliceKind::hints) return nullptr;
  G* g = poll_now(m, p);
  p->network_had_turn = g != nullptr;
  return g;
}

// Whose P is idle relies on the poller, and on thieves. But an M that finds something in the
// network at each look gets to neither: two goroutines that wrote to each other over a socket kept
// a third one asleep for good.
void run_timers_of_others(const P* p) noexcept {
  if (procs() == 1) return;
  const std::int64_t now = nanotime();
  for (P* other : sched.ps)
    if (other != p && other->timers.next_when() <= now) run_timers(other->timers, now);
}

// Everything that needs a P and does not wait. Null: nothing anywhere.
G* look_for_work(M* m, P* p, bool* inherit) noexcept {
  if (p->timers.next_when() != kNever) run_timers(p->timers, nanotime());
  if (netpoll_left()) [[unlikely]]
    netpoll_take_left(m);
  if (global_queue_turn(p)) {
    run_timers_of_others(p);
    if (G* g = globrunqget(p, 1)) return g;
  }
  if (G* g = local_runq(p, inherit)) return g;
  *inherit = false;
  if (G* g = poll_before_blocker(m, p)) return g;
  if (G* g = globrunqget(p, kRunqSize)) return g;
  if (procs() == 1) return nullptr;  // nobody to steal from; the blocking poll comes next

  if (G* g = poll_now(m, p)) return g;
  const std::int32_t busy = procs() - sched.idle_ps.load(std::memory_order_relaxed);
  if (m->spinning || 2 * sched.spinning.load(std::memory_order_relaxed) < busy) {
    if (!m->spinning) {
      m->spinning = true;
      sched.spinning.fetch_add(1, std::memory_order_seq_cst);
    }
    return steal_work(m, p);
  }
  return nullptr;
}

// Waits in the poller as the one M that does, then tries to go on with a P. True: it has one.
bool poll_and_take_p(M* m, bool was_spinning, G** found) noexcept {
  // Looked up after `polling` was set: who arms a timer from then on breaks the wait.
  const std::int64_t until = earliest_timer();
  sched.poll_until.store(until, std::memory_order_relaxed);
  PollWork work;
  if (until == kNever) {
    bool quiet;
    {
      LockGuard hold(sched.lock);
      quiet = all_quiet_locked();
    }
    if (quiet) suspect_deadlock();
  }
  std::int64_t wait = until == kNever ? -1 : std::max<std::int64_t>(until - nanotime(), 0);
  // Full fence after `polling` was set: pairs with startm(), whose P found no M while we were on
  // our way here.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (any_queued() && sched.idle_ps.load(std::memory_order_seq_cst) != 0) wait = 0;
  netpoll(wait, work);
  sched.poll_until.store(0, std::memory_order_relaxed);
  sched.last_poll.store(nanotime(), std::memory_order_relaxed);
  sched.polling.store(false, std::memory_order_release);
  if (!take_idle_p(m, false)) {
    netpoll_finish(m, work);
    return false;
  }
  P* p = m->p.load(std::memory_order_relaxed);
  p->counters.polls.add(1);
  *found = first_ready(work);
  netpoll_finish(m, work);
  if (!*found && was_spinning) {
    m->spinning = true;
    sched.spinning.fetch_add(1, std::memory_order_seq_cst);
  }
  return true;
}

// The P goes to the idle list; then everything is looked at once more, before the M waits. True:
// the M has a P again (and a G in *found, perhaps). False: it should park.
bool give_up_p(M* m, P* p, G** found) noexcept {
  {
    LockGuard hold(sched.lock);
    if (sched.stop_wanted.load(std::memory_order_relaxed)) return true;
    *found = globrunqget_locked(p, kRunqSize);
    if (*found) return true;
    releasep(m);
    pidleput_locked(p);
  }
  const bool was_spinning = m->spinning;
  if (was_spinning) stop_spinning(m);
  // Pairs with the fence in wakep(): either a producer sees our idle P and that nobody spins, or we
  // see its G here. Without it both can miss, and the G waits until something else happens.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (any_queued() && take_idle_p(m, true)) return true;
  const std::int64_t until = earliest_timer();
  if (until != kNever && until <= nanotime() && take_idle_p(m, was_spinning)) return true;

  if (!sched.polling.load(std::memory_order_relaxed) &&
      !sched.polling.exchange(true, std::memory_order_seq_cst))
    return poll_and_take_p(m, was_spinning, found);
  if (until != kNever) {
    const std::int64_t poller = sched.poll_until.load(std::memory_order_seq_cst);
    if (poller == 0 || poller > until) netpoll_break();
  }
  return false;
}

// Finds a G to run; waits for one. Null: the M is to end.
G* find_runnable(M* m, bool* inherit) noexcept {
  for (;;) {
    P* p = m->p.load(std::memory_order_relaxed);
    if (!p) {
      if (m->spinning) stop_spinning(m);
      if (!stopm(m)) return nullptr;
      continue;
    }
    if (sched.stop_wanted.load(std::memory_order_relaxed)) {
      if (m->next_g) runqput(p, std::exchange(m->next_g, nullptr), false);
      if (m->spinning) stop_spinning(m);
      give_to_stopper(releasep(m));
      continue;
    }
    *inherit = false;
    if (m->next_g) return std::exchange(m->next_g, nullptr);
    if (G* g = look_for_work(m, p, inherit)) return g;
    *inherit = false;
    G* found = nullptr;
    give_up_p(m, p, &found);
    if (found) return found;
  }
}

}  // namespace

bool timers_due(P* p) noexcept {
  return timers_may_be_due(p) && p->timers.next_when() <= nanotime();
}

// Half of the queue's worth goes to the global queue, with the G that found no room.
void runqput_slow(P* p, G* g) noexcept {
  G* batch[kRunqSize / 2];
  std::uint32_t n = 0;
  if (sched.random) [[unlikely]] {
    while (n < kRandomRunq / 2 && (batch[n] = p->runq.pop(several_ps()))) ++n;
  } else {
    n = p->runq.pop_half(batch);
  }
  GList list;
  for (std::uint32_t i = 0; i < n; ++i) list.push_back(batch[i]);
  if (n == 0 && p->runq.push(g)) return;  // thieves made room
  list.push_back(g);
  globrunqput(list);
}

namespace {
// Others go first: one that parks or ends leaves a stack. Where there are none, looking again at
// once would only burn the CPU that whoever holds the memory needs.
[[gnu::cold]] void wait_for_stack(G* g) noexcept {
  constexpr unsigned kMicroseconds = 200;
  GList list;
  list.push_back(g);
  globrunqput(list);
  ::usleep(kMicroseconds);
}
}  // namespace

void schedule(M* m) {
  for (;;) {
    if (m->locked_g) [[unlikely]] {
      if (!run_locked(m)) return;
      continue;
    }
    bool inherit = false;
    G* g = find_runnable(m, &inherit);
    if (!g) return;
    if (m->spinning) reset_spinning(m);
    if (g->bound_m && g->bound_m != m) {
      startlockedm(m, g);
      continue;
    }
    begin_slice(m, m->p.load(std::memory_order_relaxed), g, inherit);
    if (!run_on_m(m, g)) [[unlikely]]
      wait_for_stack(g);
  }
}

// One that inherits a short slice goes on in it, and one of whom a short slice is known shortens
// what it inherits.
void begin_hog_slice(M* m, P* p, G* g, bool inherit) noexcept {
  const bool known = g->hog != 0;
  if (known) --g->hog;
  const bool is_short = known && g->hog_slice != SliceKind::hints;
  if (is_short) {
    p->counters.short_slices.add(1);
    p->slice.store(g->hog_slice, std::memory_order_relaxed);
  } else if (!inherit) {
    p->slice.store(SliceKind::whole, std::memory_order_relaxed);
  }
  if (!inherit) begin_tick(m, p);
  if (is_short) wake_sysmon_for_slice(p);  // it might be late
}

void globrunqput(GList& list) noexcept {
  LockGuard hold(sched.lock);
  sched.runq.append(list);
  sched.runq_size.store(sched.runq.size(), std::memory_order_relaxed);
}

void inject(M* m, GList& list) noexcept {
  if (list.empty()) return;
  P* p = m ? m->p.load(std::memory_order_relaxed) : nullptr;
  if (p && !m->foreign) {
    GList later;
    while (G* g = list.pop_front()) {
      if (expected_to_block(g)) [[unlikely]]
        later.push_back(g);
      else
        runqput(p, g, false);
    }
    if (!later.empty()) globrunqput(later);
    if (procs() > 1) wakep();
    return;
  }
  globrunqput(list);
  wakep();
}

bool runq_empty(const P* p) noexcept {
  return p->runq.empty() && p->runnext.load(std::memory_order_acquire) == nullptr;
}

bool work_waits(P* p, std::int64_t now, std::int64_t unpolled) noexcept {
  if (!runq_empty(p) || sched.runq_size.load(std::memory_order_relaxed) != 0) return true;
  if (netpoll_left()) return true;
  if (p->timers.next_when() <= now) return true;
  if (sched.stop_wanted.load(std::memory_order_relaxed)) return true;
  return !sched.polling.load(std::memory_order_relaxed) && netpoll_waiters() > 0 &&
         now - sched.last_poll.load(std::memory_order_relaxed) > unpolled;
}

void finish_timer_work(M* m, TimerWork& work) noexcept {
  GList ready;
  while (G* g = work.ready.pop_front()) {
    if (g->durable) [[unlikely]]
      bubble_wake(g);
    g->status.store(GStatus::runnable, std::memory_order_release);
    ready.push_back(g);
  }
  inject(m, ready);
  if (!work.expired_contexts && !work.tasks) return;
  const HiddenLabels hidden(m);
  cancel_expired(std::exchange(work.expired_contexts, nullptr));
  while (TimerTask* task = work.tasks) {
    work.tasks = task->next;  // before it runs: it may enter another list from then on
    task->run(task);
  }
}

}  // namespace treadle::rt
