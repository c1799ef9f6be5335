// M: an operating-system thread, and the revocation line by which its P can be taken away.
#pragma once

#include <pthread.h>

#include <atomic>
#include <cstdint>

#include "runtime/g.h"
#include "runtime/note.h"
#include "runtime/tls.h"

namespace treadle::rt {

struct P;

// The low two bits of M::req; the handshake is described in syscall.h.
inline constexpr std::uint32_t kReqNone = 0;
inline constexpr std::uint32_t kReqAsk = 1;   // the revoker wants the P
inline constexpr std::uint32_t kReqLost = 2;  // the P is gone
inline constexpr std::uint32_t kReqMask = 3;
inline constexpr std::uint32_t kReqSlow = 4;  // every entry takes the slow path; kept by every CAS

// Why an M has no P. Part of the request line: only the one whose `lost` it is has a say, and a
// revoker that comes too late changes nothing.
enum class Lost : std::uint32_t {
  slice_over,   // its goroutine gave no hint; blocked, as far as one can tell
  computing,    // its goroutine gave no hint and used the CPU all through its slice
  descheduled,  // its goroutine gave no hint, would run, and the kernel does not let it
  hinted,       // its goroutine is in a hinted blocking call; counted in sched.blocking_room
  stopped,      // the world stops
};
inline constexpr std::uint32_t kLostShift = 3;
constexpr std::uint32_t req_lost(Lost how) noexcept {
  return kReqLost | static_cast<std::uint32_t>(how) << kLostShift;
}
// Of a request line that says `lost`.
constexpr Lost lost_how(std::uint32_t req) noexcept { return static_cast<Lost>(req >> kLostShift); }

// What happens on the next stack after a switch, once the registers of the one left are saved.
// `g` is the goroutine left; after the hook has published it, it is no longer ours.
using SwitchHook = void (*)(M* m, G* g, void* arg);

// Ms are never freed, since the revoker may look at the line of one that has ended.
struct alignas(128) M {
  constexpr M() = default;
  struct Foreign {};
  constexpr explicit M(Foreign) : req(kReqSlow), foreign(true) {}

  // The revocation line. guard and blk are written by this thread only.
  std::atomic<std::uint32_t> guard{1};  // 0: user code (revocable); n: depth inside the runtime
  std::atomic<std::uint32_t> req{0};
  std::atomic<std::uint32_t> blk{0};  // odd: inside a hinted blocking call
  // When the hinted call began in which the P was lost. Stored by whoever takes it, before `lost`;
  // a taker that fails may leave a wrong time, which costs a hint.
  std::atomic<std::int64_t> lost_at{0};
  // Stored with guard > 0. When the P was taken away it still names it, for the way back.
  std::atomic<P*> p{nullptr};
  G* curg = nullptr;          // the G on this M, null on g0; this thread only
  SwitchHook hook = nullptr;  // this thread only
  void* hook_arg = nullptr;
  G* hook_g = nullptr;
  GStatus hook_status = GStatus::running;  // what hook_g becomes, once its registers are saved
  EhGlobals* eh = nullptr;                 // this thread's __cxa_get_globals()
  Gobuf g0;                                // the thread's own stack, while a G runs
  FiberState g0_fiber;
  G* next_g = nullptr;  // to be run before any other; this thread only
  std::uint64_t rng = 1;
  bool spinning = false;  // counted in sched.spinning; this thread only
  bool foreign = false;   // a plain thread's: never holds a P, curg stands for it

  // lock_os_thread(): the one G this M may run; see os_thread.cpp. This thread only.
  G* locked_g = nullptr;
  std::uint32_t os_locks = 0;  // nesting
  bool locked_ended = false;   // locked_g has ended: so does the thread

  Note note;           // sleeps in stopm(); woken by whoever gives it nextp
  P* nextp = nullptr;  // handed over with the note's wake-up
  M* link = nullptr;   // idle list; under sched.lock
  int id = 0;
  std::atomic<int> tid{0};  // the kernel's; set before the M takes its first P
  // Where this M's goroutine last entered the runtime from; null since it began to run here. Stored
  // by this thread, read by dumps.
  std::atomic<const void*> last_entry{nullptr};
  pthread_t thread{};
  void* signal_stack = nullptr;
};

inline std::uint64_t fast_random(M* m) noexcept {
  // xorshift64*: only has to spread thieves.
  std::uint64_t x = m->rng;
  x ^= x >> 12;
  x ^= x << 25;
  x ^= x >> 27;
  m->rng = x;
  return x * 0x2545F4914F6CDD1Dull;
}

}  // namespace treadle::rt
