// "all goroutines are asleep - deadlock!"
//
// A deadlock is: a thread waits in run(), nothing runs, and nothing can ever make a goroutine
// ready. A false alarm ends a healthy process, so each source of a wake-up must be ruled out:
//   goroutines      every P is idle, every M stands in the idle list, in the poller or by the
//                   goroutine it is locked to; none is detached or in a blocking call (its M would
//                   stand elsewhere); no queue has one
//   timers          no heap has one (they are run only by holders of a P)
//   descriptors     no goroutine waits on a side of any, and none that did is on its way to a queue
//   signals, others sched.outside_wakers is zero
//   plain threads   the process has no thread but ours; one that never called treadle may do so yet
//
// An M that goes to sleep as the last one sees the first line for nothing, since it holds
// sched.lock then. When nothing obvious is wrong either it wakes the template thread, which looks
// at everything, at the number of threads, and then once more at everything else: a thread that was
// still there may have armed a timer before it ended, and the poller that it broke off may not have
// taken its P yet. Once only our threads are left nobody can change any of it; so unless a P left
// the idle list in between, all of it is true at one time, and stays true for ever.
//
// Threads that are about to end count as alive for a moment, so the look is repeated a few times. A
// deadlock that becomes one only by the later end of a plain thread is not reported: nothing wakes
// us then, and an idle process does not look by itself.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>

#include <treadle/dump.h>

#include "runtime/netpoll.h"
#include "runtime/sanitizer.h"
#include "runtime/sched.h"

namespace treadle::rt {

namespace {

constexpr std::int64_t kFirstLook = 1'000'000;  // 1 ms: for threads that are just ending
constexpr int kLooks = 4;                       // then after 10, 100 and 1,000 ms
constexpr std::int64_t kLastLook = 1'000'000'000;

// An M has seen what looks like one. Stored by Ms, taken by the template thread.
std::atomic<bool> suspected{false};
int looks = 0;  // how often the present suspicion was looked at; the template thread's

// Threads of this process as the kernel counts them; 0 when it does not say.
int threads_alive() {
  char text[1024];
  const int fd = ::open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  const ssize_t n = ::read(fd, text, sizeof text - 1);
  ::close(fd);
  if (n <= 0) return 0;
  text[n] = '\0';
  // proc(5): num_threads is the 20th field; the second, in parentheses, may hold anything.
  std::string_view rest(text, static_cast<std::size_t>(n));
  const auto close = rest.rfind(')');
  if (close == std::string_view::npos) return 0;
  rest.remove_prefix(close + 1);
  for (int field = 2; field < 20; ++field) {
    const auto space = rest.find(' ');
    if (space == std::string_view::npos) return 0;
    rest.remove_prefix(space + 1);
  }
  return std::atoi(rest.data());
}

// The one in run(), sysmon and its like, ThreadSanitizer's own, and the Ms.
bool only_our_threads(std::int32_t ms) {
#if TREADLE_TSAN
  constexpr int others = 2;
#else
  constexpr int others = 1;
#endif
  return threads_alive() == ms + sched.own_threads.load(std::memory_order_relaxed) + others;
}

bool something_will_wake() noexcept {
  return !sched.main_waits.load(std::memory_order_relaxed) ||
         sched.outside_wakers.load(std::memory_order_relaxed) != 0 || earliest_timer() != kNever ||
         netpoll_waited_for();
}

struct Quiet {
  bool yes;
  std::uint64_t ps_taken;
  std::int32_t ms;
};

Quiet look_quiet() noexcept {
  LockGuard hold(sched.lock);
  return {all_quiet_locked(), sched.ps_taken, sched.ms};
}

[[noreturn]] void die_of_deadlock() {
  constexpr std::string_view what = "treadle: fatal: all goroutines are asleep - deadlock!\n\n";
  [[maybe_unused]] const auto w = ::write(STDERR_FILENO, what.data(), what.size());
  dump_goroutines(STDERR_FILENO);
  std::_Exit(2);  // as Go
}

}  // namespace

bool all_quiet_locked() noexcept {
  const std::int32_t polling = sched.polling.load(std::memory_order_relaxed) ? 1 : 0;
  return sched.idle_ps.load(std::memory_order_relaxed) ==
             sched.procs.load(std::memory_order_relaxed) &&
         sched.ms == sched.idle_ms + sched.locked_ms + polling && sched.runq.empty() &&
         sched.world.load(std::memory_order_relaxed) == World::running;
}

void suspect_deadlock() noexcept {
  if (something_will_wake()) return;
  if (!suspected.exchange(true, std::memory_order_seq_cst)) wake_template_thread();
}

std::int64_t check_deadlock() {
  if (!suspected.load(std::memory_order_relaxed)) return -1;
  const Quiet before = look_quiet();
  if (before.yes && !something_will_wake() && only_our_threads(before.ms)) {
    const Quiet after = look_quiet();
    if (after.yes && after.ps_taken == before.ps_taken && !any_queued() && !something_will_wake())
      die_of_deadlock();
  }
  if (looks < kLooks) {
    std::int64_t in = kFirstLook;
    for (int i = 0; i < looks; ++i) in *= 10;
    ++looks;
    return in;
  }
  suspected.store(false, std::memory_order_seq_cst);
  // An M that was the last to sleep since `before` has found the flag set and not woken us.
  const Quiet now = look_quiet();
  if (now.yes && !(before.yes && before.ps_taken == now.ps_taken)) {
    suspected.store(true, std::memory_order_relaxed);
    return kLastLook;
  }
  looks = 0;
  return -1;
}

}  // namespace treadle::rt
