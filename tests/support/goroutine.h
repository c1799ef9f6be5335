// Runs a test's body as a goroutine, with a watchdog and a leak check.
//
//   TEST(TcpEcho, ComesBack) {
//     treadle::test::run([] {
//       auto conn = treadle::net::dial_tcp(address);
//       ASSERT_TRUE(conn.has_value());
//     });
//   }
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <source_location>
#include <string>

namespace treadle::test {

// Runs `body` as a goroutine and waits for its end. EXPECT and ASSERT work inside; an exception
// that leaves the body comes out of run(). Goroutines that the body started must have ended soon
// after it: those still there after five seconds fail the test, with a dump.
// A body that does not end within 30 s (60 s under a sanitizer) ends the process with the test's
// name and a dump of all goroutines, since nothing can be unwound then.
// Call it from a plain thread. Blocks that thread.
void run(std::function<void()> body);

// Waits until no more than `expected` goroutines are alive and fails the current test, with a
// dump, when that takes longer than five seconds. run() calls it; a test that starts goroutines
// from plain threads may too. Blocks the calling thread; not for goroutines.
void expect_goroutines(std::uint64_t expected);

// A goroutine that a test's body starts, watches and joins. A test may go out of scope early (a
// failed ASSERT): the destructor joins too, so unblock what the task waits for before.
class Task {
 public:
  // Starts `body`. Never parks.
  explicit Task(std::function<void()> body,
                std::source_location site = std::source_location::current());
  ~Task();
  Task(const Task&) = delete;
  Task& operator=(const Task&) = delete;

  // Parks the calling G until the body has returned; rethrows what left it. Idempotent.
  void join();
  // True once the body has returned. Never parks.
  bool done() const;
  // Yields until the task is parked in whatever it waits for, or has ended. This makes "close while
  // a read is parked" an event that a test can wait for.
  void wait_until_parked() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

// How long a test waits for an event before it calls it lost: 30 s, or 60 s under a sanitizer.
std::chrono::seconds patience() noexcept;

// True under the seeded scheduler: tests that are about the usual order, about who is preempted or
// about how long something takes are skipped there.
bool seeded_scheduler();

// The same text as a name for files and messages: "Suite.Case", or "no test".
std::string current_test_name();

}  // namespace treadle::test
