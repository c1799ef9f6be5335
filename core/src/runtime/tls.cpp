#include "runtime/tls.h"

#include "runtime/foreign.h"

namespace treadle::rt {

extern "C" {
constinit thread_local M* treadle_rt_m = &foreign_sentinel;
}

#if !defined(__x86_64__)
[[gnu::noinline]] M* getm() noexcept {
  asm volatile("" ::: "memory");
  return treadle_rt_m;
}
#endif

[[gnu::noinline]] void setm(M* m) noexcept {
  asm volatile("" ::: "memory");
  treadle_rt_m = m;
}

}  // namespace treadle::rt
