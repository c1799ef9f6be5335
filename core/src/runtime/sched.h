// The scheduler: distributes ready goroutines over threads.
//
// Concepts
//   G  a goroutine: a stack and a place to go on. M: an OS thread. P: the right to run goroutines,
//      with the queue, timers and caches that belong to it. There are GOMAXPROCS Ps. An M runs Gs
//      only while it holds a P.
//
// States and owners
//   G: idle -> runnable -> running -> waiting -> runnable ... -> dead -> idle
//                          running -> dormant -> runnable ...
//      A running G whose M lost its P is detached: it goes on, and at its next entry becomes
//      running with a P again, or runnable. Detached is the M's state (its request line), not a
//      status of its own: the revoker could not store it in a G that runs.
//      Owners stand in g.h. A transition is stored by the owner of the state left.
//   P: idle (sched.lock; on the idle list) <-> running (the M in P.m, or the revoker that took it)
//              -> stopped (whoever stopped the world) <-> dead (beyond sched.procs;
//              set_max_procs())
//   M: running (has a P) | spinning (has a P, no G, looks for work; counted in sched.spinning)
//      | detached (runs a G, its P was taken) | bound (waits with its G for a P; wait_bound())
//      | locked (waits for the one G it may run; run_locked()) | parked (on the idle list, in
//      stopm(), or in the poller) | gone
//
// Waiting and waking
//   gopark() and goready() are the only ways to wait and to wake. gopark() runs its hook after the
//   G's registers are saved, on the next stack; once the hook has published the G, another M may be
//   running it already. Every source of a wake-up claims the G first, by a compare-and-swap with
//   one winner (Waiter in waiter.h, PollDesc's sides in netpoll.h), so that goready() is called
//   once a park.
//
// Lost wake-ups
//   A G is made ready by: (1) put it on a queue, (2) full fence, (3) if a P is idle and nobody
//   spins, start a spinner. An M that runs out of work does: (1) give the P to the idle list, stop
//   spinning, (2) full fence, (3) look at all queues and timers once more. Either the first sees
//   the idle P and no spinner, or the second sees the G. The fences are in wakep(),
//   give_up_p() and reset_spinning(); the litmus test is tests/core/wakeup_litmus_test.cpp.
//
// Lock order
//   scan_lock, and the locks of what is waited for (channels, mutexes, contexts, ...) < timer heap
//   locks < sched.lock. sched.revoker < sched.lock; while the world is stopped, also < the heaps'.
//   Leaves: a bubble's lock, those of the pools of Gs and of stacks.
//   A timer's function runs under its heap's lock and so takes none of the first group; see
//   TimerWork.
//
// Direct switches
//   A park goes straight to the next local G where there is one; g0, the thread's own stack, runs
//   only what needs it: looking for work, parking the M, a G bound to another M.
//
// Rejected: one global queue (contention); g0 between any two Gs (two switches instead of one);
// stealing timers from a P's heap (removal would have to chase them: thieves run them in place).
#pragma once

#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>

#include <treadle/detail/lock.h>
#include <treadle/runtime.h>

#include "runtime/cgroup.h"
#include "runtime/g.h"
#include "runtime/m.h"
#include "runtime/p.h"

namespace treadle::rt {

// Every P ever made. Ps are never freed and stay in place: those from sched.procs on are dead, with
// nothing queued and no timer. Grows while the world is stopped; any thread may walk it.
class PList {
 public:
  P* const* begin() const noexcept { return at_; }
  // Acquire: pairs with append(), so that the P is there.
  P* const* end() const noexcept { return at_ + made_.load(std::memory_order_acquire); }
  std::size_t size() const noexcept { return made_.load(std::memory_order_acquire); }
  P* operator[](std::size_t i) const noexcept { return at_[i]; }
  void append(P* p) noexcept {
    const std::size_t n = made_.load(std::memory_order_relaxed);
    at_[n] = p;
    made_.store(n + 1, std::memory_order_release);
  }

 private:
  P* at_[kMaxProcs] = {};
  std::atomic<std::size_t> made_{0};
};

// What the world does; see stop.cpp.
enum class World : std::uint32_t {
  running,
  paused,  // somebody is about to stop it, or has, and will start it again
  ended,   // stopped for good: the process ends
};

using ThreadMaker = int (*)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
inline constexpr std::int32_t kNoLimit = std::numeric_limits<std::int32_t>::max();

struct Sched {
  Lock revoker;  // one at a time takes Ps away: sysmon, whoever stops the world
  Lock lock;     // protects the lists below

