// sysmon: a thread without a P that takes Ps from goroutines that sit on them.
//
// It sleeps until the next slice or hinted call that it knows of has gone on for too long, at most
// 10 ms, and for good once no P has run for a while; the M that takes the next idle P wakes it
// (pidleget_locked()). Hints wake it from a long sleep when work waits (blocking_begin()), and so
// do slices that are to be short (begin_hog_slice()). A wake-up costs as much as a few rounds: so
// after one by a hint it stays for as many, to meet the next hint awake, and no longer. (With
// rounds every 20 us for a millisecond after each wake-up it took a fifth of the only core.) It
// never allocates and makes no threads: it may be rescuing a goroutine that holds the allocator's
// lock.
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <optional>

#include "runtime/kernel_slice.h"
#include "runtime/netpoll.h"
#include "runtime/revoke.h"
#include "runtime/sched.h"
#include "runtime/syscall.h"
#include "runtime/thread_activity.h"

namespace treadle::rt {

namespace {

constexpr std::int64_t kMicrosecond = 1'000;
// A goroutine that gave no hint. Where several have been found blocked so, the slices of all are
// halved, down to the next constant, and doubled again when none was found for a while: 64 new
// connections whose handlers blocked without a hint held the only P for 10 ms each.
constexpr std::int64_t kSlice = 10'000 * kMicrosecond;
constexpr std::int64_t kLongerSliceAfter = 100'000 * kMicrosecond;
constexpr std::int64_t kShortSlice = 500 * kMicrosecond;  // one that is known to compute for long
// One that is known to block. Sooner than the one before: it has no use for the P, and whoever
// calls a slow library in a handler does so for each request. 64 clients of a handler that waited
// 50 ms took turns in holding the only P for 10 ms each, and left the others nothing.
constexpr std::int64_t kBlockSlice = 30 * kMicrosecond;
// Short slices may end as often as there are Ps; barriers for them come no closer than this.
constexpr std::int64_t kShortSliceEvery = 40 * kMicrosecond;
// Only while something runs: sysmon sleeps deep otherwise.
constexpr std::int64_t kReviewProcsEvery = 1'000'000 * kMicrosecond;
constexpr std::int64_t kBlockedForLong = 5 * kSlice;
constexpr std::int64_t kAskForThreadEvery = 100'000 * kMicrosecond;
constexpr std::int64_t kHintSlice = 20 * kMicrosecond;  // one in a hinted call
constexpr std::int64_t kMinSleep = 20 * kMicrosecond;
constexpr std::int64_t kMaxSleep = 10'000 * kMicrosecond;
constexpr std::int64_t kWakeSleep = 1'000 * kMicrosecond;  // after a deep sleep
constexpr int kQuickRounds = 4;  // rounds at kMinSleep without a find before they grow longer
constexpr int kGrowth = 8;
constexpr int kDeepRounds = 5;  // rounds at kMaxSleep with every P idle before the deep sleep
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

// The slice of goroutines nothing is known of. sysmon's thread only.
class WholeSlice {
 public:
  std::int64_t length() const noexcept { return length_; }
  void found_blocked(std::int64_t now) noexcept {
    length_ = std::max(length_ / 2, kShortSlice);
    changed_ = now;
  }
  void look(std::int64_t now) noexcept {
    if (length_ == kSlice || now - changed_ < kLongerSliceAfter) return;
    length_ = std::min(length_ * 2, kSlice);
    changed_ = now;
  }

