#include <treadle/testing.h>

#include "runtime/random.h"
#include "runtime/sched.h"

namespace treadle::testing {

std::uint64_t sched_seed() {
  rt::ensure_started();
  return rt::random_seed();
}

}  // namespace treadle::testing
