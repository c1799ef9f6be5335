// Timers that fire on another thread, or just now, while they are removed or moved.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <atomic>
#include <thread>
#include <vector>

#include <treadle/detail/poll_desc.h>
#include <treadle/go.h>
#include <treadle/runtime.h>
#include <treadle/ticker.h>

#include "runtime/note.h"
#include "runtime/sched.h"
#include "runtime/syscall.h"
#include "runtime/timers.h"
#include "support/goroutine.h"

namespace treadle {
namespace {

using detail::Pollable;
using detail::PollMode;
using test::Task;
using namespace std::chrono_literals;

// A timer whose function, called under its heap's lock, stays there until it is let go.
struct Gate {
  rt::Timer timer;
  std::atomic<bool> entered{false}, open{false}, left{false};

  Gate() {
    timer.arg = this;
    timer.fn = [](rt::Timer* t, std::int64_t, rt::TimerWork&) {
      auto* self = static_cast<Gate*>(t->arg);
      self->entered = true;
      while (!self->open) std::this_thread::yield();
      self->left = true;
      return rt::kNever;
    };
  }
  void wait_entered() const {
    while (!entered) std::this_thread::yield();
  }
};

// A thief runs another P's timers in place. Who removes one meanwhile waits for its function.
TEST(TimerRace, RemovingOneThatAThiefRunsWaitsForIt) {
  (void)max_procs();
  for (int i = 0; i < 50; ++i) {
    rt::TimerHeap heap;
    Gate gate;
    gate.timer.heap.store(&heap);
    rt::timer_arm(gate.timer, 1);
    std::thread thief([&] {
      rt::TimerWork work;
      heap.run_due(1, work);
    });
    gate.wait_entered();
    std::atomic<bool> removing{false};
    std::thread remover([&] {
      removing = true;
      EXPECT_FALSE(rt::timer_remove(gate.timer));
      EXPECT_TRUE(gate.left) << "the function still ran";
    });
    while (!removing) std::this_thread::yield();
    gate.open = true;
    thief.join();
    remover.join();
    EXPECT_EQ(heap.next_when(), rt::kNever);
  }
}

// The same with one that is not due yet, next to the one the thief is in: it is removed and not
// run.
TEST(TimerRace, RemovingOneNextToThatAThiefRuns) {
  (void)max_procs();
  for (int i = 0; i < 50; ++i) {
    rt::TimerHeap heap;
    Gate gate, other;
    other.open = true;
    gate.timer.heap.store(&heap);
    other.timer.heap.store(&heap);
    rt::timer_arm(gate.timer, 1);
    rt::timer_arm(other.timer, 3);
    std::thread thief([&] {
      rt::TimerWork work;
      heap.run_due(2, work);
    });
    gate.wait_entered();
    std::thread remover([&] { EXPECT_TRUE(rt::timer_remove(other.timer)); });
    gate.open = true;
    thief.join();
    remover.join();
    rt::TimerWork work;
    heap.run_due(4, work);
    EXPECT_FALSE(other.entered);
  }
}

// The owner computes, so that only thieves run its timers; it stops them just then.
TEST(TimerRace, StoppedByTheOwnerWhileThievesFireThem) {
  test::run([] {
    std::atomic<int> calls{0};
    int expected = 0;
    for (int i = 0; i < 3000; ++i) {
      const Timer timer = after_func(3us, [&] { ++calls; });
      const auto until = Clock::now() + 1ns * (i % 6000);
      while (Clock::now() < until) rt::cpu_relax();
      expected += !timer.stop();
    }
    while (calls != expected) (void)sleep(50us);
    (void)sleep(1ms);
    EXPECT_EQ(calls, expected);
  });
}

struct ConnectedPair {
  Pollable a, b;
  ConnectedPair() {
    int fds[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    a = std::move(*Pollable::open(fds[0]));
    b = std::move(*Pollable::open(fds[1]));
  }
};

std::error_code wait_for_input(const Pollable& pd) {
  for (;;) {
    if (auto r = pd.prepare(PollMode::read); !r) return r.error();
    if (auto r = pd.wait(PollMode::read); !r) return r.error();
  }
}

// A plain thread arms on the first P's heap, so gate and deadline share one.
void arm(Gate& gate, TimePoint at) {
  rt::Entry entry;
  rt::timer_arm(gate.timer, at.time_since_epoch().count());
}

// Moved later, which leaves the timer where it is; then, when that is about to fire, moved earlier
// than the later one. set_deadline() sees that the timer comes first anyhow and leaves it to that.
TEST(TimerRacePollDeadline, MovedEarlierWhileItsTimerFiresIsKept) {
  for (int i = 0; i < 10; ++i) {
    const ConnectedPair pair;
    Gate gate;
    const auto begin = Clock::now();
    const auto first = begin + 3ms;
    pair.a.set_deadline(PollMode::read, Deadline(first));
    pair.a.set_deadline(PollMode::read, Deadline::after(1h));
    arm(gate, first - 1ns);
    std::thread mover([&] {
      gate.wait_entered();
      pair.a.set_deadline(PollMode::read, Deadline::after(2ms));
      gate.open = true;
    });
    test::run([&] {
      EXPECT_EQ(wait_for_input(pair.a), Errc::timed_out);
      EXPECT_GE(Clock::now() - begin, 5ms);
    });
    mover.join();
  }
}

// Moved before the time its timer stands at: that has to move, and meets the heap busy firing.
TEST(TimerRacePollDeadline, MovedBeforeItsTimerWhileTheHeapFires) {
  for (int i = 0; i < 10; ++i) {
    const ConnectedPair pair;
    Gate gate;
    pair.a.set_deadline(PollMode::read, Deadline::after(1h));
    arm(gate, Clock::now());
    gate.wait_entered();
    std::atomic<bool> moving{false};
    std::thread mover([&] {
      moving = true;
      pair.a.set_deadline(PollMode::read, Deadline::after(1ms));
    });
    while (!moving) std::this_thread::yield();
    gate.open = true;
    test::run([&] { EXPECT_EQ(wait_for_input(pair.a), Errc::timed_out); });
    mover.join();
  }
}

TEST(TimerRacePollDeadline, MovedIntoThePastWhileItsTimerFires) {
  for (int i = 0; i < 10; ++i) {
    const ConnectedPair pair;
    Gate gate;
    const auto first = Clock::now() + 1ms;
    pair.a.set_deadline(PollMode::read, Deadline(first));
    pair.a.set_deadline(PollMode::read, Deadline::after(1h));
    arm(gate, first - 1ns);
    std::thread mover([&] {
      gate.wait_entered();
      pair.a.set_deadline(PollMode::read, Deadline::after(-1ns));
      gate.open = true;
    });
    test::run([&] {
      EXPECT_EQ(wait_for_input(pair.a), Errc::timed_out);
      pair.a.set_deadline(PollMode::read, Deadline::after(1ms));
      EXPECT_EQ(wait_for_input(pair.a), Errc::timed_out);
    });
    mover.join();
  }
}

// The windows that cannot be held open, by repetition: each last deadline must end its wait.
TEST(TimerRacePollDeadline, MovedAroundTheTimeItFires) {
  const ConnectedPair pair;
  for (int i = 0; i < 400; ++i) {
    std::thread mover([&] {
      const auto first = Clock::now() + 100us;
      pair.a.set_deadline(PollMode::read, Deadline(first));
      pair.a.set_deadline(PollMode::read, Deadline::after(1h));
      while (Clock::now() < first - 20us + 100ns * i) rt::cpu_relax();
      pair.a.set_deadline(PollMode::read, Deadline::after(100us));
    });
    test::run([&] { EXPECT_EQ(wait_for_input(pair.a), Errc::timed_out); });
    mover.join();
    test::run([&] { EXPECT_EQ(wait_for_input(pair.a), Errc::timed_out); });
    pair.a.set_deadline(PollMode::read, Deadline::never());
  }
}

}  // namespace
}  // namespace treadle
