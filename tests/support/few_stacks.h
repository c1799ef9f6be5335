// A process in which memory for stacks runs out soon.
#pragma once

#include <sys/resource.h>

#include "runtime/stack.h"

namespace treadle::test {

// From now on stacks are of the largest size, and the address space has room for some ten. For
// death tests, before the first goroutine that is to feel it; not under sanitizers, whose shadows
// need more.
inline void allow_few_stacks() {
  rt::stack_init(rt::kMaxStack, rt::GuardKind::probe);
  rlimit space{};
  ::getrlimit(RLIMIT_AS, &space);
  space.rlim_cur = 1u << 30;
  ::setrlimit(RLIMIT_AS, &space);
}

}  // namespace treadle::test