 private:
  std::int64_t length_ = kSlice;
  std::int64_t changed_ = 0;
} constinit whole_slice;

std::int64_t slice_of(SliceKind kind) noexcept {
  switch (kind) {
    case SliceKind::whole: return whole_slice.length();
    case SliceKind::computes: return kShortSlice;
    case SliceKind::hints:  // no slice is
    case SliceKind::blocks: break;
  }
  return kBlockSlice;
}

// What one look at a P says of the goroutine that holds it.
struct Look {
  Overdue overdue = Overdue::no;
  std::int64_t due = kNever;       // when it will have held the P for too long
  std::int64_t unpolled = kNever;  // the network waits for the P, too, when not polled for so long
};

// Updates sysmon's view of `p`, whose last one was `interval` ago.
Look look_closely(P* p, const M* m, std::int64_t now, std::int64_t interval) noexcept {
  const std::uint32_t tick = p->schedtick.load(std::memory_order_relaxed);
  const std::uint32_t blk = m->blk.load(std::memory_order_relaxed);
  p->seen_slice = p->slice.load(std::memory_order_relaxed);
  const std::int64_t slice = slice_of(p->seen_slice);
  const bool fresh = tick != p->seen_tick;
  if (fresh || blk != p->seen_blk) {
    p->seen_blk = blk;
    p->seen_blk_when = now;
  }
  if (fresh) {
    p->seen_tick = tick;
    p->seen_tick_when = now;
    p->seen_cpu_when = 0;
    if (interval > slice / 5) sample_cpu(p, m, now);  // the next look may be the one that takes it
  }
  if (blk & 1) {
    const std::int64_t age = now - p->seen_blk_when;
    if (age < kHintSlice) return {Overdue::no, p->seen_blk_when + kHintSlice, kNever};
    return {Overdue::hinted, kNever, kLongHint};
  }
  const std::int64_t age = now - p->seen_tick_when;
  if (!fresh && p->seen_cpu_when == 0 && age >= slice / 5) sample_cpu(p, m, now);
  if (age < slice) return {Overdue::no, p->seen_tick_when + slice, kNever};
  return {Overdue::unhinted, kNever, slice};
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

  void run() noexcept {
    LockGuard hold(sched.revoker);
    // A goroutine that ends the process keeps its P to the last.
    if (sched.world.load(std::memory_order_relaxed) == World::ended) return;
    for (P* p : sched.ps) look_at(p);
    if (n_ == 0) return;
    if (!spare_m_available()) {
      refuse();
      return;
    }
    membarrier_all();
    for (std::size_t i = 0; i < n_; ++i) take_one(candidates_[i]);
  }
  bool took_from_hint() const noexcept { return took_from_hint_; }
  // When the next look can be of use, as far as can be seen now.
  std::int64_t next_due() const noexcept { return due_; }

 private:
  static constexpr std::size_t kMost = 64;  // a barrier serves that many; more wait for a round

  void look_at(P* p) noexcept {
    M* m = p->m.load(std::memory_order_acquire);  // pairs with acquirep()
    if (!m || p->status.load(std::memory_order_relaxed) != PStatus::running) return;
    if (n_ == kMost) {
      due_ = now_;
      return;
    }
    const Look look = look_closely(p, m, now_, interval_);
    due_ = std::min(due_, look.due);
    if (look.overdue == Overdue::no) return;
    const bool hinted = look.overdue == Overdue::hinted;
    if (!work_waits(p, now_, look.unpolled) && !keeps_us_awake(p, m, hinted)) {
      look_again_once_unpolled(look.unpolled);
      look_again_at_twice(hinted ? p->seen_blk_when : p->seen_tick_when);
      return;
    }
    if (!hinted && !sched.preempt) {
      ask(m);  // for its next parking call; nothing is taken, so there is no barrier either
      return;
    }
    if (!hinted && now_ - p->seen_tick_when < kSlice) {
      if (now_ - last_short_ < kShortSliceEvery) {
        due_ = std::min(due_, last_short_ + kShortSliceEvery);
        return;
      }
      short_ = true;
    }
    const std::optional<Lost> how = hinted ? Lost::hinted : why_unhinted(p, m);
    // The tick was read before the ask: a slice that begins later withdraws it, or shows in it.
    if (how && ask(m)) candidates_[n_++] = {p, m, p->seen_tick, *how};
  }

  // Nothing for one that is to keep its P for now. A slice shorter than the longest is for what is
  // known to compute or to block, or for the times when many do; others must not suffer for it:
  // one that lost its P because the machine was busy would be taken for one that blocks.
  std::optional<Lost> why_unhinted(P* p, const M* m) noexcept {
    if (was_computing(p, m)) return Lost::computing;
    const Activity activity = activity_of(m->tid.load(std::memory_order_relaxed));
    if (activity == Activity::blocked) return Lost::slice_over;
    const std::int64_t longest = p->seen_tick_when + kSlice;
    const bool known = p->slice.load(std::memory_order_relaxed) != SliceKind::whole;
    if (now_ >= longest || (activity == Activity::unknown && known))
      return activity == Activity::unknown ? Lost::slice_over : Lost::descheduled;
    if (activity == Activity::unknown)
      due_ = std::min(due_, longest);
    else
      look_again_at_twice(p->seen_tick_when);
    return {};
  }

  // Of what began at `begin` and may go on: when it is twice as old, so that few looks suffice, and
  // what comes to wait for its P waits no longer than it has lasted.
  void look_again_at_twice(std::int64_t begin) noexcept {
    due_ = std::min(due_, now_ + (now_ - begin));
  }

  void look_again_once_unpolled(std::int64_t unpolled) noexcept {
    const std::int64_t at = sched.last_poll.load(std::memory_order_relaxed) + unpolled;
    if (at > now_) due_ = std::min(due_, at);
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
    look_again_at_twice(candidates_[0].p->seen_tick_when);  // one may be on its way
    if (now_ - last_request_ < kAskForThreadEvery) return;
    last_request_ = now_;
    wake_template_thread();  // it may be possible by now
  }

  void take_one(const Candidate& c) noexcept {
    if (short_) last_short_ = now_;
    const SliceKind kind = c.p->slice.load(std::memory_order_relaxed);
    c.m->lost_at.store(c.p->seen_blk_when, std::memory_order_relaxed);
    if (!take(c)) {
      // Inside the runtime: it gives way at its next parking call, or has to be taken.
      look_again_at_twice(c.how == Lost::hinted ? c.p->seen_blk_when : c.p->seen_tick_when);
      return;
    }
    const bool hinted = c.how == Lost::hinted;
    (hinted ? sched.handoffs : sched.preemptions).fetch_add(1, std::memory_order_relaxed);
    if (hinted) took_from_hint_ = true;
    if (c.how == Lost::slice_over && kind == SliceKind::whole) whole_slice.found_blocked(now_);
    handoffp(c.p);
  }

  const std::int64_t now_, interval_;
  Candidate candidates_[kMost];
  std::size_t n_ = 0;
  bool short_ = false;  // one of them had a short slice
  bool took_from_hint_ = false;
  std::int64_t due_ = kNever;
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
      whole_slice.look(now);
      Round round(now, now - last_round_);
      round.run();
      last_round_ = now;
      if (round.took_from_hint()) {
        stay_for_hints();
      } else if (++quiet_ > kQuickRounds) {
        sleep_ = std::min(sleep_ * kGrowth, kMaxSleep);
      }
      due_ = std::min(round.next_due(), now + whole_slice.length());
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
    std::int64_t sleep = std::clamp(due_ - nanotime(), kMinSleep, sleep_);
    sched.sysmon_nap.store(sleep, std::memory_order_relaxed);
    // Pairs with wake_sysmon_for_slice(): what began before it could see the nap is seen here. The
    // M that the last round started ran at once on our CPU, blocked at once, and was found 10 ms
    // later. (A hint has no fence on its side: one that begins within the same nanoseconds may be
    // missed, and then waits for the end of the nap, as one does that begins without work waiting.)
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (short_one_began()) sleep = kMinSleep;
    futex_wait(sched.sysmon_wake, seen, sleep);
    sched.sysmon_nap.store(0, std::memory_order_relaxed);
    if (sched.hint_waits.load(std::memory_order_relaxed) &&
        sched.hint_waits.exchange(false, std::memory_order_relaxed))
      stay_for_hints();
  }

