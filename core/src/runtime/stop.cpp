// Stopping and starting the world, and changing the number of Ps.
//
// Protocol
//   One at a time: sched.world goes from running to paused (or ended) by compare-and-swap, and only
//   its winner stores it again. A loser that is a goroutine holds a P which the winner waits for,
//   so it leaves the guard between its tries; the P can be taken from it there. The winner holds
//   sched.revoker from before the first ask to after the last hand-out, so that neither sysmon nor
//   the litmus test takes a P meanwhile, and sets stop_wanted. Then in rounds, until every P but
//   its own is `stopped`: takes the idle list; asks every M that has a P, one barrier, and takes
//   the P of each that is outside the guard. Those inside come by themselves: g0 gives its P up in
//   find_runnable(), a goroutine when it finds the ask, at its next entry. What bounds a stop:
//   sections under the guard are short, and an M that waits to be scheduled by the kernel with its
//   guard up delays it by a time slice of the kernel's.
//
// Invariants while it is stopped
//   - No G runs on a P but the stopper's; nobody steals, polls with a P, or runs timers. Detached
//     goroutines and plain threads go on; they may arm and remove timers, start goroutines and
//     queue themselves globally.
//   - A P that is handed over but not yet acquired is never `stopped`: the stop waits for it.
#include <treadle/runtime.h>

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include <treadle/result.h>

#include "runtime/netpoll.h"
#include "runtime/random.h"
#include "runtime/revoke.h"
#include "runtime/sched.h"
#include "runtime/syscall.h"

