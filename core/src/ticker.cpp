// Timer and Ticker: what stands between a user's handle and a heap's Timer.
//
// Two kinds. A FuncTimer owns a callable and starts a goroutine at each expiry; while armed its
// heap holds one reference, which the expiry hands to that goroutine. A ChanTimer belongs to its
// channel, which owns one reference to it and takes the timer off its heap when the last handle of
// the channel has gone; so one that nobody listens to costs nothing.
//
// The function of a heap's timer only notes that it was called (`fires`), and puts the TimerState
// on the heap's list of things to do, unless it stands in one already: another M may have run it
// before and not come to doing it yet. run() then does it for all of them.
//
// No stale value. A ChanTimer's expiry and its delivery are two steps, and a stop() or reset() may
// come between them. `due` says from when on an expiry is wanted; the delivery, under the same
// lock, drops an expiry that happened before. stop() stores kNever, reset() the new time, and both
// take back what lies in the channel. (An old expiry later than the new `due` may pass for the new
// one: that has come, too.)
//
// Lock order: ChanTimer::lock < its channel's lock; ChanTimer::lock < timer heap locks.
#include <treadle/ticker.h>

#include <fmt/core.h>

#include <algorithm>
#include <cstddef>
#include <new>
#include <utility>

#include <treadle/detail/park_alarm.h>
#include <treadle/go.h>

#include "runtime/allocate.h"
#include "runtime/chan_state.h"
#include "runtime/sched.h"
#include "runtime/syscall.h"
#include "runtime/timers.h"

namespace treadle {

namespace rt {

struct TimerState : TimerTask {
  std::atomic<std::uint32_t> refs{1};
  std::atomic<std::uint32_t> fires{0};  // expiries not yet done; see above
  const bool is_func;
  Timer timer;

  explicit TimerState(bool func) noexcept : is_func(func) { timer.arg = this; }
};

namespace {

// Its callable follows in the same memory.
struct FuncTimer final : TimerState {
  const detail::BoxOps* const ops;
  std::source_location site;

  explicit FuncTimer(const detail::BoxOps& how) noexcept : TimerState(true), ops(&how) {}
};

struct ChanTimer final : TimerState, ChanFeeder {
  std::atomic<std::int64_t> fired{0};  // when it last expired; stored under the heap's lock
  std::int64_t period = 0;             // 0: once. Stored while off the heap, read under its lock
  Lock lock;                           // protects what follows
  Hchan* channel = nullptr;            // null once its last handle has gone
  std::int64_t due = kNever;           // expiries before this are not wanted
  bool stopped = false;                // by stop(): the timer is off its heap for certain

