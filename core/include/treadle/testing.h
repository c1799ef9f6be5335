// What tests of programs that use treadle need.
#pragma once

#include <cstdint>

namespace treadle::testing {

// The seed of the seeded scheduler (RuntimeOptions::sched_seed, TREADLE_SCHED_SEED); 0 when it is
// off. Print it when a test fails: it repeats the run's choices. Starts the runtime when needed.
// Never parks; any thread.
std::uint64_t sched_seed();

}  // namespace treadle::testing
