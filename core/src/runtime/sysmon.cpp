// sysmon: a thread without a P that takes Ps from goroutines that sit on them.
//
// It sleeps 20 us between rounds while it has something to do, up to 10 ms when not, and for good
// once no P has run for a while; the M that takes the next idle P wakes it (pidleget_locked()).
// Hints wake it from a long sleep when work waits (blocking_begin()). It never allocates and makes
// no threads: it may be rescuing a goroutine that holds the allocator's lock.
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>

#include <algorithm>
#include <cerrno>
#include <ctime>

#include "runtime/kernel_slice.h"
#include "runtime/netpoll.h"
#include "runtime/revoke.h"
#include "runtime/sched.h"
#include "runtime/syscall.h"

namespace treadle::rt {

namespace {

constexpr std::int64_t kMicrosecond = 1'000;
constexpr std::int64_t kSlice = 10'000 * kMicrosecond;    // a goroutine that gave no hint
constexpr std::int64_t kShortSlice = 500 * kMicrosecond;  // one that is known to compute for long
// One that is known to block. Sooner than the one before: it has no use for the P, and whoever
// calls a slow library in a handler does so for each request. 64 clients of a handler that waited
// 50 ms took turns in holding the only P for 10 ms each, and left the others nothing.
constexpr std::int64_t kBlockSlice = 50 * kMicrosecond;
// Short slices may end as often as there are Ps; barriers for them come no closer than this.
constexpr std::int64_t kShortSliceEvery = 100 * kMicrosecond;
// Only while something runs: sysmon sleeps deep otherwise.
constexpr std::int64_t kReviewProcsEvery = 1'000'000 * kMicrosecond;
constexpr std::int64_t kBlockedForLong = 5 * kSlice;
constexpr std::int64_t kAskForThreadEvery = 100'000 * kMicrosecond;
constexpr std::int64_t kHintSlice = 20 * kMicrosecond;  // one in a hinted call
// A hinted call as long as this makes the network wait, if nobody polls it, and is expected again.
constexpr std::int64_t kLongHint = 100 * kMicrosecond;
constexpr std::uint32_t kExpectLong = 64;
constexpr std::int64_t kMinSleep = 20 * kMicrosecond;
constexpr std::int64_t kMaxSleep = 10'000 * kMicrosecond;
constexpr std::int64_t kWakeSleep = 1'000 * kMicrosecond;  // after a deep sleep
constexpr int kQuickRounds = 50;  // rounds at kMinSleep without a find before they grow longer
constexpr int kDeepRounds = 5;    // rounds at kMaxSleep with every P idle before the deep sleep
constexpr std::uint64_t kSweepFrom = 256;  // stacks, from which on idle ones are trimmed

// CPU time of the M's thread.
std::int64_t cpu_time(const M* m) noexcept {
  // As pthread_getcpuclockid() makes it: a thread's clock, scheduler time.
  const auto clock = static_cast<clockid_t>(
      (~static_cast<unsigned>(m->tid.load(std::memory_order_relaxed)) << 3) | 6u);
  timespec ts;
  if (::clock_gettime(clock, &ts) != 0) return 0;
  return ts.tv_sec * 1'000'000'000 + ts.tv_nsec;
}

enum class Overdue { no, unhinted, hinted };

void sample_cpu(P* p, const M* m, std::int64_t now) noexcept {
  p->seen_cpu = cpu_time(m);
  p->seen_cpu_when = now;
}

std::int64_t slice_of(SliceKind kind) noexcept {
  switch (kind) {
    case SliceKind::whole: return kSlice;
    case SliceKind::computes: return kShortSlice;
    case SliceKind::blocks: break;
  }
  return kBlockSlice;
}

// Updates sysmon's view of `p`, whose last one was `interval` ago; whether its goroutine has held
// it for too long.
Overdue overdue(P* p, const M* m, std::int64_t now, std::int64_t interval) noexcept {
  const std::uint32_t tick = p->schedtick.load(std::memory_order_relaxed);
  const std::uint32_t blk = m->blk.load(std::memory_order_relaxed);
  const std::int64_t slice = slice_of(p->slice.load(std::memory_order_relaxed));
  if (tick != p->seen_tick) {
    p->seen_tick = tick;
    p->seen_tick_when = now;
    p->seen_blk = blk;
    p->seen_blk_when = now;
    p->seen_cpu_when = 0;
    if (interval > slice / 5) sample_cpu(p, m, now);  // the next look may be the one that takes it
    return Overdue::no;
  }
  if (blk != p->seen_blk) {
    p->seen_blk = blk;
    p->seen_blk_when = now;
  }
  if ((blk & 1) && now - p->seen_blk_when >= kHintSlice) return Overdue::hinted;
  const std::int64_t age = now - p->seen_tick_when;
  if (p->seen_cpu_when == 0 && age >= slice / 5) sample_cpu(p, m, now);
  return age >= slice ? Overdue::unhinted : Overdue::no;
}

// Whether the goroutine used the CPU rather than waited for something. Not a share of its slice:
// the machine may have others to serve.
bool was_computing(const P* p, const M* m) noexcept {
  return p->seen_cpu_when != 0 && cpu_time(m) - p->seen_cpu >= kShortSlice / 2;
}

// What one round found, and does.
class Round {
 public:
  Round(std::int64_t now, std::int64_t interval) noexcept : now_(now), interval_(interval) {}

