// The ends that cannot be returned from: broken invariants, stack overflow, uncaught exceptions.
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <exception>

#include <treadle/dump.h>

#include "runtime/random.h"
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
  const std::source_location site = g->site.load(std::memory_order_relaxed);
  say("goroutine %llu, created at %s:%u in %s\n", static_cast<unsigned long long>(g->id.load()),
      site.file_name(), static_cast<unsigned>(site.line()), site.function_name());
}

// What repeats the scheduler's choices.
void say_seed() noexcept {
  if (random_seed())
    say("treadle: TREADLE_SCHED_SEED=%llu\n", static_cast<unsigned long long>(random_seed()));
}

// On the M's signal stack: the goroutine's own has no room left.
void on_fault(int signal, siginfo_t* info, void* context) {
  M* m = getm();
  G* g = m->foreign ? nullptr : m->curg;
  if (g && g->stack && stack_guard_contains(*g->stack, info->si_addr)) {
    say("treadle: fatal: stack overflow (a goroutine's stack has %zu KiB)\n",
        g->stack->size() / 1024);
    say_goroutine(g);
    say_seed();
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
    say_seed();
  }
  if (previous_terminate) previous_terminate();
  std::abort();
}

}  // namespace

void fatal(const char* what) noexcept {
  say("treadle: fatal: %s\n", what);
  say_seed();
  std::abort();
}

void fatal(const char* what, const G* g) noexcept {
  say("treadle: fatal: %s\n", what);
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
  previous_terminate = std::set_terminate(&on_terminate);
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

namespace treadle {

namespace {

struct Dump {
  int fd;
  std::int64_t now;
  std::size_t seen = 0;
};

const char* state_text(const rt::G* g, rt::GStatus status) noexcept {
  const rt::M* m = g->m.load(std::memory_order_acquire);
  switch (status) {
    case rt::GStatus::runnable: return "runnable";
    case rt::GStatus::waiting:
      return rt::wait_reason_text(g->reason.load(std::memory_order_relaxed));
    case rt::GStatus::dead: return "dead";
    default:
      return m && (m->req.load(std::memory_order_relaxed) & rt::kReqMask) == rt::kReqLost
                 ? "detached"
                 : "running";
  }
}

void dump_one(rt::G* g, void* arg) {
  auto& dump = *static_cast<Dump*>(arg);
  const rt::GStatus status = g->status.load(std::memory_order_acquire);
  if (status == rt::GStatus::idle || g->foreign) return;
  ++dump.seen;
  const std::int64_t since = g->waiting_since.load(std::memory_order_relaxed);
  const std::int64_t ms = status == rt::GStatus::waiting ? (dump.now - since) / 1'000'000 : 0;
  const std::source_location site = g->site.load(std::memory_order_relaxed);
  char line[512];
  int n =
      std::snprintf(line, sizeof line, "goroutine %llu [%s, %lld ms]:\n    created at %s:%u in %s",
                    static_cast<unsigned long long>(g->id.load(std::memory_order_relaxed)),
                    state_text(g, status), static_cast<long long>(ms), site.file_name(),
                    static_cast<unsigned>(site.line()), site.function_name());
  n = std::clamp(n, 0, static_cast<int>(sizeof line) - 2);
  line[n] = '\n';
  [[maybe_unused]] const auto w = ::write(dump.fd, line, static_cast<std::size_t>(n) + 1);
}

}  // namespace

void dump_goroutines(int fd) {
  Dump dump{fd, rt::nanotime()};
  rt::for_each_g(&dump_one, &dump);
  char line[64];
  const int n = std::snprintf(line, sizeof line, "%zu goroutines\n", dump.seen);
  [[maybe_unused]] const auto w = ::write(fd, line, static_cast<std::size_t>(n));
}

}  // namespace treadle
