// Starting and ending the runtime, and its options.
#include <treadle/runtime.h>

#include <fcntl.h>
#include <fmt/core.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>
#include <string_view>

#include <treadle/go.h>
#include <treadle/result.h>

#include "runtime/cgroup.h"
#include "runtime/foreign.h"
#include "runtime/kernel_slice.h"
#include "runtime/netpoll.h"
#include "runtime/random.h"
#include "runtime/sched.h"
#include "runtime/syscall.h"

namespace treadle {

namespace rt {

namespace {

std::mutex start_mutex;  // plain threads only, before there is a runtime

template <class T>
void check_range(const char* what, T value, T low, T high) {
  if (value != 0 && (value < low || value > high))
    throw Panic(fmt::format("treadle: {} = {}: must be {} to {}, or 0 for the default", what, value,
                            low, high));
}

int procs_from_environment() {
  const char* text = std::getenv("TREADLE_MAXPROCS");
  if (!text || !*text) return 0;
  int n = 0;
  const char* end = text + std::strlen(text);
  auto [at, error] = std::from_chars(text, end, n);
  if (error != std::errc() || at != end || n < 1 || n > kMaxProcs)
    throw Panic(fmt::format("treadle: TREADLE_MAXPROCS={}: must be a number from 1 to {}", text,
                            kMaxProcs));
  return n;
}

std::uint64_t seed_from_environment() {
  const char* text = std::getenv("TREADLE_SCHED_SEED");
  if (!text || !*text) return 0;
  std::uint64_t seed = 0;
  const char* end = text + std::strlen(text);
  auto [at, error] = std::from_chars(text, end, seed);
  if (error != std::errc() || at != end)
    throw Panic(fmt::format("treadle: TREADLE_SCHED_SEED={}: must be a number", text));
  return seed;
}

bool choose(Feature wanted, const char* variable) {
  if (wanted != Feature::by_default) return wanted == Feature::on;
  const char* text = std::getenv(variable);
  const std::string_view value = text ? text : "";
  if (value.empty() || value == "on") return true;
  if (value == "off") return false;
  throw Panic(fmt::format("treadle: {}={}: must be on or off", variable, value));
}

int choose_procs(int wanted) {
  if (wanted > 0) return wanted;
  if (int n = procs_from_environment()) return n;
  sched.procs_by_machine.store(true, std::memory_order_relaxed);
  return default_procs();
}

// A peer that has gone must be an error of the call, not the end of the process; a handler that the
// program set stays.
void ignore_sigpipe() {
  struct sigaction old{};
  if (::sigaction(SIGPIPE, nullptr, &old) == 0 && !(old.sa_flags & SA_SIGINFO) &&
      old.sa_handler == SIG_DFL)
    ::signal(SIGPIPE, SIG_IGN);
}

// Before static destructors: goroutines must not run into what these take down. When exit() is
// called from a goroutine, that one keeps its P.
void at_exit() {
  if (!sched.forked.load(std::memory_order_relaxed)) end_the_world();
}

// Only the forking thread lives on in the child. Its next entry finds that out: a plain thread's is
// slow anyway, an M's is made so.
void in_forked_child() {
  sched.forked.store(true, std::memory_order_relaxed);
  getm()->req.fetch_or(kReqSlow, std::memory_order_relaxed);
}

void start_locked(const RuntimeOptions& o) {
  check_range("max_procs", o.max_procs, 1, kMaxProcs);
  check_range<std::size_t>("stack_size", o.stack_size, kMinStack, kMaxStack);
  check_range<std::int64_t>("stack_trim_after (ms)", o.stack_trim_after.count(), 10, 86'400'000);
  check_range("max_threads", o.max_threads, 8, 100'000);
  check_range("max_blocking", o.max_blocking, 1, 100'000);
  const int procs = choose_procs(o.max_procs);
  const bool preempt = choose(o.preempt, "TREADLE_PREEMPT");
  const bool kernel_slices = choose(o.kernel_slices, "TREADLE_KERNEL_SLICE");

  const std::size_t page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const std::size_t stack_size = o.stack_size ? o.stack_size : kDefaultStack;
  stack_init((stack_size + page - 1) / page * page,
             o.unguarded_stacks ? GuardKind::none : GuardKind::probe);
  if (o.stack_trim_after.count() > 0)
    sched.stack_idle = std::chrono::nanoseconds(o.stack_trim_after).count();
  if (o.max_threads) sched.max_ms = o.max_threads;
  if (o.max_blocking) sched.max_blocking = o.max_blocking;
  sched.preempt = preempt;
  kernel_slice_init(kernel_slices);
  membarrier_init();
  random_start(o.sched_seed ? o.sched_seed : seed_from_environment());
  ignore_sigpipe();
  install_fault_handlers();
  netpoll_init();
  for (int i = 0; i < procs; ++i) {
    P* p = new P;
    p->id = i;
    random_adopt(p);
    sched.ps.append(p);
  }
  sched.procs.store(procs, std::memory_order_relaxed);
  update_blocking_limit();
  {
    LockGuard hold(sched.lock);
    for (int i = procs; i-- > 0;) pidleput_locked(sched.ps[static_cast<std::size_t>(i)]);
  }
  sched.last_poll.store(nanotime(), std::memory_order_relaxed);
  start_template_thread();
  start_sysmon();
  std::atexit(at_exit);
  ::pthread_atfork(nullptr, nullptr, &in_forked_child);
  sched.started.store(true, std::memory_order_release);
}

}  // namespace

void start_by_default() {
  std::lock_guard hold(start_mutex);
  if (!sched.started.load(std::memory_order_relaxed)) start_locked({});
}

const char* wait_reason_text(WaitReason r) noexcept {
  switch (r) {
    case WaitReason::none: return "nothing";
    case WaitReason::sleep: return "sleep";
    case WaitReason::chan_send: return "chan send";
    case WaitReason::chan_recv: return "chan receive";
    case WaitReason::chan_nil: return "nil chan";
    case WaitReason::mutex: return "mutex";
    case WaitReason::wait_group: return "wait group";
    case WaitReason::io_read: return "IO read";
    case WaitReason::io_write: return "IO write";
    case WaitReason::context: return "context";
    case WaitReason::signal: return "signal";
    case WaitReason::select: return "select";
    case WaitReason::cond: return "cond";
    case WaitReason::rw_mutex_read: return "RwMutex read";
    case WaitReason::rw_mutex_write: return "RwMutex write";
    case WaitReason::once: return "once";
    case WaitReason::semaphore: return "semaphore";
    case WaitReason::task: return "task";
    case WaitReason::task_group: return "task group";
    case WaitReason::one_shot: return "one shot";
    case WaitReason::broadcast: return "broadcast";
    case WaitReason::watch: return "watch";
    case WaitReason::worker_pool: return "worker pool";
    case WaitReason::rate_limiter: return "rate limiter";
    case WaitReason::batcher: return "batcher";
    case WaitReason::descriptor: return "descriptor";
    case WaitReason::subprocess: return "subprocess";
    case WaitReason::virtual_time: return "virtual time";
    case WaitReason::blocking: return "blocking call's turn";
  }
  return "?";
}

}  // namespace rt

void run(const RuntimeOptions& options, std::function<void()> main) {
  if (in_goroutine()) throw Panic("treadle::run: called from a goroutine");
  {
    std::lock_guard hold(rt::start_mutex);
    if (rt::sched.started.load(std::memory_order_relaxed))
      throw Panic("treadle::run: the runtime has been started already");
    rt::start_locked(options);
  }
  rt::Note done;
  go([&] {
    // Not before it runs: until it is queued there is nothing but sleeping Ms.
    rt::sched.main_waits.store(true, std::memory_order_relaxed);
    main();
    rt::sched.main_waits.store(false, std::memory_order_relaxed);
    done.wake();
  });
  sigset_t previous;
  rt::block_async_signals(&previous);  // the kernel prefers this thread: let it be the template's
  done.sleep();
  ::pthread_sigmask(SIG_SETMASK, &previous, nullptr);
  main = nullptr;
  rt::end_the_world();
}

int max_procs() {
  rt::ensure_started();
  return rt::sched.procs.load(std::memory_order_relaxed);
}

RuntimeStats runtime_stats() {
  using rt::sched;
  rt::ensure_started();
  RuntimeStats s;
  std::uint64_t ended = 0;
  s.spawned = sched.foreign_spawned.load(std::memory_order_relaxed);
  for (rt::P* p : sched.ps) {
    s.spawned += p->counters.spawned.get();
    ended += p->counters.ended.get();
    s.parks += p->counters.parks.get();
    s.yields_on_request += p->counters.yields_on_request.get();
    s.gave_way_in_place += p->counters.gave_way_in_place.get();
    s.short_slices += p->counters.short_slices.get();
    s.steals += p->counters.steals.get();
    s.polls += p->counters.polls.get();
  }
  s.goroutines = s.spawned > ended ? s.spawned - ended : 0;
  {
    rt::Entry entry;
    rt::LockGuard hold(sched.lock);
    s.threads = static_cast<std::uint64_t>(sched.ms);
  }
  s.handoffs = sched.handoffs.load(std::memory_order_relaxed);
  s.preemptions = sched.preemptions.load(std::memory_order_relaxed);
  s.detached =
      static_cast<std::uint64_t>(std::max(0, sched.detached.load(std::memory_order_relaxed)));
  s.refused_handoffs = sched.refused_handoffs.load(std::memory_order_relaxed);
  s.thread_failures = sched.thread_failures.load(std::memory_order_relaxed);
  s.blocking_waits = sched.blocking_waits.load(std::memory_order_relaxed);
  s.procs = static_cast<std::uint64_t>(max_procs());
  return s;
}

}  // namespace treadle
