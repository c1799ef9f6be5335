// Timers that send on a channel or start a function: after, after_func, Timer, Ticker.
//
//   treadle::Timer idle = treadle::after_func(30s, [conn] { conn->close(); });
//   ...
//   idle.reset(30s);                        // something came: another 30 s
//
//   treadle::Ticker every(1s);
//   for (auto at : every.channel()) report(at);
//
// Handles are counted: a timer that sends on a channel goes once nobody holds it or its channel,
// running or not; one that starts a function goes once it has done so, or is stopped. Everything
// here may be called by any goroutine or thread, and none of it parks.
#pragma once

#include <concepts>
#include <source_location>
#include <type_traits>
#include <utility>

#include <treadle/chan.h>
#include <treadle/detail/box.h>
#include <treadle/timer.h>

namespace treadle {

namespace rt {
struct TimerState;
}

class Timer;

namespace detail {
// A timer that is to be started or abandoned, and the room for its callable.
struct NewTimer {
  rt::TimerState* timer;
  void* room;
};
NewTimer timer_make(const BoxOps& ops);
void timer_abandon(rt::TimerState*) noexcept;
void timer_start(rt::TimerState*, Duration d, const std::source_location& site);
void timer_retain(rt::TimerState*) noexcept;
void timer_release(rt::TimerState*) noexcept;
void set_park_alarm(const Timer* t) noexcept;  // detail/park_alarm.h
}  // namespace detail

// One event in the future. Cheap to copy; copies are the same timer. Default-constructed it is no
// timer: stop() and reset() panic.
class Timer {
 public:
  Timer() noexcept = default;
  // Sends the time on channel() once, `d` from now; at once when `d` is zero or negative.
  explicit Timer(Duration d);
  Timer(const Timer& o) noexcept : channel_(o.channel_), state_(o.state_) {
    if (state_) detail::timer_retain(state_);
  }
  Timer(Timer&& o) noexcept
      : channel_(std::move(o.channel_)), state_(std::exchange(o.state_, nullptr)) {}
  Timer& operator=(Timer o) noexcept {
    std::swap(channel_, o.channel_);
    std::swap(state_, o.state_);
    return *this;
  }
  ~Timer() {
    if (state_) detail::timer_release(state_);
  }

  // Where the time arrives; only receive from it. It holds one value that nobody has received yet,
  // though its size() and capacity() are 0. The nil channel for a timer of after_func().
  const Chan<TimePoint>& channel() const noexcept { return channel_; }

  // Stops it. True: it was running, and will not send or start its function (a value that was sent
  // but not received is taken back, and counts as running). False: it had expired or was stopped;
  // a function may then still be running. After it no value from before is received.
  bool stop() const;
  // Starts it anew, for `d` from now, whether it was running or not; the result is as stop()'s.
  // After it no value from before is received. Resetting a timer of after_func() that has expired
  // starts the function once more, perhaps beside the run before.
  bool reset(Duration d) const;

  explicit operator bool() const noexcept { return state_ != nullptr; }
  friend bool operator==(const Timer&, const Timer&) noexcept = default;

  // For the runtime's own use: takes over one reference.
  Timer(Chan<TimePoint> channel, rt::TimerState* adopted) noexcept
      : channel_(std::move(channel)), state_(adopted) {}

 private:
  friend class Ticker;
  friend void detail::set_park_alarm(const Timer*) noexcept;
  Chan<TimePoint> channel_;
  rt::TimerState* state_ = nullptr;
};

// A channel on which the time arrives once, `d` from now. Letting go of it ends the timer.
inline Chan<TimePoint> after(Duration d) { return Timer(d).channel(); }

// Calls `f` in a goroutine of its own, `d` from now. The Timer may be dropped: that does not stop
// it. `f` is destroyed when the last handle has gone and it neither runs nor is going to; it is
// called once for every time the timer expires.
// The new goroutine's current Context is background; out of memory for its stack is fatal, as for
// go().
template <class F>
  requires std::invocable<std::decay_t<F>&>
Timer after_func(Duration d, F&& f, std::source_location site = std::source_location::current()) {
  using Fn = std::decay_t<F>;
  const detail::NewTimer made = detail::timer_make(detail::kBoxOps<Fn>);
  try {
    ::new (made.room) Fn(std::forward<F>(f));
  } catch (...) {
    detail::timer_abandon(made.timer);
    throw;
  }
  detail::timer_start(made.timer, d, site);
  return Timer({}, made.timer);
}

// Sends the time at regular intervals, counted from its start; ticks that find the one before not
// received yet are dropped. It works at its interval whether anybody receives or not: stop one that
// is not needed. Cheap to copy; copies are the same ticker. Default-constructed it is no ticker:
// stop() does nothing, reset() panics.
class Ticker {
 public:
  Ticker() noexcept = default;
  // Panics when `period` is not positive.
  explicit Ticker(Duration period);

  // Where the times arrive, as Timer's. It is never closed, not even by stop().
  const Chan<TimePoint>& channel() const noexcept { return timer_.channel(); }

  // No more ticks; one that was not received is taken back.
  void stop() const;
  // Begins anew: the next tick comes `period` from now; none from before is received. Panics when
  // `period` is not positive.
  void reset(Duration period) const;

  explicit operator bool() const noexcept { return static_cast<bool>(timer_); }
  friend bool operator==(const Ticker&, const Ticker&) noexcept = default;

 private:
  Timer timer_;
};

// A Ticker's channel alone. Letting go of it ends the ticks. The nil channel when `period` is not
// positive.
Chan<TimePoint> tick(Duration period);

}  // namespace treadle
