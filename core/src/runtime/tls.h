// The one accessor of the current M. Everything else that depends on the thread hangs off it.
#pragma once

namespace treadle::rt {

struct M;

// Each thread's M; threads that are not the runtime's start out with the shared sentinel (see
// foreign.h). constinit and initial-exec: a plain load relative to the thread pointer, no guard,
// no wrapper function. Never name it directly outside this file: a compiler may keep the address
// of a thread_local across a switch, after which it is another thread's.
extern "C" __attribute__((tls_model("initial-exec"))) constinit thread_local M* treadle_rt_m;

#if defined(__x86_64__)
// Volatile, with a memory clobber: it is computed anew wherever it stands, never moved over a
// switch. The two loads become one in an executable (the linker relaxes GOTTPOFF).
inline M* getm() noexcept {
  M* m;
  asm volatile(
      "movq treadle_rt_m@GOTTPOFF(%%rip), %0\n\t"
      "movq %%fs:(%0), %0"
      : "=r"(m)
      :
      : "memory");
  return m;
}
#else
M* getm() noexcept;  // out of line: an address cannot be cached over a call
#endif

void setm(M* m) noexcept;

}  // namespace treadle::rt
