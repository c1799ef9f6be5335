// Contexts: trees that are cancelled, or expire, from several sides at once.
#include <treadle/context.h>
#include <treadle/go.h>
#include <treadle/wait_group.h>

#include <vector>

#include "stress/stress.h"

namespace treadle::stress {
namespace {

CancelableContext child_of(const Context& parent, Random& random) {
  return random.once_in(2) ? with_cancel(parent)
                           : with_timeout(parent, random.up_to(std::chrono::milliseconds(3)));
}

void trees(Random& random) {
  std::vector<CancelableContext> all;
  all.push_back(child_of(background(), random));
  for (int n = random.between(1, 30); n > 0; --n)
    all.push_back(child_of(
        all[static_cast<std::size_t>(random.below(static_cast<int>(all.size())))].context, random));
  WaitGroup wg;
  const int waiters = random.between(1, 10);
  wg.add(waiters);
  for (int i = 0; i < waiters; ++i)
    go([&wg,
        ctx = all[static_cast<std::size_t>(random.below(static_cast<int>(all.size())))].context,
        nap = random.once_in(2)] {
      if (nap) {
        const ContextScope scope(ctx);
        require(!sleep(std::chrono::hours(1)), "an hour's sleep ended by itself");
      } else {
        ctx.wait();
      }
      require(ctx.done() && ctx.error(), "a wait ended before its context");
      wg.done();
    });
  const int cancellers = random.between(1, 4);
  wg.add(cancellers);
  for (int i = 0; i < cancellers; ++i)
    go([&wg, &all, random = random.fork()]() mutable {
      for (int n = random.below(5); n > 0; --n) {
        all[static_cast<std::size_t>(random.below(static_cast<int>(all.size())))].cancel();
        if (random.once_in(2)) gosched();
      }
      wg.done();
    });
  (void)sleep(random.up_to(std::chrono::microseconds(500)));
  all.front().cancel();
  wg.wait();
  for (const auto& c : all) c.context.wait();  // somebody else may still be on the way to it
}

// Handles that go while others cancel and expire.
void handles(Random& random) {
  auto root = with_timeout(background(), random.up_to(std::chrono::milliseconds(1)));
  WaitGroup wg;
  wg.add(4);
  for (int i = 0; i < 4; ++i)
    go([&wg, ctx = root.context, random = random.fork()]() mutable {
      for (int n = random.between(1, 50); n > 0; --n) {
        auto own = child_of(ctx, random);
        auto deeper = child_of(own.context, random);
        if (random.once_in(2)) own.cancel();
        if (random.once_in(4)) gosched();
      }
      wg.done();
    });
  if (random.once_in(2)) root.cancel();
  wg.wait();
}

void round(Random& random) { random.once_in(2) ? trees(random) : handles(random); }

const Registered registered{{"contexts", "trees cancelled from several sides", &round}};

}  // namespace
}  // namespace treadle::stress
