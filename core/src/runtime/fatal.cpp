// The ends that cannot be returned from: broken invariants, stack overflow, uncaught exceptions.
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <exception>

#include <treadle/dump.h>

#include "runtime/sched.h"

namespace treadle::rt {

namespace {

constexpr std::size_t kSignalStack = 64u << 10;

struct sigaction previous_segv, previous_bus;
std::terminate_handler previous_terminate = nullptr;

// snprintf into a local buffer, then one write: usable where the allocator may be broken.
[[gnu::format(printf, 1, 2)]] void say(const char* format, ...) noexcept {
  char line[1024];
  va_list args;
  va_start(args, format);
  const int n = std::vsnprintf(line, sizeof line, format, args);
  va_end(args);
  const std::size_t size = n < 0 ? 0 : std::min(static_cast<std::size_t>(n), sizeof line - 1);
  [[maybe_unused]] const auto w = ::write(STDERR_FILENO, line, size);
}

void say_goroutine(const G* g) noexcept {
  say("goroutine %llu, created at %s:%u in %s\n", static_cast<unsigned long long>(g->id),
      g->site.file_name(), static_cast<unsigned>(g->site.line()), g->site.function_name());
}

// On the M's signal stack: the goroutine's own has no room left.
void on_fault(int signal, siginfo_t* info, void* context) {
  M* m = getm();
  G* g = m->foreign ? nullptr : m->curg;
  if (g && stack_guard_contains(g->stack, info->si_addr)) {
    say("treadle: fatal: stack overflow (a goroutine's stack has %zu KiB)\n",
        g->stack.size() / 1024);
    say_goroutine(g);
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

// Runs on the stack of the goroutine whose exception nobody caught, with all its frames in place.
[[noreturn]] void on_terminate() {
  M* m = getm();
  if (!m->foreign && m->curg) {
    say("treadle: fatal: an exception left a goroutine\n");
    say_goroutine(m->curg);
  }
  if (previous_terminate) previous_terminate();
  std::abort();
}

}  // namespace

void fatal(const char* what) noexcept {
  say("treadle: fatal: %s\n", what);
  std::abort();
}

void install_fault_handlers() {
  struct sigaction sa {};
  sa.sa_sigaction = &on_fault;
  sa.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  ::sigemptyset(&sa.sa_mask);
  ::sigaction(SIGSEGV, &sa, &previous_segv);
  ::sigaction(SIGBUS, &sa, &previous_bus);
  previous_terminate = std::set_terminate(&on_terminate);
}

void install_signal_stack(M* m) {
  void* p = ::mmap(nullptr, kSignalStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
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

namespace treadle {

void dump_goroutines(int fd) {
  char line[512];
  std::size_t seen = 0;
  const std::int64_t now = rt::nanotime();
  rt::for_each_g([&](rt::G* g) {
    const rt::GStatus status = g->status.load(std::memory_order_acquire);
    if (status == rt::GStatus::idle || g->foreign) return;
    ++seen;
    const char* state = status == rt::GStatus::runnable ? "runnable"
                        : status == rt::GStatus::dead   ? "dead"
                                                        : "running";
    const rt::M* m = g->m.load(std::memory_order_relaxed);
    if (status == rt::GStatus::running && m &&
        (m->req.load(std::memory_order_relaxed) & rt::kReqMask) == rt::kReqLost)
      state = "detached";
    if (status == rt::GStatus::waiting)
      state = rt::wait_reason_text(g->reason.load(std::memory_order_relaxed));
    const std::int64_t ms =
        status == rt::GStatus::waiting
            ? (now - g->waiting_since.load(std::memory_order_relaxed)) / 1'000'000
            : 0;
    const int n = std::snprintf(
        line, sizeof line, "goroutine %llu [%s, %lld ms]:\n    created at %s:%u in %s\n",
        static_cast<unsigned long long>(g->id), state, static_cast<long long>(ms),
        g->site.file_name(), static_cast<unsigned>(g->site.line()), g->site.function_name());
    if (n > 0) {
      [[maybe_unused]] const auto w =
          ::write(fd, line, std::min(static_cast<std::size_t>(n), sizeof line - 1));
    }
  });
  const int n = std::snprintf(line, sizeof line, "%zu goroutines\n", seen);
  [[maybe_unused]] const auto w = ::write(fd, line, static_cast<std::size_t>(n));
}

}  // namespace treadle