  // True when at least one P was taken.
  bool run() noexcept {
    LockGuard hold(sched.revoker);
    // A goroutine that ends the process keeps its P to the last.
    if (sched.world.load(std::memory_order_relaxed) == World::ended) return false;
    for (P* p : sched.ps) look_at(p);
    if (n_ == 0) return false;
    if (!spare_m_available()) {
      refuse();
      return false;
    }
    membarrier_all();
    bool any = false;
    for (std::size_t i = 0; i < n_; ++i) any |= take_one(candidates_[i]);
    return any;
  }

 private:
  static constexpr std::size_t kMost = 64;  // a barrier serves that many; more wait for a round

  void look_at(P* p) noexcept {
    M* m = p->m.load(std::memory_order_acquire);  // pairs with acquirep()
    if (!m || p->status.load(std::memory_order_relaxed) != PStatus::running || n_ == kMost) return;
    const Overdue why = overdue(p, m, now_, interval_);
    if (why == Overdue::no) return;
    const bool hinted = why == Overdue::hinted;
    const bool long_hint = hinted && now_ - p->seen_blk_when >= kLongHint;
    if (!work_waits(p, now_, long_hint ? kLongHint : kUnpolled) && !keeps_us_awake(p, m, hinted))
      return;
    if (!hinted && !sched.preempt) {
      ask(m);  // for its next parking call; nothing is taken, so there is no barrier either
      return;
    }
    if (!hinted && now_ - p->seen_tick_when < kSlice) {
      if (now_ - last_short_ < kShortSliceEvery) return;
      short_ = true;
    }
    const Lost how = hinted                ? Lost::hinted
                     : was_computing(p, m) ? Lost::computing
                                           : Lost::slice_over;
    // The tick was read before the ask: a slice that begins later withdraws it, or shows in it.
    if (ask(m)) candidates_[n_++] = {p, m, p->seen_tick, how};
  }

  // Blocked for long, and nothing else to do: as long as its P counts as running, we watch it. Idle
  // means idle.
  bool keeps_us_awake(const P* p, const M* m, bool hinted) const noexcept {
    return now_ - p->seen_tick_when >= kBlockedForLong && (hinted || !was_computing(p, m));
  }

  // Without an M to run it the P would only lie idle: at the limit of threads, goroutines that
  // block keep theirs. They still yield at their next parking call.
  void refuse() noexcept {
    sched.refused_handoffs.fetch_add(n_, std::memory_order_relaxed);
    if (now_ - last_request_ < kAskForThreadEvery) return;
    last_request_ = now_;
    wake_template_thread();  // it may be possible by now
  }

  bool take_one(const Candidate& c) noexcept {
    if (short_) last_short_ = now_;
    if (!take(c)) return false;
    const bool hinted = c.how == Lost::hinted;
    (hinted ? sched.handoffs : sched.preemptions).fetch_add(1, std::memory_order_relaxed);
    if (hinted && now_ - c.p->seen_blk_when >= kLongHint)
      c.p->long_hints.store(kExpectLong, std::memory_order_relaxed);
    handoffp(c.p);
    return true;
  }

  const std::int64_t now_, interval_;
  Candidate candidates_[kMost];
  std::size_t n_ = 0;
  bool short_ = false;  // one of them had a short slice
  static inline std::int64_t last_short_ = 0, last_request_ = 0;
};

void poll_network(std::int64_t now) noexcept {
  if (sched.polling.load(std::memory_order_relaxed) || netpoll_waiters() == 0 ||
      now - sched.last_poll.load(std::memory_order_relaxed) < kMaxSleep)
    return;
  sched.last_poll.store(now, std::memory_order_relaxed);
  PollWork work;
  netpoll(0, work);
  netpoll_finish(nullptr, work);
}

class Sysmon {
 public:
  void run() noexcept {
    for (;;) {
      nap();
      const std::int64_t now = nanotime();
      poll_network(now);
      request_sweep();
      if (now - last_review_ >= kReviewProcsEvery) {
        last_review_ = now;
        if (sched.procs_by_machine.load(std::memory_order_relaxed))
          service_request(ServiceWork::review_procs);
      }
      const bool took = Round(now, now - last_round_).run();
      last_round_ = now;
      if (took) {
        quiet_ = 0;
        sleep_ = kMinSleep;
      } else if (++quiet_ > kQuickRounds) {
        sleep_ = std::min(sleep_ * 2, kMaxSleep);
      }
    }
  }

