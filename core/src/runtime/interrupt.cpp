// Stacks of goroutines that run, for the last dump of a process.
//
// SIGPROF, which Ms leave open for profilers, is taken over for good: this happens once, and the
// process ends. The handler unwinds what it has interrupted. One request at a time; `state` says
// whose the trace is, so that a thread that answers too late finds its request withdrawn.
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>

#include "runtime/dump.h"
#include "runtime/m.h"
#include "runtime/note.h"

namespace treadle::rt {

namespace {

constexpr std::int64_t kPatience = 200'000'000;  // 200 ms: the thread may wait for a CPU

enum : std::uint32_t { kNone, kAsked, kAnswering, kAnswered };
std::atomic<std::uint32_t> state{kNone};  // futex
std::atomic<G*> wanted{nullptr};
StackTrace* answer = nullptr;  // the asker's while state is none or answered, else the handler's

void on_interrupt(int, siginfo_t*, void* context) {
  std::uint32_t asked = kAsked;
  // Acquire: pairs with the asker's release of kAsked.
  if (!state.compare_exchange_strong(asked, kAnswering, std::memory_order_acquire)) return;
  if (getm()->curg == wanted.load(std::memory_order_relaxed)) walk_interrupted(context, *answer);
  state.store(kAnswered, std::memory_order_release);  // pairs with the asker's load
  futex_wake(state, 1);
}

void take_over_signal() noexcept {
  struct sigaction sa{};
  sa.sa_sigaction = &on_interrupt;
  sa.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
  ::sigemptyset(&sa.sa_mask);
  ::sigaction(SIGPROF, &sa, nullptr);
}

}  // namespace

bool interrupt_for_stack(G* g, StackTrace& into) noexcept {
  M* m = g->m.load(std::memory_order_acquire);
  const int tid = m ? m->tid.load(std::memory_order_relaxed) : 0;
  if (tid == 0) return false;
  take_over_signal();
  answer = &into;
  wanted.store(g, std::memory_order_relaxed);
  state.store(kAsked, std::memory_order_release);
  if (::syscall(SYS_tgkill, ::getpid(), tid, SIGPROF) != 0) {
    state.store(kNone, std::memory_order_relaxed);
    return false;
  }
  const std::int64_t until = nanotime() + kPatience;
  for (;;) {
    std::uint32_t s = state.load(std::memory_order_acquire);
    if (s == kAnswered) break;
    const std::int64_t left = until - nanotime();
    if (left <= 0 && s == kAsked && state.compare_exchange_strong(s, kNone)) return false;
    futex_wait(state, s, left > 1'000'000 ? left : 1'000'000);
  }
  state.store(kNone, std::memory_order_relaxed);
  return into.frames > 0;
}

}  // namespace treadle::rt