  GList runq;                               // global queue
  std::atomic<std::uint32_t> runq_size{0};  // its size, for a look without the lock
  std::uint32_t bound_queued = 0;           // goroutines bound to their M put there; under lock
  P* idle_p = nullptr;
  std::atomic<std::int32_t> idle_ps{0};  // length of idle_p's list; stored under lock
  M* idle_m = nullptr;
  std::int32_t idle_ms = 0;
  std::int32_t ms = 0;           // alive, those being made included
  std::int32_t ms_wanted = 0;    // Ps that wait for the template thread to make an M
  std::int32_t ms_starting = 0;  // made, not yet in m_main()
  // Ms that sleep until the goroutine they are locked to is ready. Whoever makes an M sleep so
  // counts it, and calls suspect_deadlock() once it is counted.
  std::int32_t locked_ms = 0;
  std::int32_t os_locked = 0;  // Ms that a goroutine is locked to; each is one of `ms`
  std::uint64_t ps_taken = 0;  // how often a P left the idle list: whether anything ran meanwhile
  std::int32_t max_ms = 10000;
  std::int32_t ms_possible = kNoLimit;  // as many were alive when the last thread could not be made
  int next_m_id = 1;
  bool m_limit_logged = false;

  std::atomic<std::int32_t> spinning{0};  // Ms that look for work
  std::atomic<World> world{World::running};
  std::atomic<bool> stop_wanted{false};   // the world is to stop: give up Ps
  std::atomic<std::uint32_t> stopped{0};  // futex: counts Ps given up
  bool random = false;  // the seeded scheduler (random.h); fixed before there is an M

  std::atomic<bool> polling{false};  // one M owns the poller: it waits there, or is about to
  // Until when that M waits, kNever for as long as it takes, 0 when it does not wait yet.
  std::atomic<std::int64_t> poll_until{0};
  std::atomic<std::int64_t> last_poll{0};  // when somebody last asked what is ready

  // What the template thread is to do besides; ServiceWork bits.
  std::atomic<std::uint32_t> service{0};
  // The template thread will look for parked goroutines with unused stacks, in a while.
  std::atomic<bool> sweep_due{false};
  std::int64_t stack_idle = 10'000'000'000;  // parked so long, a stack is trimmed; fixed at start

  // sysmon; see sysmon.cpp.
  std::atomic<std::uint32_t> sysmon_wake{0};  // futex
  std::atomic<std::int64_t> sysmon_nap{0};    // for so long it naps; 0: awake, or deep asleep
  std::atomic<bool> hint_waits{false};        // it was woken for a hinted call
  bool sysmon_deep = false;                   // it sleeps until an idle P is taken; under lock

  // How many more goroutines may lose their P in a hinted call; at zero, further ones wait for
  // their turn before the call. See blocking.cpp.
  std::atomic<std::int32_t> blocking_room{0};
  std::int32_t max_blocking = 512;

  // Fixed before there is an M.
  bool preempt = true;  // Ps are taken from goroutines that gave no hint, too

  // Nobody has chosen the number of Ps: it follows what the machine allows.
  std::atomic<bool> procs_by_machine{false};

