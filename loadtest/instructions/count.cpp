#include "count.h"

#include <errno.h>
#include <unistd.h>
#include <valgrind/callgrind.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>

#include <treadle/timer.h>

#include "runtime/sched.h"

namespace instructions {

namespace {

// Callgrind has a switch a thread: what is turned on here must be turned off on the same one. They
// are touched by the thread of the one P only.
bool counting = false;
pid_t counted_thread = 0;

void toggle() { CALLGRIND_TOGGLE_COLLECT; }

void check_thread() {
  if (::gettid() != counted_thread)
    give_up("the P went to another thread in the middle, whose instructions are not counted");
}

void begin_count() {
  counted_thread = ::gettid();
  counting = true;
  toggle();
}

// Ends the count and has callgrind write a file about it, which says `what`.
void end_count(const char* what) {
  check_thread();
  toggle();
  counting = false;
  CALLGRIND_DUMP_STATS_AT(what);
}

// sysmon is to take no P from the goroutine, which is slow by the clock, as all is under valgrind:
// it would take one in every hinted system call. Its rounds need the lock that is held here; only
// the sleep before such a round shows, in what a hint does, and it ends soon.
void wait_for_sysmon() {
  const auto until = treadle::Deadline::after(std::chrono::seconds(10));
  do {
    if (until.passed()) give_up("sysmon still sleeps after 10 s");
    if (!treadle::sleep(std::chrono::milliseconds(20))) give_up("sleep failed");
  } while (treadle::rt::sched.sysmon_nap.load(std::memory_order_relaxed) > treadle::rt::kHintNap);
}

}  // namespace

void count_operations(const std::function<Body()>& prepare, std::int64_t n) {
  const treadle::rt::LockGuard no_round(treadle::rt::sched.revoker);
  wait_for_sysmon();
  const Body body = prepare();
  body(n);
  begin_count();
  body(n);
  end_count("once");
  begin_count();
  body(2 * n);
  end_count("twice");
  std::printf("operations=%lld\n", static_cast<long long>(n));
}

NotCounted::NotCounted() {
  if (!counting) return;
  check_thread();
  toggle();
}

NotCounted::~NotCounted() {
  if (counting) toggle();
}

void give_up(std::string_view what) {
  std::fprintf(stderr, "%s: %.*s\n", program_invocation_short_name, static_cast<int>(what.size()),
               what.data());
  std::_Exit(EXIT_FAILURE);
}

}  // namespace instructions
