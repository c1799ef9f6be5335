// The seeded scheduler: a test mode in which whatever the scheduler is free to choose is drawn at
// random, so that orders which a busy machine shows once in a million come up in seconds.
//
// On by RuntimeOptions::sched_seed or TREADLE_SCHED_SEED. Then
//  - every M has kReqSlow set, so that each outermost entry comes by enter_slow(): a parking one
//    yields now and then, any other gives way in place;
//  - the next goroutine is any of the queue or runnext, a woken one goes to runnext or to the
//    tail, queues hold four, thieves start anywhere, the global queue is served early, and hinted
//    calls give their P away at once or not;
//  - short pauses widen the windows before a park, before its hook, and before a wake-up.
//
// Invariant: choices about goroutines draw from the P's generator only, by its holder inside the
// guard, and only where there is something to choose from: how often an idle P is looked at is a
// matter of time. With one P, and nothing from outside (timers, I/O, plain threads, sysmon), the
// seed then decides the order. Pauses change no choice and draw from the M's generator.
//
// Off it costs a load and a branch where no slow path is at hand: `sched.random` lies beside
// `stop_wanted`, which the same places read.
#pragma once

#include <cstdint>

namespace treadle::rt {

struct G;
struct M;
struct P;
class GList;

// How many goroutines a local queue holds in this mode.
inline constexpr std::uint32_t kRandomRunq = 4;

// Before any M or P is there. 0 leaves the mode off.
void random_start(std::uint64_t seed) noexcept;
// 0: off.
std::uint64_t random_seed() noexcept;
void random_adopt(P* p) noexcept;
// Where the M's thieves begin.
std::uint64_t random_m_state(std::uint64_t id) noexcept;

// One of 0..n-1, and true once in n; by the P's holder.
std::uint32_t random_below(P* p, std::uint32_t n) noexcept;
inline bool random_once_in(P* p, std::uint32_t n) noexcept { return random_below(p, n) == 0; }

// What a goroutine does at an outermost entry.
enum class RandomStep { go_on, yield_local, yield_global, give_way };
RandomStep random_step(M* m, bool parking) noexcept;
// The goroutine that gave way in place is back: bounds how many threads that ties up.
void random_step_done() noexcept;

// The parts of dispatch.h and sched.cpp that choose, in this mode.
bool random_global_turn(P* p) noexcept;
G* random_local_runq(P* p, bool* inherit) noexcept;
// Puts `list`'s head somewhere into its first few. Under the list's lock.
void random_rotate(P* p, GList& list) noexcept;

// Widens a window between two threads; only when kReqSlow is seen on `m`.
void random_pause(M* m) noexcept;

}  // namespace treadle::rt