  // Tests change these.
  std::atomic<int (*)()> procs_allowed{&default_procs};
  std::atomic<std::int64_t> idle_retire{10'000'000'000};  // a surplus M ends after so many ns
  std::atomic<ThreadMaker> thread_maker{&::pthread_create};

  PList ps;
  std::atomic<std::int32_t> procs{0};  // GOMAXPROCS; stored while the world is stopped

  // For the deadlock detector; see deadlock.cpp.
  // A thread is in run(), whose goroutine has begun and not ended.
  std::atomic<bool> main_waits{false};
  // What may ready a goroutine from where the scheduler does not look: signals subscribed to,
  // clocks of bubbles. Not descriptors, timers or threads.
  std::atomic<std::int32_t> outside_wakers{0};
  std::atomic<std::int32_t> own_threads{0};  // threads of the runtime that are no Ms
  // Threads that say why the process dies, and will then end it; see end_the_world().
  std::atomic<std::int32_t> last_words{0};

  std::atomic<bool> started{false};
  std::atomic<bool> forked{false};  // this is a forked child: none of the threads is here
  std::atomic<std::uint64_t> next_id{1};
  std::atomic<std::uint64_t> foreign_spawned{0};
  std::atomic<std::int32_t> detached{0};  // Ms whose request line says `lost`
  std::atomic<std::uint64_t> handoffs{0}, preemptions{0}, refused_handoffs{0}, blocking_waits{0},
      thread_failures{0};
};
extern Sched sched;

// --- sched.cpp
// The loop of an M on its g0; returns when the M is to end.
void schedule(M* m);
void globrunqput(GList& list) noexcept;
// Makes `list` runnable from an M that may lack a P, or from a thread that is no M.
void inject(M* m, GList& list) noexcept;
bool runq_empty(const P* p) noexcept;
// True when any queue has a G.
bool any_queued() noexcept;
// When the first timer of all Ps is due, kNever for none.
std::int64_t earliest_timer() noexcept;
// Does what run timers left; Gs become ready as by goready().
void finish_timer_work(M* m, TimerWork& work) noexcept;
// True when something could run on `p` if its goroutine let go; the network counts when nobody has
// polled it for `unpolled`.
inline constexpr std::int64_t kUnpolled = 10'000'000;
bool work_waits(P* p, std::int64_t now, std::int64_t unpolled = kUnpolled) noexcept;

// --- park.cpp
// The calling G waits until goready(). `hook` runs after its registers are saved; it returns by
// calling nothing else on `g` once it has published it. Inside the guard, of a parking entry.
void gopark(SwitchHook hook, void* arg, WaitReason reason) noexcept;
// Makes a parked G runnable; the caller has claimed it. Inside the guard, or on any thread
// without a P.
void goready(G* g) noexcept;
// For hooks: the G left behind has been woken already, so it must not wait.
void ready_in_hook(M* m, G* g) noexcept;
// Puts the calling G at the end of a queue and runs others.
enum class YieldTo { local_queue, global_queue };
void yield_g(YieldTo where) noexcept;
// Leaves the calling G for g0 even if another G could run; m->hook is set.
void switch_to_g0(M* m, G* g) noexcept;
// Leaves the calling goroutine's stack, to which nothing comes back; `hook` runs once it is left.
// The goroutine is then `as`: dead, or dormant.
[[noreturn]] void leave_stack(SwitchHook hook, void* arg, GStatus as) noexcept;
// Runs the hook left by whoever switched here. First thing on any arrival.
void after_switch(M* m) noexcept;
// From g0 to `g`; returns when something switches back to g0. False, and no more: there is no stack
// for one that was dormant.
bool run_on_m(M* m, G* g) noexcept;

// --- idle.cpp
void acquirep(M* m, P* p) noexcept;
P* releasep(M* m) noexcept;
void pidleput_locked(P* p) noexcept;
P* pidleget_locked() noexcept;
bool pidle_remove_locked(P* p) noexcept;
// Gives `p` to an idle M, `spinning` when that was counted already; without an M the P goes to the
// idle list and the template thread is asked for one.
void startm(P* p, bool spinning) noexcept;
// A P whose M is gone: starts an M when there is work, else the P goes idle.
void handoffp(P* p) noexcept;
// A timer at `when` was armed where no M may look in time: sees to it that one does.
void wake_poller(std::int64_t when) noexcept;
// Waits on the idle list until somebody hands over a P. False: the M is to end.
bool stopm(M* m) noexcept;
// Starts a spinner when a P is idle and nobody spins.
void wakep() noexcept;
// Hands this M's P to the M that `g` is bound to; then this M has none.
void startlockedm(M* m, G* g) noexcept;
bool spare_m_available() noexcept;
// Has the template thread do something that a scheduling thread must not: allocate, log, take long.
// Any thread, signal handlers too; does nothing when it is asked for already.
enum class ServiceWork : std::uint32_t {
  warn_mappings = 1,
  sweep_stacks = 2,
  review_procs = 4,
  quit = 8
};
void service_request(ServiceWork work) noexcept;
void start_template_thread();
// Makes the template thread look at what it may have to do.
void wake_template_thread() noexcept;
// Blocks in the calling thread what is meant for the process as a whole. All Ms do: the template
// thread receives it.
void block_async_signals(sigset_t* previous) noexcept;

// --- os_thread.cpp
// The M's locked goroutine has parked, yielded or ended: hands the P on, waits for the goroutine's
// turn and runs it. False: it has ended, and the M is to end.
bool run_locked(M* m) noexcept;

// --- sysmon.cpp
void start_sysmon();
void wake_sysmon() noexcept;
// The same for a hinted call. Worth it when it would sleep for longer than kHintNap: longer than
// such a call may hold its P.
void wake_sysmon_for_hint() noexcept;
inline constexpr std::int64_t kHintNap = 40'000;
// The same for a slice that has begun on `p` and is to be a short one.
void wake_sysmon_for_slice(const P* p) noexcept;
// A hinted call as long as this makes the network wait, if nobody polls it, and is expected again.
inline constexpr std::int64_t kLongHint = 100'000;
// One revocation, as sysmon's, of whoever holds `p`, overdue or not. True: the P was taken and
// handed on. For the litmus test; any thread without a P.
bool revoke_once(P* p) noexcept;

// --- blocking.cpp
// A goroutine has lost its P in a hinted call; or has come back from it. The latter makes one of
// those that wait for their turn runnable. Any thread.
void blocking_began() noexcept;
void blocking_ended() noexcept;
bool blocking_calls_wait() noexcept;
// The limit follows the number of Ps and how many threads can be made. Any thread.
void update_blocking_limit() noexcept;

// --- deadlock.cpp
// Nothing runs and nothing is queued: every P is idle, every M stands still. Under sched.lock.
bool all_quiet_locked() noexcept;
// To be called, without locks, by an M that found it quiet as it went to sleep: has the template
// thread look, unless something obvious will wake a goroutine.
void suspect_deadlock() noexcept;
// The template thread's look; does not return when it is a deadlock. The nanoseconds after which to
// look again, -1 for not.
std::int64_t check_deadlock();

// --- stop.cpp
enum class StopResult {
  stopped,  // no goroutine runs on a P but the caller's; those outside the runtime run on detached
  busy,     // somebody else stops it: leave the guard, so that he gets our P, and try again
  ended,    // it is stopped for good
};
// Tries to become the one that stops the world, and stops it, until start_the_world(). Inside the
// guard. The caller then holds sched.revoker, and must not park.
StopResult try_stop_the_world(M* self) noexcept;
void start_the_world(M* self) noexcept;
// `p`, whose M has let go of it, stands still until start_the_world(). While a stop is wanted.
void give_to_stopper(P* p) noexcept;
// Calls `f` while the world is stopped, inside the guard; f neither parks nor throws. False, and
// no call, when the process ends. Any thread, outside the guard.
bool with_world_stopped(void (*f)(M* self, void* arg), void* arg) noexcept;
// The number of Ps becomes what the machine allows now, if nobody has chosen one. Allocates.
void review_procs();
// Stops the world for good; returns at once when somebody has. Any thread, outside the guard.
void end_the_world() noexcept;

// --- runtime.cpp
// Starts the runtime with defaults when it has not been.
void start_by_default();
inline void ensure_started() {
  if (!sched.started.load(std::memory_order_acquire)) [[unlikely]]
    start_by_default();
}
// --- go.cpp
G* g_alloc_foreign() noexcept;
// A stack for a G that is to run for the first time; `p` may be null. False: there is none.
bool g_give_stack(P* p, G* g) noexcept;
void g_free(M* m, G* g) noexcept;
void publish_gs_to_debuggers() noexcept;
// Inside the guard, on the goroutine that ends; what it has is gone already.
[[noreturn]] void end_current_goroutine(M* m) noexcept;
// A dead P's spare Gs become everybody's.
void g_give_back(P* p) noexcept;
// Calls `visit` for every G ever made; any thread.
void for_each_g(void (*visit)(G*, void*), void* arg);
// --- fatal.cpp
// Writes "treadle: fatal: <what>" to standard error and aborts.
[[noreturn]] void fatal(const char* what) noexcept;
// The same, with the goroutine it concerns.
[[noreturn]] void fatal(const char* what, const G* g) noexcept;
// A process that is ending has so long to say why.
void limit_last_words() noexcept;
// All goroutines with their stacks, then the end with status 2, as in Go: nothing is unwound or
// flushed. The template thread's.
[[noreturn]] void last_dump() noexcept;
void install_fault_handlers();
// --- uncaught.cpp
void install_terminate_handler();
// --- fatal.cpp
void install_signal_stack(M* m);
void remove_signal_stack(M* m);

}  // namespace treadle::rt