  // A slice or a call that must not last until the end of a long nap.
  static bool short_one_began() noexcept {
    return std::any_of(sched.ps.begin(), sched.ps.end(), [](const P* p) {
      const M* m = p->m.load(std::memory_order_acquire);  // pairs with acquirep()
      if (!m) return false;
      const std::uint32_t blk = m->blk.load(std::memory_order_relaxed);
      const SliceKind slice = p->slice.load(std::memory_order_relaxed);
      return ((blk & 1) && blk != p->seen_blk) ||
             (slice != SliceKind::whole &&
              (slice != p->seen_slice ||
               p->schedtick.load(std::memory_order_relaxed) != p->seen_tick));
    });
  }

  void stay_for_hints() noexcept {
    quiet_ = 0;
    sleep_ = kMinSleep;
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
  std::int64_t due_ = 0;  // when the next look is of use
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

void wake_sysmon_for_hint() noexcept {
  sched.hint_waits.store(true,
                         std::memory_order_relaxed);  // before the wake-up, which is a release
  wake_sysmon();
}

void wake_sysmon_for_slice(const P* p) noexcept {
  std::atomic_thread_fence(std::memory_order_seq_cst);  // pairs with nap(): the slice has begun
  const bool computes = p->slice.load(std::memory_order_relaxed) == SliceKind::computes;
  const std::int64_t slice = computes ? kShortSlice : kBlockSlice;
  if (sched.sysmon_nap.load(std::memory_order_relaxed) > slice) wake_sysmon();
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
