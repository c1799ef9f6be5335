// What tests of programs that use treadle need: time that passes at once, a check for goroutines
// left behind, and the seed of a random scheduler.
//
//   treadle::testing::run_virtual([] {
//     auto ch = treadle::make_chan<int>();
//     treadle::go([ch] { treadle::sleep(1h); ch.send(1); });   // takes no time
//     const auto begin = treadle::Clock::now();
//     EXPECT_EQ(ch.recv(), 1);
//     EXPECT_EQ(treadle::Clock::now() - begin, 1h);            // to the nanosecond
//   });
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <source_location>
#include <string>
#include <vector>

#include <treadle/timer.h>

namespace treadle::testing {

// Runs `fn` as a goroutine in a bubble: it, and all goroutines started inside, live in a virtual
// time of their own. Returns once all of them have ended; an exception that left `fn` comes out.
//
// Inside, Clock, sleep, timers, deadlines and contexts use the bubble's clock, which begins at the
// same instant in every bubble. It stands still while any goroutine of the bubble runs, and moves
// to the next timer when all of them are durably blocked. Durable is a wait that only the bubble
// can end: in sleep, on a channel or a context made inside, on a lock or any other object of
// treadle. These do not count, so the clock stands still meanwhile: I/O and signals (their
// deadlines pass in real time), blocking(), and waits on a channel or context made outside.
//
// When all are blocked and no timer is armed, run_virtual throws a Panic that lists them; they
// stay where they are for good, so what they refer to must outlive the test.
//
// Channels, contexts and timers made inside are for the bubble's goroutines only. So are locks,
// wait groups and the like while it runs: one of them that a goroutine outside is to release
// counts as blocked for good. A bubble's goroutine begins with the background context.
//
// Parks the calling G; on a plain thread it blocks that thread. Panics when called inside a bubble.
void run_virtual(std::function<void()> fn,
                 std::source_location site = std::source_location::current());

// Parks the calling G until all others of its bubble are durably blocked or have ended: what they
// could do at this instant, they have done. The clock does not move. Panics outside a bubble, and
// when another goroutine of the bubble waits here already.
void wait();

// A goroutine that a LeakCheck found.
struct LeakedGoroutine {
  std::uint64_t id;
  std::string state;  // what it waits for, or "running", or "runnable"
  std::string label;  // its name and labels as a dump shows them, after a space; else empty
  std::source_location created;
};

// Finds the goroutines that were started within its scope and are still there at its end.
//
//   treadle::testing::LeakCheck leaks([](const std::string& report) { ADD_FAILURE() << report; });
//
// It sees the whole process: others that start goroutines meanwhile are found too. Not to be used
// from several threads at once.
class LeakCheck {
 public:
  // `on_leak` gets the report, one line for each goroutine; without it the report goes to standard
  // error and the process is aborted.
  // Those about to end get `patience`, a real time, to do so.
  explicit LeakCheck(std::function<void(const std::string& report)> on_leak = {},
                     Duration patience = std::chrono::seconds(5));
  LeakCheck(const LeakCheck&) = delete;
  LeakCheck& operator=(const LeakCheck&) = delete;
  // Checks, unless check() was called.
  ~LeakCheck();

  // The goroutines that are still there when patience has run out. Ends the check. Blocks the
  // thread (a goroutine gives its P away meanwhile).
  std::vector<LeakedGoroutine> check();
  static std::string report(const std::vector<LeakedGoroutine>& leaked);

 private:
  std::vector<LeakedGoroutine> now() const;

  std::function<void(const std::string&)> on_leak_;
  Duration patience_;
  std::vector<std::uint64_t> before_;  // ids, sorted
  bool checked_ = false;
};

// The seed of the seeded scheduler (RuntimeOptions::sched_seed, TREADLE_SCHED_SEED); 0 when it is
// off. Print it when a test fails: it repeats the run's choices. Starts the runtime when needed.
// Never parks; any thread.
std::uint64_t sched_seed();

}  // namespace treadle::testing
