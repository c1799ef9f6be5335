// Idle Ms and Ps, and where threads come from.
//
// Threads are made by one template thread, whose signal mask and affinity are clean, and never by
// whoever needs one: sysmon may be rescuing a thread that holds the loader's or the allocator's
// lock, so it must not make threads or allocate. Therefore one spare M always stands parked, and
// the template thread replaces it when it is taken.
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>

#include <treadle/log.h>

#include "runtime/foreign.h"
#include "runtime/kernel_slice.h"
#include "runtime/netpoll.h"
#include "runtime/random.h"
#include "runtime/scan.h"
#include "runtime/sched.h"
#include "runtime/syscall.h"

namespace treadle::rt {

namespace {

constexpr std::int32_t kKeepIdle = 4;                    // as many stay for good
constexpr std::int64_t kProbeEvery = 100'000'000;        // 100 ms
constexpr std::int64_t kComplainEvery = 10'000'000'000;  // 10 s

struct Template {
  int requests = -1;            // eventfd, read by the template thread
  M* gone = nullptr;            // Ms of ended threads, for reuse; under sched.lock
  std::int64_t next_probe = 0;  // under sched.lock
} tmpl;

void push_idle_locked(M* m) noexcept {
  m->link = sched.idle_m;
  sched.idle_m = m;
  ++sched.idle_ms;
}

M* pop_idle_locked() noexcept {
  M* m = sched.idle_m;
  if (!m) return nullptr;
  sched.idle_m = m->link;
  m->link = nullptr;
  --sched.idle_ms;
  return m;
}

bool remove_idle_locked(M* m) noexcept {
  for (M** at = &sched.idle_m; *at; at = &(*at)->link) {
    if (*at != m) continue;
    *at = m->link;
    m->link = nullptr;
    --sched.idle_ms;
    return true;
  }
  return false;
}

void adopt_thread(M* m) {
  m->tid.store(::gettid(), std::memory_order_relaxed);
  pthread_attr_t attr;
  void* low = nullptr;
  std::size_t size = 0;
  if (::pthread_getattr_np(::pthread_self(), &attr) == 0) {
    ::pthread_attr_getstack(&attr, &low, &size);
    ::pthread_attr_destroy(&attr);
  }
  m->g0_fiber.bottom = low;
  m->g0_fiber.size = size;
  fiber_adopt_thread(m->g0_fiber);
  m->eh = reinterpret_cast<EhGlobals*>(__cxxabiv1::__cxa_get_globals());
  m->rng = (static_cast<std::uint64_t>(m->id) + 1) * 0x9E3779B97F4A7C15ull;
  if (sched.random) m->rng = random_m_state(static_cast<std::uint64_t>(m->id));
}

// A new M: takes a P that waits for one, else stands by as the spare.
void* m_main(void* arg) {
  M* m = static_cast<M*>(arg);
  setm(m);
  kernel_slice_adopt_thread();
  adopt_thread(m);
  install_signal_stack(m);
  P* p = nullptr;
  {
    LockGuard hold(sched.lock);
    --sched.ms_starting;
    if (sched.ms_wanted > 0) {
      --sched.ms_wanted;
      p = pidleget_locked();
    }
  }
  if (p) {
    wake_template_thread();  // a spare is still owed
    acquirep(m, p);
  }
  schedule(m);
  remove_signal_stack(m);
  setm(&foreign_sentinel);  // for what thread_local destructors may still call
  LockGuard hold(sched.lock);
  --sched.ms;
  m->link = tmpl.gone;
  tmpl.gone = m;
  return nullptr;
}

// The template thread's. It tries again whenever somebody asks for a thread, so that much is logged
// only now and then.
void report_failure(int error) {
  static std::int64_t last = -kComplainEvery;
  sched.thread_failures.fetch_add(1, std::memory_order_relaxed);
  const std::int64_t now = nanotime();
  if (now - last < kComplainEvery) return;
  last = now;
  log::warn("cannot make a thread: {}; Ps are not taken from goroutines that block meanwhile",
            std::strerror(error));
}

// What can be made has changed: the limit of blocking calls follows.
void threads_possible(std::int32_t ms) {
  {
    LockGuard hold(sched.lock);
    if (std::exchange(sched.ms_possible, ms) == ms) return;
  }
  update_blocking_limit();
}

bool make_thread(M* m) {
  pthread_attr_t attr;
  ::pthread_attr_init(&attr);
  ::pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
  sigset_t previous;
  block_async_signals(&previous);
  const auto maker = sched.thread_maker.load(std::memory_order_relaxed);
  const int e = maker(&m->thread, &attr, m_main, m);
  ::pthread_sigmask(SIG_SETMASK, &previous, nullptr);
  ::pthread_attr_destroy(&attr);
  if (e != 0) report_failure(e);
  return e == 0;
}

// The last thread could not be made, and calls wait for their turn for want of threads: one more
// is tried now and then, however many stand by.
bool probe_due_locked(std::int64_t now) {
  if (sched.ms_possible == kNoLimit || !blocking_calls_wait() || now < tmpl.next_probe)
    return false;
  tmpl.next_probe = now + kProbeEvery;
  return true;
}

// True when a thread should be made now; counts it.
bool claim_thread(bool* limited) {
  const std::int64_t now = nanotime();
  LockGuard hold(sched.lock);
  // One spare, and one for each P that waits; those on their way count.
  if (sched.idle_ms + sched.ms_starting > sched.ms_wanted && !probe_due_locked(now)) return false;
  *limited = sched.ms >= sched.max_ms;
  if (*limited) return false;
  ++sched.ms;
  ++sched.ms_starting;
  return true;
}

M* new_m() {
  {
    LockGuard hold(sched.lock);
    if (M* m = tmpl.gone) {
      tmpl.gone = m->link;
      m->link = nullptr;
      return m;
    }
  }
  M* m = new (std::nothrow) M;
  if (!m) return nullptr;
  LockGuard hold(sched.lock);
  m->id = sched.next_m_id++;
  if (!membarrier_available() || sched.random) m->req.store(kReqSlow, std::memory_order_relaxed);
  return m;
}

void report_limit() {
  {
    LockGuard hold(sched.lock);
    if (std::exchange(sched.m_limit_logged, true)) return;
  }
  log::warn("the limit of {} threads is reached: Ps are no longer taken from goroutines that block",
            sched.max_ms);
}

// Makes one thread when one is due. False: nothing to do, or it cannot be done now.
bool make_spare() {
  bool limited = false;
  if (!claim_thread(&limited)) {
    if (limited) report_limit();
    return false;
  }
  M* m = new_m();
  if (m && make_thread(m)) {
    threads_possible(kNoLimit);
    return true;
  }
  std::int32_t alive;
  {
    LockGuard hold(sched.lock);
    alive = --sched.ms;
    --sched.ms_starting;
    if (m) {
      m->link = tmpl.gone;
      tmpl.gone = m;
    }
  }
  threads_possible(alive);
  return false;
}

// When stacks are swept next; kNever while there is nothing to trim. The template thread's.
std::int64_t next_sweep = kNever;

void sweep_if_due() {
  if (next_sweep == kNever || nanotime() < next_sweep) return;
  // Waits are stamped by the coarse clock, which is never ahead.
  const std::int64_t now = nanotime();
  const bool more = sweep_parked_stacks(now - sched.stack_idle) > 0;
  next_sweep = more ? now + sched.stack_idle : kNever;
  if (!more) sched.sweep_due.store(false, std::memory_order_relaxed);
}

void do_service() {
  const std::uint32_t work = sched.service.exchange(0, std::memory_order_acquire);
  const auto asked = [work](ServiceWork w) { return (work & static_cast<std::uint32_t>(w)) != 0; };
  if (asked(ServiceWork::quit)) last_dump();
  if (asked(ServiceWork::warn_mappings)) warn_mappings();
  if (asked(ServiceWork::sweep_stacks) && next_sweep == kNever)
    next_sweep = nanotime() + sched.stack_idle;
  if (asked(ServiceWork::review_procs)) review_procs();
  sweep_if_due();
}

// Waits for a request, at most until `until`. Plain calls: this thread has its signals open, and
// sanitizers run handlers of threads that wait in a call they know.
void wait_for_request(std::int64_t until) {
  if (until != kNever) {
    const std::int64_t ms = (until - nanotime()) / 1'000'000 + 1;
    pollfd p{tmpl.requests, POLLIN, 0};
    if (ms <= 0 || ::poll(&p, 1, static_cast<int>(ms)) <= 0) return;
  }
  std::uint64_t requests;
  while (::read(tmpl.requests, &requests, sizeof requests) < 0 && errno == EINTR) {
  }
}

// When the template thread has to look again, kNever for when it is asked.
std::int64_t next_look() {
  const std::int64_t in = check_deadlock();
  std::int64_t at = in < 0 ? kNever : nanotime() + in;
  LockGuard hold(sched.lock);
  if (sched.ms_possible == kNoLimit) return at;
  if (sched.ms_wanted > 0) at = std::min(at, nanotime() + kProbeEvery);
  if (blocking_calls_wait()) at = std::min(at, tmpl.next_probe);
  return at;
}

void* template_main(void*) {
  for (;;) {
    while (make_spare()) {
    }
    do_service();
    wait_for_request(std::min(next_look(), next_sweep));
  }
}

}  // namespace

void service_request(ServiceWork work) noexcept {
  const auto bit = static_cast<std::uint32_t>(work);
  // Release: what the request is about was written before.
  if ((sched.service.fetch_or(bit, std::memory_order_release) & bit) == 0) wake_template_thread();
}

// Faults stay with the thread that makes them, and profilers may have SIGPROF.
void block_async_signals(sigset_t* previous) noexcept {
  sigset_t set;
  ::sigfillset(&set);
  for (int s : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGPROF, SIGSYS})
    ::sigdelset(&set, s);
  ::pthread_sigmask(SIG_BLOCK, &set, previous);
}

