// Entering and leaving the runtime, and how a P is taken from an M that does not.
//
// The problem: a goroutine that sits in a system call, a page fault, a library's wait or a long
// computation must not hold a P. C++ code cannot be switched away at an arbitrary instruction (it
// may hold malloc's lock, or a thread_local's address), so nothing is switched by force: the P is
// taken away and the M goes on without it. The next time it enters the runtime it gets a P back, or
// waits for one.
//
// The handshake is asymmetric. The M pays two plain stores and a load for an entry; the revoker
// pays a membarrier.
//
//   enter():   guard = guard + 1 (relaxed); compiler barrier; if (req != none) enter_slow()
//   leave():   guard = guard - 1 (release), of the M we are on now
//   revoker:   CAS(req, none -> ask)               for each candidate
//              membarrier                          once for all
//              guard (acquire) != 0: leave the ask standing: the goroutine yields at its next
//                  parking call, or its P is taken in a later round
//              P.m, M.p or P.schedtick changed: CAS(ask -> none)
//              CAS(req, ask -> lost): the P is the revoker's
//
//   enter_slow(), when it finds an ask: CAS(ask -> none), and the goroutine gives way: in a parking
//              entry it goes to the global queue; in any other it hands the P on and waits where it
//              is, bound to its M, for its turn.
//
// Why it is sound. M stores guard, then loads req; the revoker stores ask, then loads guard. The
// membarrier falls at one point of M's program order: when M's guard store is before it, the
// revoker sees guard != 0; otherwise M's load of req is after it and sees the ask. Then the CAS on
// req decides: exactly one of ask -> lost and ask -> none succeeds. (An M that went on at an ask
// without changing it could lose its P inside the runtime: the revoker may have loaded guard just
// before. And one that only marked the ask as seen would never give way at all, since an entry
// comes sooner than the barrier is over.)
// leave()'s release pairs with the revoker's acquire of guard and carries the P's plain fields over
// to its next holder.
//
// Rules:
//  - One revoker at a time (sched.revoker): sysmon, try_stop_the_world().
//  - P.m, M.p and P.schedtick are stored only with guard > 0.
//  - A candidate is an M whose CAS none -> ask succeeded or whose req is ask already: a goroutine
//    asked while it was inside the runtime, which then computes for ever, must still be taken.
//  - `lost` is cleared only by an M that owns a P again.
//  - begin_slice() withdraws an ask, since it was for the goroutine before; a goroutine that
//    inherits its predecessor's slice inherits the ask too.
//  - Only a parking entry may move a goroutine to another M. At any other one a goroutine that is
//    asked, or finds its P lost with none idle, is queued bound to its M.
//  - Foreign threads, and every M where membarrier is refused, have kReqSlow set: each entry then
//    takes the slow path, which in the latter case adds the fence that the membarrier would be.
//
// Rejected: signals (EINTR for user code, and a handler cannot switch); a CAS pair on the P's
// status as in Go's entersyscall (5 to 10 ns an entry, and nothing at all for calls that nobody
// wrapped).
#pragma once

#include <atomic>

#include "runtime/m.h"

namespace treadle::rt {

// Both return the M the caller is on afterwards. `parking`: the caller is documented to park, so
// the G may be moved to another one.
M* enter_slow(M* m, bool parking) noexcept;

[[gnu::always_inline]] inline M* enter_as(bool parking) noexcept {
  M* m = getm();
  // Whoever called the function that this is inlined into.
  m->last_entry.store(__builtin_return_address(0), std::memory_order_relaxed);
  m->guard.store(m->guard.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  std::atomic_signal_fence(std::memory_order_seq_cst);  // the revoker's membarrier does the rest
  if (m->req.load(std::memory_order_relaxed) != 0) [[unlikely]]
    return enter_slow(m, parking);
  return m;
}

inline void leave() noexcept {
  M* m = getm();  // not the one we entered on, when we parked in between
  // Release: pairs with the revoker's acquire load; see above.
  m->guard.store(m->guard.load(std::memory_order_relaxed) - 1, std::memory_order_release);
}

// Scope of a call that never parks. m() is valid throughout.
class Entry {
 public:
  [[gnu::always_inline]] Entry() noexcept : m_(enter_as(false)) {}
  ~Entry() { leave(); }
  Entry(const Entry&) = delete;
  Entry& operator=(const Entry&) = delete;
  M* m() const noexcept { return m_; }

 private:
  M* m_;
};

// Scope of a call that may park: no M is kept, since it changes.
class ParkingEntry {
 public:
  [[gnu::always_inline]] ParkingEntry() noexcept { enter_as(true); }
  ~ParkingEntry() { leave(); }
  ParkingEntry(const ParkingEntry&) = delete;
  ParkingEntry& operator=(const ParkingEntry&) = delete;
};

// Compare-and-swap of M::req that keeps kReqSlow.
inline bool cas_req(M* m, std::uint32_t from, std::uint32_t to, std::memory_order order) noexcept {
  const std::uint32_t slow = m->req.load(std::memory_order_relaxed) & kReqSlow;
  std::uint32_t expected = from | slow;
  return m->req.compare_exchange_strong(expected, to | slow, order, std::memory_order_relaxed);
}

// The M owns a P again (or is about to run another goroutine's slice): no request stands.
inline void clear_req(M* m) noexcept {
  // Release: pairs with the revoker's CAS on req, which must see the M's new P and schedtick.
  m->req.store(m->req.load(std::memory_order_relaxed) & kReqSlow, std::memory_order_release);
}

// Probes membarrier(PRIVATE_EXPEDITED) by registering and one trial call; false means that Ms must
// run in fence mode.
bool membarrier_init() noexcept;
bool membarrier_available() noexcept;
// The litmus test's negative control: from now on membarrier_all() does nothing, so that the
// violations it prevents can be seen. Nothing else may call it.
void membarrier_omit_for_litmus() noexcept;
// After it every running thread of the process has passed a full barrier, or has kReqSlow set.
void membarrier_all() noexcept;

}  // namespace treadle::rt
