// Timers: never early, never forgotten.
#include <treadle/context.h>
#include <treadle/go.h>
#include <treadle/wait_group.h>

#include "stress/stress.h"

namespace treadle::stress {
namespace {

void nap(Random& random) {
  const Duration d = random.up_to(std::chrono::milliseconds(2));
  const TimePoint begin = Clock::now();
  require(sleep(d).has_value(), "a sleep without a context failed");
  require(Clock::now() - begin >= d, "a sleep of {} ns took {}", d.count(),
          (Clock::now() - begin).count());
}

// The sleep ends with the context or by its own time, whichever comes first.
void limited_nap(Random& random) {
  const Duration d = random.up_to(std::chrono::milliseconds(2));
  const auto limit = with_timeout(background(), random.up_to(std::chrono::milliseconds(2)));
  const TimePoint begin = Clock::now();
  const ContextScope scope(limit.context);
  if (sleep(d))
    require(Clock::now() - begin >= d, "a limited sleep ended early");
  else
    require(limit.context.done(), "a sleep was cancelled by a context that goes on");
}

void round(Random& random) {
  const int n = random.once_in(8) ? random.between(100, 1000) : random.between(1, 40);
  WaitGroup wg;
  wg.add(n);
  for (int i = 0; i < n; ++i)
    go([&wg, random = random.fork()]() mutable {
      for (int k = random.between(1, 4); k > 0; --k)
        random.once_in(3) ? limited_nap(random) : nap(random);
      wg.done();
    });
  wg.wait();
}

const Registered registered{{"timers", "sleeps, alone and under deadlines", &round}};

}  // namespace
}  // namespace treadle::stress
