// The runtime: one per process, started by run() or by the first use of treadle.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>

namespace treadle {

// A feature that is on unless it is turned off.
enum class Feature : std::uint8_t { by_default, on, off };

// What can be chosen before the runtime starts. Zero means the default throughout. Values out of
// range panic with the value in the text.
struct RuntimeOptions {
  // GOMAXPROCS: how many goroutines may run treadle code at one time, 1 to 1024.
  // 0: the environment's TREADLE_MAXPROCS, else the CPUs that affinity and the cgroup's CPU limit
  // allow; while the process is busy that is looked up again about once a second.
  // It is no promise of mutual exclusion, not even at 1: a goroutine whose P was taken away
  // (a long computation, a blocking call) runs on beside the others.
  int max_procs = 0;
  // Bytes of address space kept for each goroutine's stack, 64 KiB to 64 MiB, rounded up to whole
  // pages. Memory is used only where it is touched. 0: 256 KiB.
  std::size_t stack_size = 0;
  // No guards below stacks: an overflow then runs into another goroutine's stack unseen. Only for
  // more than some 32,000 goroutines at once on kernels before Linux 6.13, where each guard takes
  // two of the process's mappings (vm.max_map_count). Newer kernels' guards take none.
  bool unguarded_stacks = false;
  // A goroutine parked for so long gives the memory of its stack's unused part back to the system,
  // 10 ms to 24 h; looked at about as often. 0: 10 s.
  std::chrono::milliseconds stack_trim_after{0};
  // The most threads the runtime makes, 8 to 100,000. At the limit Ps are no longer taken from
  // goroutines that block; it is logged and counted. 0: 10,000.
  int max_threads = 0;
  // How many goroutines at once may have lost their P in blocking() and its like, 1 to 100,000;
  // each has a thread to itself. Further ones wait for their turn before their call. Fewer when
  // max_threads (or what the system allows) leaves no room for so many. 0: 512.
  int max_blocking = 0;
  // Off: a goroutine that computes, or blocks without a hint, keeps its P until its next parking
  // call; see the notes on preemption below. By default the environment's TREADLE_PREEMPT (on,
  // off), else on.
  Feature preempt = Feature::by_default;
  // The runtime's threads ask the kernel for short time slices (Linux 6.12 and newer). Threads and
  // processes started by goroutines inherit them. By default the environment's TREADLE_KERNEL_SLICE
  // (on, off), else on.
  Feature kernel_slices = Feature::by_default;
  // For tests: not 0 makes the scheduler choose at random wherever it is free to choose (which
  // goroutine runs next, where a woken one queues, who is robbed, when a call yields), with tiny
  // queues. All choices follow from this number, so that with one P a run without outside events
  // can be repeated. Much slower. 0: the environment's TREADLE_SCHED_SEED, else off.
  std::uint64_t sched_seed = 0;
};

// Preemption. A goroutine that computes without pause, or blocks in a call that nobody wrapped,
// loses its P after about 10 ms when other work waits (0.5 ms when it has lately done so), and goes
// on without: beside the others, on a thread of its own, until its next call of treadle. Nothing is
// interrupted and no stack is switched; it costs nothing until it happens, then some tens of
// microseconds. It cannot help when no thread can be made to take over.

// After fork() the child has none of the runtime's threads: until it execs, every call of treadle
// there ends it with a message that says so. Start programs by posix_spawn.

// Starts the runtime, runs `main` as its first goroutine and returns when that has returned.
// Goroutines still there then stop where they are, without unwinding, and so do timers: what plain
// threads and static destructors call from then on must not wait. Blocks the calling thread;
// call it once, from a plain thread, as a rule main(). Panics when the runtime has been started
// already, or when called from a goroutine.
void run(const RuntimeOptions& options, std::function<void()> main);
inline void run(std::function<void()> main) { run({}, std::move(main)); }

// The number of Ps. Starts the runtime when needed. Never parks; any thread.
int max_procs();
// Changes it while everything runs, 1 to 1024, and returns what it was; panics outside that range.
// 0: to what affinity and the cgroup's limit allow, which it follows from then on. The world is
// stopped meanwhile, as a rule for less than a millisecond: goroutines that compute or block go on
// without their P. Starts the runtime when needed. Never parks; any thread.
int set_max_procs(int n);

// True inside a goroutine, false on a plain thread. Never parks.
bool in_goroutine() noexcept;

// Counters since the start, for diagnosis; each is read on its own, so together they need not
// agree to the last digit.
struct RuntimeStats {
  std::uint64_t goroutines = 0;         // alive now, running or parked
  std::uint64_t threads = 0;            // Ms made and not yet retired
  std::uint64_t spawned = 0;            // goroutines ever started
  std::uint64_t parks = 0;              // waits that really parked
  std::uint64_t handoffs = 0;           // Ps taken from a goroutine in a hinted call
  std::uint64_t preemptions = 0;        // Ps taken from a goroutine that gave no hint
  std::uint64_t yields_on_request = 0;  // goroutines that gave way at a call when asked to
  std::uint64_t gave_way_in_place = 0;  // of these, at a call that does not park
  std::uint64_t short_slices = 0;       // slices shortened, since the goroutine used to keep its P
  std::uint64_t detached = 0;           // goroutines that run without a P now
  std::uint64_t refused_handoffs = 0;   // Ps not taken for want of a thread to run them
  std::uint64_t thread_failures = 0;    // threads that the system did not make
  std::uint64_t blocking_waits = 0;     // blocking calls that had to wait for their turn
  std::uint64_t procs = 0;              // max_procs()
  std::uint64_t steals = 0;             // batches stolen from another P
  std::uint64_t polls = 0;              // epoll_wait calls
};
RuntimeStats runtime_stats();

}  // namespace treadle