void start_template_thread() {
  tmpl.requests = ::eventfd(0, EFD_CLOEXEC);
  if (tmpl.requests < 0) fatal("cannot make the template thread's descriptor");
  // Signals stay open here: this is the thread that receives what nobody else wants to.
  pthread_t t;
  pthread_attr_t attr;
  ::pthread_attr_init(&attr);
  ::pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
  const int e = ::pthread_create(&t, &attr, template_main, nullptr);
  ::pthread_attr_destroy(&attr);
  if (e != 0) fatal("cannot make the runtime's first thread");
  sched.own_threads.fetch_add(1, std::memory_order_relaxed);
}

void wake_template_thread() noexcept {
  const KeepErrno keep;
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto n = ::write(tmpl.requests, &one, sizeof one);
}

void acquirep(M* m, P* p) noexcept {
  p->status.store(PStatus::running, std::memory_order_relaxed);
  m->p.store(p, std::memory_order_relaxed);
  p->m.store(m, std::memory_order_release);  // pairs with the revoker, which looks into the M
  clear_req(m);
}

P* releasep(M* m) noexcept {
  P* p = m->p.load(std::memory_order_relaxed);
  p->m.store(nullptr, std::memory_order_relaxed);
  m->p.store(nullptr, std::memory_order_relaxed);
  clear_req(m);  // an ask was for that P
  return p;
}