  ChanTimer() noexcept : TimerState(false) {}
};

std::size_t func_align(const detail::BoxOps& ops) noexcept {
  return std::max(ops.align, alignof(FuncTimer));
}
std::size_t func_offset(const detail::BoxOps& ops) noexcept {
  return (sizeof(FuncTimer) + ops.align - 1) / ops.align * ops.align;
}
void* func_room(FuncTimer* t) noexcept {
  return reinterpret_cast<std::byte*>(t) + func_offset(*t->ops);
}
void free_func(FuncTimer* t) noexcept {
  const std::size_t align = func_align(*t->ops);
  t->~FuncTimer();
  deallocate(t, align);
}

void retain(TimerState* t) noexcept { t->refs.fetch_add(1, std::memory_order_relaxed); }

// A FuncTimer's last reference always goes on the user's side, so its callable may be destroyed.
void release(TimerState* t) noexcept {
  // Who has the only reference needs no locked operation to drop it: nobody can make another.
  if (t->refs.load(std::memory_order_acquire) != 1 &&
      t->refs.fetch_sub(1, std::memory_order_acq_rel) != 1)
    return;
  if (!t->is_func) {
    delete static_cast<ChanTimer*>(t);
    return;
  }
  auto* func = static_cast<FuncTimer*>(t);
  func->ops->destroy(func_room(func));
  free_func(func);
}

// Under the heap's lock.
void note_expiry(TimerState* t, TimerWork& work) noexcept {
  // Both ways with the exchange in run_*(): that sees `fired`, and we may use the link again.
  if (t->fires.fetch_add(1, std::memory_order_acq_rel) == 0) work.add(t);
}

std::int64_t on_func_due(Timer* t, std::int64_t, TimerWork& work) {
  note_expiry(static_cast<TimerState*>(t->arg), work);
  return kNever;
}

void run_func(TimerTask* task) noexcept {
  auto* t = static_cast<FuncTimer*>(task);
  // The references that the heaps held go to the goroutines.
  for (std::uint32_t n = t->fires.exchange(0, std::memory_order_acq_rel); n > 0; --n)
    go(
        [t] {
          struct Release {
            FuncTimer* t;
            ~Release() { release(t); }
          } last{t};
          t->ops->call(func_room(t));
        },
        t->site);
}

// The next tick of those counted from `when`, after `now`.
std::int64_t next_tick(std::int64_t when, std::int64_t now, std::int64_t period) noexcept {
  if (period >= kNever - 1 - now) return kNever;
  return when + period * ((now - when) / period + 1);
}

std::int64_t on_chan_due(Timer* t, std::int64_t now, TimerWork& work) {
  auto* self = static_cast<ChanTimer*>(static_cast<TimerState*>(t->arg));
  self->fired.store(now, std::memory_order_relaxed);
  retain(self);  // run_chan()'s; the channel's is there, since it removes the timer before it goes
  note_expiry(self, work);
  return self->period ? next_tick(t->when, now, self->period) : kNever;
}

void run_chan(TimerTask* task) noexcept {
  auto* t = static_cast<ChanTimer*>(task);
  std::uint32_t n = t->fires.exchange(0, std::memory_order_acq_rel);
  G* wake = nullptr;
  {
    LockGuard hold(t->lock);
    const std::int64_t fired = t->fired.load(std::memory_order_relaxed);
    if (t->channel && t->due != kNever && fired >= t->due) {
      TimePoint at{Duration(fired)};
      t->channel->lock.lock();
      send_locked(t->channel, &at, &wake);  // full or closed: dropped
      t->channel->lock.unlock();
      if (t->period == 0) t->due = kNever;
    }
  }
  if (wake) goready(wake);
  while (n-- > 0) release(t);
}

// The last handle of the channel has gone.
void on_channel_gone(ChanFeeder* feeder) noexcept {
  auto* t = static_cast<ChanTimer*>(feeder);
  {
    Entry entry;
    bool stopped;
    {
      LockGuard hold(t->lock);
      t->channel = nullptr;
      stopped = t->stopped;
    }
    if (!stopped) timer_remove(t->timer);
  }
  release(t);
}

// Takes back a value that nobody has received. Under the timer's lock.
bool drain(ChanTimer* t, G** wake) noexcept {
  // Only run_chan() fills it, under the same lock: an empty one stays empty.
  if (!t->channel || t->channel->count.load(std::memory_order_acquire) == 0) return false;
  TimePoint unwanted;
  t->channel->lock.lock();
  const bool had = t->channel->count.load(std::memory_order_relaxed) > 0 &&
                   recv_locked(t->channel, &unwanted, wake) == detail::ChanStatus::ok;
  t->channel->lock.unlock();
  return had;
}

// `when` kNever: stops it. True: it was running.
bool set_chan(ChanTimer* t, std::int64_t when, std::int64_t period) {
  Entry entry;
  G* wake = nullptr;
  bool was_running;
  {
    LockGuard hold(t->lock);
    was_running = t->due != kNever;
    t->due = when;
    t->stopped = when == kNever;
    if (when == kNever || period != t->period) timer_remove(t->timer);
    if (when != kNever && period != t->period) t->period = period;
    was_running |= drain(t, &wake);
    if (when != kNever) timer_arm(t->timer, when);
  }
  if (wake) goready(wake);
  return was_running;
}

bool set_func(FuncTimer* t, std::int64_t when) {
  bool was_running;
  {
    Entry entry;
    if (when != kNever) return timer_rearm(t->timer, when, t->refs);
    was_running = timer_remove(t->timer);
  }
  if (was_running) release(t);  // the heap's
  return was_running;
}

// When a timer of `d` expires. Never is too far to matter, but it does run.
std::int64_t when_of(Duration d) noexcept {
  const Deadline at = Deadline::after(d);
  return at.is_never() ? kNever - 1 : at.at().time_since_epoch().count();
}

struct NewChanTimer {
  Chan<TimePoint> channel;
  TimerState* state;
};

NewChanTimer make_chan_timer(Duration d, std::int64_t period) {
  ensure_started();
  auto channel = make_chan<TimePoint>(1);
  auto* t = new ChanTimer;
  t->refs.store(2, std::memory_order_relaxed);  // the channel's and the handle's
  t->run = &run_chan;
  t->timer.fn = &on_chan_due;
  t->period = period;
  t->gone = &on_channel_gone;
  t->channel = channel.state();
  channel.state()->feeder = t;
  const std::int64_t when = when_of(d);
  t->due = when;  // nobody else has it yet
  Entry entry;
  timer_arm(t->timer, when);
  return {std::move(channel), t};
}

void require_positive(const char* what, Duration period) {
  if (period <= Duration::zero())
    throw Panic(fmt::format("treadle::Ticker: {}: the period is {} ns, it must be positive", what,
                            period.count()));
}

}  // namespace

void sound_park_alarm(G* g) noexcept {
  TimerState* t = std::exchange(g->park_alarm, nullptr);
  timer_rearm(t->timer, g->waiting_since.load(std::memory_order_relaxed), t->refs);
}

}  // namespace rt

namespace detail {

using namespace rt;

NewTimer timer_make(const BoxOps& ops) {
  ensure_started();
  void* at = allocate(func_offset(ops) + ops.size, func_align(ops));
  auto* t = ::new (at) FuncTimer(ops);
  t->run = &run_func;
  t->timer.fn = &on_func_due;
  return {t, func_room(t)};
}

void timer_abandon(TimerState* t) noexcept { free_func(static_cast<FuncTimer*>(t)); }

void timer_start(TimerState* t, Duration d, const std::source_location& site) {
  static_cast<FuncTimer*>(t)->site = site;
  t->refs.store(2, std::memory_order_relaxed);  // the handle's and the heap's
  const std::int64_t when = when_of(d);
  Entry entry;
  timer_arm(t->timer, when);
}

// The G is the caller's own, and no other reads the field: no entry is needed.
void set_park_alarm(const treadle::Timer* t) noexcept {
  getm()->curg->park_alarm = t ? static_cast<FuncTimer*>(t->state_) : nullptr;
}

void timer_retain(TimerState* t) noexcept { retain(t); }
void timer_release(TimerState* t) noexcept { release(t); }

}  // namespace detail

namespace {

// `when` kNever: stop.
bool set(rt::TimerState* t, std::int64_t when, std::int64_t period) {
  return t->is_func ? rt::set_func(static_cast<rt::FuncTimer*>(t), when)
                    : rt::set_chan(static_cast<rt::ChanTimer*>(t), when, period);
}

}  // namespace

Timer::Timer(Duration d) {
  rt::NewChanTimer made = rt::make_chan_timer(d, 0);
  channel_ = std::move(made.channel);
  state_ = made.state;
}

bool Timer::stop() const {
  if (!state_) throw Panic("treadle::Timer: stop of a Timer that was never started");
  return set(state_, rt::kNever, 0);
}

bool Timer::reset(Duration d) const {
  if (!state_) throw Panic("treadle::Timer: reset of a Timer that was never started");
  return set(state_, rt::when_of(d), 0);
}

Ticker::Ticker(Duration period) {
  rt::require_positive("start", period);
  rt::NewChanTimer made = rt::make_chan_timer(period, period.count());
  timer_ = Timer(std::move(made.channel), made.state);
}

void Ticker::stop() const {
  if (timer_) timer_.stop();
}

void Ticker::reset(Duration period) const {
  rt::require_positive("reset", period);
  if (!timer_) throw Panic("treadle::Ticker: reset of a Ticker that was never started");
  set(timer_.state_, rt::when_of(period), period.count());
}

Chan<TimePoint> tick(Duration period) {
  if (period <= Duration::zero()) return {};
  return Ticker(period).channel();  // the handle goes, and with it its reference
}

}  // namespace treadle