 private:
  // Stacks that few goroutines have are not worth a wake-up.
  static void request_sweep() noexcept {
    if (sched.sweep_due.load(std::memory_order_relaxed) || stacks_made() < kSweepFrom) return;
    sched.sweep_due.store(true, std::memory_order_relaxed);
    service_request(ServiceWork::sweep_stacks);
  }

  void nap() noexcept {
    const std::uint32_t seen = sched.sysmon_wake.load(std::memory_order_acquire);
    if (deep_sleep_due()) {
      while (sched.sysmon_wake.load(std::memory_order_acquire) == seen)
        futex_wait(sched.sysmon_wake, seen);
      idle_rounds_ = 0;
      sleep_ = kWakeSleep;
      quiet_ = kQuickRounds;
      return;
    }
    const bool slow = sleep_ > 2 * kMinSleep;
    if (slow) sched.sysmon_slow.store(true, std::memory_order_relaxed);
    const bool woken = futex_wait(sched.sysmon_wake, seen, sleep_) != ETIMEDOUT;
    sched.sysmon_slow.store(false, std::memory_order_relaxed);
    if (slow && woken) {
      quiet_ = 0;
      sleep_ = kMinSleep;
    }
  }

  // Under sched.lock, so that the M that takes the first P either is seen here or sees the flag.
  bool deep_sleep_due() noexcept {
    LockGuard hold(sched.lock);
    if (sched.idle_ps.load(std::memory_order_relaxed) !=
        sched.procs.load(std::memory_order_relaxed)) {
      idle_rounds_ = 0;
      return false;
    }
    if (sleep_ < kMaxSleep || ++idle_rounds_ < kDeepRounds) return false;
    sched.sysmon_deep = true;
    return true;
  }

  std::int64_t last_round_ = 0;
  std::int64_t last_review_ = nanotime();
  std::int64_t sleep_ = kMinSleep;
  int quiet_ = 0;        // rounds without a find
  int idle_rounds_ = 0;  // rounds at the longest sleep with every P idle
};

void* sysmon_main(void*) {
  ::prctl(PR_SET_TIMERSLACK, 1);  // the default makes 70 us out of 20
  kernel_slice_adopt_thread();
  Sysmon{}.run();
  return nullptr;
}

}  // namespace

void wake_sysmon() noexcept {
  sched.sysmon_wake.fetch_add(1, std::memory_order_release);
  futex_wake(sched.sysmon_wake, 1);
}

bool ask(M* m) noexcept {
  if (cas_req(m, kReqNone, kReqAsk, std::memory_order_relaxed)) return true;
  return (m->req.load(std::memory_order_relaxed) & kReqMask) == kReqAsk;
}

bool take(const Candidate& c) noexcept {
  // Acquire: pairs with leave(); what the M did with its P is visible when we see zero.
  if (c.m->guard.load(std::memory_order_acquire) != 0) return false;
  if (c.p->m.load(std::memory_order_relaxed) != c.m ||
      c.m->p.load(std::memory_order_relaxed) != c.p ||
      c.p->schedtick.load(std::memory_order_relaxed) != c.tick) {
    cas_req(c.m, kReqAsk, kReqNone, std::memory_order_relaxed);
    return false;
  }
  // Before the M can find `lost`: afterwards it might undo what the M has set right already.
  if (c.how == Lost::computing)
    kernel_slice_of_detached(c.m->tid.load(std::memory_order_relaxed), KernelSlice::computing);
  if (!cas_req(c.m, kReqAsk, req_lost(c.how), std::memory_order_acq_rel)) {
    if (c.how == Lost::computing)
      kernel_slice_of_detached(c.m->tid.load(std::memory_order_relaxed), KernelSlice::with_p);
    return false;
  }
  c.p->m.store(nullptr, std::memory_order_relaxed);
  sched.detached.fetch_add(1, std::memory_order_relaxed);
  if (c.how == Lost::hinted) blocking_began();
  return true;
}

bool revoke_once(P* p) noexcept {
  LockGuard hold(sched.revoker);
  M* m = p->m.load(std::memory_order_acquire);
  if (!m || p->status.load(std::memory_order_relaxed) != PStatus::running) return false;
  const std::uint32_t tick = p->schedtick.load(std::memory_order_relaxed);
  if (!ask(m) || !spare_m_available()) return false;
  membarrier_all();
  if (!take({p, m, tick, Lost::slice_over})) return false;
  handoffp(p);
  return true;
}

void start_sysmon() {
  pthread_t t;
  pthread_attr_t attr;
  ::pthread_attr_init(&attr);
  ::pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
  sigset_t all, previous;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_BLOCK, &all, &previous);
  const int e = ::pthread_create(&t, &attr, sysmon_main, nullptr);
  ::pthread_sigmask(SIG_SETMASK, &previous, nullptr);
  ::pthread_attr_destroy(&attr);
  if (e != 0) fatal("cannot make the sysmon thread");
  sched.own_threads.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace treadle::rt
