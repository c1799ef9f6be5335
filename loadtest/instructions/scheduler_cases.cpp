// Operations of the scheduler, channels, locks, timers and contexts.
#include <treadle/blocking.h>
#include <treadle/chan.h>
#include <treadle/context.h>
#include <treadle/go.h>
#include <treadle/mutex.h>
#include <treadle/select.h>
#include <treadle/ticker.h>
#include <treadle/timer.h>
#include <treadle/wait_group.h>

#include <chrono>

#include "../operations.h"
#include "cases.h"
#include "runtime/sched.h"
#include "runtime/syscall.h"

namespace instructions {

namespace {

using namespace std::chrono_literals;

// `f` in two goroutines, each told how often; returns when both have.
template <class F>
void in_two(std::int64_t each, F f) {
  treadle::WaitGroup both;
  both.add(2);
  for (int i = 0; i < 2; ++i)
    treadle::go([&both, &f, each, i] {
      f(each, i);
      both.done();
    });
  both.wait();
}

// A goroutine is started, runs, ends, and the first one goes on.
void go_and_exit(std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) {
    treadle::go([] {});
    treadle::gosched();
  }
}

// The two that park_and_ready() switches between. One P and no preemption: plain fields do.
struct Pair {
  treadle::rt::G* waits = nullptr;
  bool over = false;
};

// The other one is woken, then the caller parks: what every wait of treadle comes down to.
void switch_over(Pair& pair) {
  const treadle::rt::ParkingEntry entry;
  treadle::rt::G* other = pair.waits;
  pair.waits = treadle::rt::getm()->curg;
  if (other) treadle::rt::goready(other);
  treadle::rt::gopark([](treadle::rt::M*, treadle::rt::G*, void*) {}, nullptr,
                      treadle::rt::WaitReason::wait_group);
}

void wake_last(Pair& pair) {
  const treadle::rt::ParkingEntry entry;
  pair.over = true;
  if (pair.waits) treadle::rt::goready(pair.waits);
  pair.waits = nullptr;
}

void park_and_ready(std::int64_t n) {
  Pair pair;
  in_two(n / 2, [&pair](std::int64_t each, int) {
    for (std::int64_t i = 0; i < each && !pair.over; ++i) switch_over(pair);
    if (!pair.over) wake_last(pair);
  });
}

void through_buffer(std::int64_t n) {
  auto ch = treadle::make_chan<int>(16);
  for (std::int64_t i = 0; i < n; ++i) {
    ch.send(1);
    (void)ch.recv();
  }
}

void lock_and_unlock(std::int64_t n) {
  treadle::Mutex mutex;
  for (std::int64_t i = 0; i < n; ++i) {
    mutex.lock();
    mutex.unlock();
  }
}

// An element is sent into a buffer, and select finds it.
void select_ready(std::int64_t n) {
  auto a = treadle::make_chan<int>(1);
  auto b = treadle::make_chan<int>(1);
  for (std::int64_t i = 0; i < n; ++i) {
    a.send(1);
    treadle::select(treadle::on_recv(a), treadle::on_recv(b));
  }
}

// As ping-pong, but both sides wait in a select of two.
void select_parked(std::int64_t n) {
  auto ping = treadle::make_chan<int>();
  auto pong = treadle::make_chan<int>();
  auto never = treadle::make_chan<int>();
  in_two(n, [&](std::int64_t each, int which) {
    for (std::int64_t i = 0; i < each; ++i) {
      if (which == 0) ping.send(1);
      treadle::select(treadle::on_recv(which == 0 ? pong : ping), treadle::on_recv(never));
      if (which == 1) pong.send(1);
    }
  });
}

// A timer is armed, the goroutine parks, the timer is due already and sends on its channel.
void timer_fire(std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) (void)treadle::Timer(1ns).channel().recv();
}

// Nothing else is there to run: the thread waits in the poller for as long.
void sleep_alone(std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) (void)treadle::sleep(200us);
}

void hint(std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) treadle::blocking([] {});
}

void cancel_context(std::int64_t n) {
  const auto parent = treadle::with_cancel(treadle::background());
  for (std::int64_t i = 0; i < n; ++i) treadle::with_cancel(parent.context).cancel();
}

void context_with_timeout(std::int64_t n) {
  const auto parent = treadle::with_cancel(treadle::background());
  for (std::int64_t i = 0; i < n; ++i) treadle::with_timeout(parent.context, 1h).cancel();
}

constexpr std::int64_t kOften = 10'000;

template <void (*body)(std::int64_t)>
Body plain() {
  return body;
}

}  // namespace

std::vector<Case> scheduler_cases() {
  return {
      {"go-exit", kOften, 1, &plain<go_and_exit>},
      {"gosched", kOften, 2, &plain<operations::yield_among<2>>},
      {"park-ready", kOften, 2, &plain<park_and_ready>},
      {"chan-ping-pong", kOften, 1, &plain<operations::ping_pong>},
      {"chan-buffered", kOften, 1, &plain<through_buffer>},
      {"mutex", kOften, 1, &plain<lock_and_unlock>},
      {"mutex-in-turn", kOften, 2, &plain<operations::lock_in_turn<2>>},
      {"select-ready", kOften, 1, &plain<select_ready>},
      {"select-parked", kOften, 1, &plain<select_parked>},
      {"timer-start-stop", kOften, 1, &plain<operations::start_and_stop_timer>},
      {"timer-fire", kOften, 1, &plain<timer_fire>},
      {"sleep", 500, 1, &plain<sleep_alone>},
      {"blocking-hint", kOften, 1, &plain<hint>},
      {"with-cancel", kOften, 1, &plain<cancel_context>},
      {"with-timeout", kOften, 1, &plain<context_with_timeout>},
  };
}

}  // namespace instructions
