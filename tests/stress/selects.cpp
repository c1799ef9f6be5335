// select: each element is taken once, whatever else the cases wait for.
#include <treadle/chan.h>
#include <treadle/context.h>
#include <treadle/go.h>
#include <treadle/select.h>
#include <treadle/wait_group.h>

#include <array>
#include <atomic>

#include "stress/stress.h"

namespace treadle::stress {
namespace {

struct Traffic {
  std::array<Chan<int>, 4> channels;
  std::atomic<std::int64_t> sent{0}, received{0}, sum_sent{0}, sum_received{0};

  const Chan<int>& any(Random& random) {
    return channels[static_cast<std::size_t>(random.below(4))];
  }
  void got(int v) {
    ++received;
    sum_received += v;
  }
  void put(int v) {
    ++sent;
    sum_sent += v;
  }
};

// One select of a random mix; a moment's timeout sees to it that no mix locks up.
void one(Traffic& t, Random& random, const Context& ctx) {
  const int v = random.below(1'000'000);
  const auto take = [&](int element) { t.got(element); };
  const Duration moment = random.up_to(std::chrono::microseconds(200));
  switch (random.below(4)) {
    case 0:
      select(on_recv(t.any(random), take), on_send(t.any(random), v, [&] { t.put(v); }),
             on_timeout(moment));
      break;
    case 1:
      select(on_recv(t.any(random), take), on_recv(t.any(random), take), on_done(ctx),
             on_timeout(moment));
      break;
    case 2:
      select(on_send(t.any(random), v, [&] { t.put(v); }),
             on_send(t.any(random), v, [&] { t.put(v); }), on_timeout(moment));
      break;
    default:
      select(on_recv(t.any(random), take), on_send(t.any(random), v, [&] { t.put(v); }),
             on_default([] {}));
  }
}

void round(Random& random) {
  Traffic t;
  for (std::size_t i = 0; i < t.channels.size(); ++i) t.channels[i] = make_chan<int>(i % 3);
  const auto root = with_timeout(background(), random.up_to(std::chrono::milliseconds(20)));
  WaitGroup wg;
  const int n = random.between(1, 8), times = random.between(1, 60);
  wg.add(n);
  for (int i = 0; i < n; ++i)
    go([&, random = random.fork()]() mutable {
      for (int k = 0; k < times; ++k) {
        one(t, random, root.context);
        if (random.once_in(8)) gosched();
      }
      wg.done();
    });
  if (random.once_in(2)) root.cancel();
  wg.wait();
  for (auto& ch : t.channels) {
    while (auto v = ch.try_recv()) t.got(*v);
    ch.close();
  }
  require(t.sent == t.received && t.sum_sent == t.sum_received,
          "select: {} sent, {} received, sums {} and {}", t.sent.load(), t.received.load(),
          t.sum_sent.load(), t.sum_received.load());
}

const Registered registered{
    {"selects", "mixes of send, receive, context, timeout and default", &round}};

}  // namespace
}  // namespace treadle::stress
