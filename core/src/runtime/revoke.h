// The revoker's side of the handshake in syscall.h. Under sched.revoker.
#pragma once

#include <cstdint>

#include "runtime/m.h"
#include "runtime/p.h"

namespace treadle::rt {

// A P to be taken, as it was when its M was asked.
struct Candidate {
  P* p;
  M* m;
  std::uint32_t tick;  // P.schedtick: a slice that began later is not meant
  Lost how;
};

// Asks for the M's P. True: the ask stands, from now or from before.
bool ask(M* m) noexcept;
// After the ask and a membarrier_all(). True: the P is the caller's, and its M goes on without.
bool take(const Candidate& c) noexcept;

}  // namespace treadle::rt
