// P: the right to run goroutines, and what only its holder touches.
#pragma once

#include <atomic>
#include <cstdint>

#include "runtime/g.h"
#include "runtime/runq.h"
#include "runtime/timers.h"

namespace treadle::rt {

struct M;

inline constexpr std::uint32_t kRunqSize = 256;
inline constexpr int kMaxProcs = 1024;

enum class PStatus : std::uint8_t {
  idle,     // on the idle list; owned by sched.lock
  running,  // owned by the M in `m`, or by the revoker that took it from there
  stopped,  // held still by whoever stopped the world
  dead,     // not one of GOMAXPROCS; owned by sched.revoker
};

// A counter with one writer at a time; any reader.
class Counter {
 public:
  void add(std::uint64_t n) noexcept {
    v_.store(v_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  std::uint64_t get() const noexcept { return v_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> v_{0};
};

struct PCounters {
  Counter spawned, ended, parks, yields_on_request, gave_way_in_place, short_slices, steals, polls;
};

struct alignas(128) P {
  int id = 0;
  std::atomic<PStatus> status{PStatus::idle};
  // Whose it is. Stored by that M on taking it, nulled by it or by the revoker on taking it away.
  std::atomic<M*> m{nullptr};
  // Counts time slices: goroutines started anew, not those that inherit one (begin_slice()).
  std::atomic<std::uint32_t> schedtick{0};

  // Made ready by the running G and run next, within its slice. CAS: thieves may take it.
  std::atomic<G*> runnext{nullptr};
  RunQueue<G*, kRunqSize> runq;
  TimerHeap timers;

  std::uint64_t rng = 1;                  // the seeded scheduler's (random.h); the holder's
  std::uint32_t runnext_streak = 0;       // Gs taken from runnext in a row; the holder's
  bool network_had_turn = false;          // see poll_before_blocker(); the holder's
  GList gfree;                            // ended Gs; the holder's
  StackList stacks;                       // of ended Gs, hot ones first; the holder's
  std::uint64_t id_next = 0, id_end = 0;  // goroutine ids not yet given; the holder's
  std::int64_t coarse_seen = 0;           // coarse clock at the last look at the timers
  PCounters counters;

  P* link = nullptr;  // idle list; under sched.lock

  // Not 0: hinted calls are expected to be long, since one was, and give the P away at once. Set by
  // whoever comes back from a call in which it lost this P: see reacquire(). A lost change only
  // costs a hint.
  std::atomic<std::uint32_t> long_hints{0};

  // Of the running slice. The holder's; sysmon reads it.
  std::atomic<SliceKind> slice{SliceKind::whole};

  // sysmon's view at its last look; under the revoker's lock.
  std::uint32_t seen_tick = 0;
  std::int64_t seen_tick_when = 0;
  SliceKind seen_slice = SliceKind::whole;
  std::uint32_t seen_blk = 0;
  std::int64_t seen_blk_when = 0;
  std::int64_t seen_cpu = 0;       // the M's CPU time
  std::int64_t seen_cpu_when = 0;  // and when that was; 0: not in this slice
};

}  // namespace treadle::rt