void pidleput_locked(P* p) noexcept {
  p->status.store(PStatus::idle, std::memory_order_relaxed);
  p->link = sched.idle_p;
  sched.idle_p = p;
  sched.idle_ps.store(sched.idle_ps.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

namespace {
// A P begins to run: a sysmon that sleeps for good has to watch it.
void taken_locked(P* p) noexcept {
  p->link = nullptr;
  ++sched.ps_taken;
  sched.idle_ps.store(sched.idle_ps.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
  if (sched.sysmon_deep) {
    sched.sysmon_deep = false;
    wake_sysmon();
  }
}
}  // namespace

P* pidleget_locked() noexcept {
  P* p = sched.idle_p;
  if (!p) return nullptr;
  sched.idle_p = p->link;
  taken_locked(p);
  return p;
}

bool pidle_remove_locked(P* p) noexcept {
  for (P** at = &sched.idle_p; *at; at = &(*at)->link) {
    if (*at != p) continue;
    *at = p->link;
    taken_locked(p);
    return true;
  }
  return false;
}

bool spare_m_available() noexcept {
  LockGuard hold(sched.lock);
  return sched.idle_ms > 0;
}

namespace {

// No M stands by, and perhaps no thread can be made: an M that waits with its goroutine in the
// global queue can take the P as well, and must, or nobody might.
M* pop_bound_locked() noexcept {
  constexpr int kLook = 64;  // most of them queue in front
  G* const g = sched.runq.remove_if([](const G* x) { return x->bound_m != nullptr; }, kLook);
  if (!g) return nullptr;
  sched.runq_size.store(sched.runq.size(), std::memory_order_relaxed);
  return g->bound_m;
}

// It will run its goroutine, not look for work.
bool end_spinning(bool spinning) noexcept {
  if (spinning) sched.spinning.fetch_sub(1, std::memory_order_seq_cst);
  return false;
}

}  // namespace

void startm(P* p, bool spinning) noexcept {
  M* m;
  bool ask;
  {
    LockGuard hold(sched.lock);
    m = pop_idle_locked();
    ask = sched.idle_ms == 0;
    if (!m && (m = pop_bound_locked())) spinning = end_spinning(spinning);
    if (!m) {
      pidleput_locked(p);
      // No more than there are Ps to run: producers come by many times before a thread is made.
      sched.ms_wanted =
          std::min(sched.ms_wanted + 1, sched.idle_ps.load(std::memory_order_relaxed));
    }
  }
  if (ask) wake_template_thread();
  if (!m) {
    if (spinning) sched.spinning.fetch_sub(1, std::memory_order_seq_cst);
    // Perhaps no thread can be made, and the others block: the M in the poller is one, too. Full
    // fence: pairs with poll_and_take_p(), where one that is about to wait sees the P.
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (sched.polling.load(std::memory_order_seq_cst)) netpoll_break();
    return;
  }
  m->spinning = spinning;
  m->nextp = p;
  m->note.wake();
}

void wake_poller(std::int64_t when) noexcept {
  if (!sched.polling.load(std::memory_order_seq_cst)) {
    wakep();
    return;
  }
  const std::int64_t until = sched.poll_until.load(std::memory_order_seq_cst);
  if (until == 0 || until > when) netpoll_break();
}

void handoffp(P* p) noexcept {
  std::int32_t none = 0;
  if (runq_empty(p) && sched.idle_ps.load(std::memory_order_relaxed) == 0 &&
      sched.spinning.compare_exchange_strong(none, 1, std::memory_order_seq_cst)) {
    // Every other P is busy, with hogs perhaps: this one looks for work and at the network.
    startm(p, true);
    return;
  }
  bool start = !runq_empty(p);
  if (!start) {
    LockGuard hold(sched.lock);
    // The last P to go must leave somebody in the poller, where the network and the timers are
    // waited for.
    const bool last = sched.idle_ps.load(std::memory_order_relaxed) ==
                      sched.procs.load(std::memory_order_relaxed) - 1;
    start = sched.runq.size() != 0 || (last && !sched.polling.load(std::memory_order_relaxed));
    if (!start) pidleput_locked(p);
  }
  if (start) {
    startm(p, false);
    return;
  }
  // Once the P is on the list: who arms a timer there from now on sees that it is idle.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (const std::int64_t when = p->timers.next_when(); when != kNever) wake_poller(when);
}

bool stopm(M* m) noexcept {
  bool excess, quiet;
  {
    LockGuard hold(sched.lock);
    // A P that found no M waits for a thread to be made, which may be impossible: here is one.
    if (sched.ms_wanted > 0) {
      --sched.ms_wanted;
      if (P* p = pidleget_locked()) {
        acquirep(m, p);
        return true;
      }
    }
    push_idle_locked(m);
    excess = sched.idle_ms > kKeepIdle;
    quiet = all_quiet_locked();
  }
  if (quiet) suspect_deadlock();
  if (!excess) {
    m->note.sleep();
  } else if (!m->note.sleep_for(sched.idle_retire.load(std::memory_order_relaxed))) {
    {
      LockGuard hold(sched.lock);
      if (remove_idle_locked(m)) return false;
    }
    m->note.sleep();  // popped as the time ran out: the wake-up is on its way
  }
  acquirep(m, std::exchange(m->nextp, nullptr));
  return true;
}

void wakep() noexcept {
  // Pairs with give_up_p() and reset_spinning(): the work was published before.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (sched.idle_ps.load(std::memory_order_relaxed) == 0) return;
  std::int32_t none = 0;
  if (sched.spinning.load(std::memory_order_relaxed) != 0 ||
      !sched.spinning.compare_exchange_strong(none, 1, std::memory_order_seq_cst))
    return;
  P* p;
  {
    LockGuard hold(sched.lock);
    p = pidleget_locked();
  }
  if (!p) {
    sched.spinning.fetch_sub(1, std::memory_order_seq_cst);
    return;
  }
  startm(p, true);
}

void startlockedm(M* m, G* g) noexcept {
  M* owner = g->bound_m;
  P* p = releasep(m);
  owner->nextp = p;
  owner->note.wake();
}

}  // namespace treadle::rt
