// The ends that cannot be returned from: broken invariants, stack overflow, SIGQUIT. Uncaught
// exceptions: uncaught.cpp.
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <exception>

#include "runtime/dump.h"
#include "runtime/random.h"
#include "runtime/sched.h"

namespace treadle::rt {

namespace {

constexpr std::size_t kSignalStack = 64u << 10;

struct sigaction previous_segv, previous_bus;

TextOut err() noexcept { return TextOut(STDERR_FILENO); }

void say_goroutine(const G* g) {
  TextOut out = err();
  print_origin(out, g);
}

// What repeats the scheduler's choices.
void say_seed() noexcept {
  if (random_seed())
    err().print("treadle: TREADLE_SCHED_SEED=%llu\n",
                static_cast<unsigned long long>(random_seed()));
}

// On the M's signal stack: the goroutine's own has no room left.
void on_fault(int signal, siginfo_t* info, void* context) {
  M* m = getm();
  G* g = m->foreign ? nullptr : m->curg;
  if (g && g->stack && stack_guard_contains(*g->stack, info->si_addr)) {
    sched.last_words.fetch_add(1, std::memory_order_release);
    err().print("treadle: fatal: stack overflow (a goroutine's stack has %zu KiB)\n",
                g->stack->size() / 1024);
    say_goroutine(g);
    say_seed();
    limit_last_words();
    StackTrace trace;
    walk_interrupted(context, trace);
    TextOut out = err();
    print_stack(out, trace, Symbols::without_malloc);
    ::signal(SIGABRT, SIG_DFL);
    std::abort();
  }
  // Not ours: as if we had not been there.
  const struct sigaction& old = signal == SIGSEGV ? previous_segv : previous_bus;
  if (old.sa_flags & SA_SIGINFO) {
    old.sa_sigaction(signal, info, context);
  } else if (old.sa_handler != SIG_DFL && old.sa_handler != SIG_IGN) {
    old.sa_handler(signal);
  } else {
    ::sigaction(signal, &old, nullptr);  // the instruction faults again, with the default action
  }
}

// In any thread. What there is to do allocates, so the template thread does it (last_dump()). A
// second signal, should that thread be stuck, ends the process without the dump.
void on_quit(int) {
  static std::atomic<bool> asked{false};
  if (asked.exchange(true, std::memory_order_relaxed)) ::_exit(2);
  const int saved = errno;
  service_request(ServiceWork::quit);
  errno = saved;
}

void install_quit_handler() {
  struct sigaction old{};
  if (::sigaction(SIGQUIT, nullptr, &old) != 0 || (old.sa_flags & SA_SIGINFO) ||
      old.sa_handler != SIG_DFL)
    return;  // the program's own, or it was started with the signal ignored
  struct sigaction sa{};
  sa.sa_handler = &on_quit;
  sa.sa_flags = SA_ONSTACK | SA_RESTART;
  ::sigemptyset(&sa.sa_mask);
  ::sigaction(SIGQUIT, &sa, nullptr);
}

}  // namespace

void last_dump() noexcept {
  sched.last_words.fetch_add(1, std::memory_order_release);
  limit_last_words();
  TextOut out = err();
  out.print("SIGQUIT: quit\n\n");
  dump_all(out, DumpKind::dying, true);
  ::_exit(2);
}

// Reading symbols may wait for a lock that the interrupted code holds, the loader's for instance.
void limit_last_words() noexcept {
  struct sigaction sa{};
  sa.sa_handler = [](int) { ::_exit(2); };
  ::sigaction(SIGALRM, &sa, nullptr);
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGALRM);
  ::pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
  ::alarm(30);
}

void fatal(const char* what) noexcept {
  err().print("treadle: fatal: %s\n", what);
  say_seed();
  std::abort();
}

void fatal(const char* what, const G* g) noexcept {
  err().print("treadle: fatal: %s\n", what);
  say_goroutine(g);
  std::abort();
}

void install_fault_handlers() {
  struct sigaction sa{};
  sa.sa_sigaction = &on_fault;
  sa.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  ::sigemptyset(&sa.sa_mask);
  ::sigaction(SIGSEGV, &sa, &previous_segv);
  ::sigaction(SIGBUS, &sa, &previous_bus);
  install_quit_handler();
  install_terminate_handler();
  walk_init();
  publish_gs_to_debuggers();
}

void install_signal_stack(M* m) {
  void* p =
      ::mmap(nullptr, kSignalStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) return;  // a fault then ends the process without our report
  stack_t ss{};
  ss.ss_sp = p;
  ss.ss_size = kSignalStack;
  ::sigaltstack(&ss, nullptr);
  m->signal_stack = p;
}

void remove_signal_stack(M* m) {
  if (!m->signal_stack) return;
  stack_t ss{};
  ss.ss_flags = SS_DISABLE;
  ::sigaltstack(&ss, nullptr);
  ::munmap(m->signal_stack, kSignalStack);
  m->signal_stack = nullptr;
}

}  // namespace treadle::rt