namespace treadle::rt {

namespace {

constexpr std::int64_t kStopRound = 20'000;  // 20 us
constexpr int kQuickRounds = 4;              // first ones, without sleeping in between

bool is_stopped(const P* p) noexcept {
  // Acquire: pairs with give_to_stopper(); what its M did is ours to see.
  const PStatus s = p->status.load(std::memory_order_acquire);
  return s == PStatus::stopped || s == PStatus::dead;
}

P* own_p(M* self) noexcept {
  return self->foreign ? nullptr : self->p.load(std::memory_order_relaxed);
}

// One round; true when every P but `own` stands still.
bool stop_round(P* own) noexcept {
  {
    LockGuard hold(sched.lock);
    while (P* p = pidleget_locked()) p->status.store(PStatus::stopped, std::memory_order_relaxed);
  }
  bool asked = false;
  for (P* p : sched.ps) {
    if (p == own || is_stopped(p)) continue;
    M* m = p->m.load(std::memory_order_acquire);  // pairs with acquirep()
    if (m) asked |= ask(m);
  }
  if (asked) membarrier_all();
  bool all = true;
  for (P* p : sched.ps) {
    if (p == own || is_stopped(p)) continue;
    M* m = p->m.load(std::memory_order_acquire);
    if (m && take({p, m, p->schedtick.load(std::memory_order_relaxed), Lost::stopped}))
      p->status.store(PStatus::stopped, std::memory_order_relaxed);
    else
      all = false;
  }
  return all;
}

void stop_all(P* own) noexcept {
  for (int round = 0;; ++round) {
    const std::uint32_t seen = sched.stopped.load(std::memory_order_acquire);
    if (stop_round(own)) return;
    if (round >= kQuickRounds) futex_wait(sched.stopped, seen, kStopRound);
  }
}

// Tries to become the stopper for `what`; the world as it was found.
World claim(World what) noexcept {
  World found = World::running;
  sched.world.compare_exchange_strong(found, what, std::memory_order_seq_cst);
  return found;
}

// --- set_max_procs()

// `p` has no M and the world stands still.
void kill_p(P* p, P* heir) {
  GList queued;
  if (G* g = p->runnext.exchange(nullptr, std::memory_order_acquire)) queued.push_back(g);
  while (G* g = p->runq.pop()) queued.push_back(g);
  globrunqput(queued);
  p->timers.retire_into(heir->timers);
  g_give_back(p);
  p->long_hints.store(0, std::memory_order_relaxed);
  p->status.store(PStatus::dead, std::memory_order_relaxed);
}

void resize(M* self, std::int32_t n, std::vector<std::unique_ptr<P>>& fresh) {
  while (sched.ps.size() < static_cast<std::size_t>(n)) {
    P* p = fresh.back().release();
    fresh.pop_back();
    p->id = static_cast<int>(sched.ps.size());
    p->status.store(PStatus::dead, std::memory_order_relaxed);
    random_adopt(p);
    sched.ps.append(p);
  }
  P* own = own_p(self);
  for (P* p : sched.ps) {
    const PStatus was = p->status.load(std::memory_order_relaxed);
    if (p->id < n && was == PStatus::dead) {
      p->timers.revive();
      p->status.store(PStatus::stopped, std::memory_order_relaxed);
    } else if (p->id >= n && was != PStatus::dead) {
      if (p == own) {
        releasep(self);
        acquirep(self, sched.ps[0]);
      }
      kill_p(p, sched.ps[0]);
    }
  }
  sched.procs.store(n, std::memory_order_relaxed);
  update_blocking_limit();
}

struct Resize {
  std::int32_t wanted;
  std::int32_t before;
  bool if_by_machine;  // not when somebody has chosen a number
  std::vector<std::unique_ptr<P>> fresh;
};

// Returns how many there were.
int change_procs(int n, bool if_by_machine) {
  Resize r{n, sched.procs.load(std::memory_order_relaxed), if_by_machine, {}};
  // Allocated before the world stops; what others have made meanwhile is given back.
  for (std::size_t have = sched.ps.size(); have < static_cast<std::size_t>(n); ++have)
    r.fresh.push_back(std::make_unique<P>());
  with_world_stopped(
      [](M* self, void* arg) {
        auto& change = *static_cast<Resize*>(arg);
        change.before = sched.procs.load(std::memory_order_relaxed);
        if (change.before == change.wanted) return;
        if (change.if_by_machine && !sched.procs_by_machine.load(std::memory_order_relaxed)) return;
        resize(self, change.wanted, change.fresh);
      },
      &r);
  return r.before;
}

}  // namespace

void give_to_stopper(P* p) noexcept {
  p->status.store(PStatus::stopped, std::memory_order_release);  // pairs with is_stopped()
  sched.stopped.fetch_add(1, std::memory_order_release);
  futex_wake(sched.stopped, 1);
}

StopResult try_stop_the_world(M* self) noexcept {
  const World found = claim(World::paused);
  if (found != World::running) return found == World::ended ? StopResult::ended : StopResult::busy;
  sched.revoker.lock();
  sched.stop_wanted.store(true, std::memory_order_seq_cst);
  stop_all(own_p(self));
  return StopResult::stopped;
}

void start_the_world(M* self) noexcept {
  P* own = own_p(self);
  sched.stop_wanted.store(false, std::memory_order_seq_cst);
  std::int64_t first_timer = kNever;
  {
    LockGuard hold(sched.lock);
    for (std::size_t i = sched.ps.size(); i-- > 0;) {
      P* p = sched.ps[i];
      if (p == own || p->status.load(std::memory_order_relaxed) != PStatus::stopped) continue;
      if (!runq_empty(p)) continue;
      pidleput_locked(p);
      first_timer = std::min(first_timer, p->timers.next_when());
    }
  }
  for (P* p : sched.ps) {
    if (p == own || p->status.load(std::memory_order_relaxed) != PStatus::stopped) continue;
    p->status.store(PStatus::running, std::memory_order_relaxed);  // on its way to an M
    startm(p, false);
  }
  sched.revoker.unlock();
  sched.world.store(World::running, std::memory_order_seq_cst);
  // As in handoffp(): somebody has to look at the timers of Ps that were busy and are idle now, at
  // the global queue and at the network.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (first_timer != kNever) wake_poller(first_timer);
  wakep();
}

bool with_world_stopped(void (*f)(M* self, void* arg), void* arg) noexcept {
  ensure_started();
  for (int n = 0;; spin_pause(n++)) {
    Entry entry;
    M* m = entry.m();
    const StopResult r = try_stop_the_world(m);
    if (r == StopResult::busy) continue;
    if (r == StopResult::ended) return false;
    f(m, arg);
    start_the_world(m);
    return true;
  }
}

namespace {

// Symbols take their time to be read. A main that returns meanwhile must not turn a crash into an
// exit with success. Not for ever: what is to be said may wait for a lock the caller holds.
void wait_for_last_words() noexcept {
  constexpr int kMostTries = 3000;
  for (int i = 0; i < kMostTries && sched.last_words.load(std::memory_order_acquire) > 0; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
}

}  // namespace

void end_the_world() noexcept {
  wait_for_last_words();
  for (int n = 0;; spin_pause(n++)) {
    Entry entry;
    const World found = claim(World::ended);
    if (found == World::paused) continue;
    if (found == World::ended) return;
    LockGuard hold(sched.revoker);
    sched.stop_wanted.store(true, std::memory_order_seq_cst);
    stop_all(own_p(entry.m()));
    return;
  }
}

void review_procs() {
  if (!sched.procs_by_machine.load(std::memory_order_relaxed)) return;
  const int n = sched.procs_allowed.load(std::memory_order_relaxed)();
  if (n != sched.procs.load(std::memory_order_relaxed)) change_procs(n, true);
}

}  // namespace treadle::rt

namespace treadle {

int set_max_procs(int n) {
  if (n < 0 || n > rt::kMaxProcs)
    throw Panic(fmt::format("treadle::set_max_procs({}): must be 1 to {}, or 0 for the default", n,
                            rt::kMaxProcs));
  rt::ensure_started();
  // Before the world stops: a review that comes in between must not undo it.
  rt::sched.procs_by_machine.store(n == 0, std::memory_order_relaxed);
  return rt::change_procs(n == 0 ? rt::sched.procs_allowed.load()() : n, n == 0);
}

}  // namespace treadle
