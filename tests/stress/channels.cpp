// Channels: what is sent is received, once, in each sender's order.
#include <treadle/chan.h>
#include <treadle/context.h>
#include <treadle/go.h>
#include <treadle/wait_group.h>

#include <atomic>
#include <vector>

#include "stress/stress.h"

namespace treadle::stress {
namespace {

struct Message {
  int sender;
  int number;
};

struct Totals {
  std::atomic<std::int64_t> sent{0}, received{0}, sum_sent{0}, sum_received{0};
};

void produce(Chan<Message> ch, int sender, int count, Random random, Totals& totals) {
  for (int i = 0; i < count; ++i) {
    const Message m{sender, i};
    bool done = true;
    if (random.once_in(4)) {
      done = ch.try_send(m);
    } else if (random.once_in(4)) {
      const auto limit = with_timeout(background(), random.up_to(std::chrono::microseconds(200)));
      done = ch.send(m, limit.context).has_value();
    } else {
      ch.send(m);
    }
    if (!done) continue;
    ++totals.sent;
    totals.sum_sent += sender * 1000 + i;
    if (random.once_in(16)) gosched();
  }
}

void consume(Chan<Message> ch, int senders, bool alone, Random random, Totals& totals) {
  std::vector<int> last(static_cast<std::size_t>(senders), -1);
  const auto take = [&](const Message& m) {
    ++totals.received;
    totals.sum_received += m.sender * 1000 + m.number;
    int& before = last[static_cast<std::size_t>(m.sender)];
    require(before < m.number, "sender {}: {} came after {}", m.sender, m.number, before);
    before = m.number;
  };
  for (;;) {
    if (!alone && random.once_in(4)) {
      const auto limit = with_timeout(background(), random.up_to(std::chrono::microseconds(100)));
      auto r = ch.recv(limit.context);
      if (!r) continue;
      if (!*r) return;
      take(**r);
    } else {
      auto m = ch.recv();
      if (!m) return;
      take(*m);
    }
  }
}

void stream(Random& random) {
  const int senders = random.between(1, 6), receivers = random.between(1, 4);
  const int count = random.between(1, 200);
  auto ch = make_chan<Message>(static_cast<std::size_t>(random.below(3) * random.below(40)));
  Totals totals;
  WaitGroup sending, receiving;
  sending.add(senders);
  receiving.add(receivers);
  for (int r = 0; r < receivers; ++r)
    go([&, random = random.fork(), alone = random.once_in(2)] {
      consume(ch, senders, alone, random, totals);
      receiving.done();
    });
  for (int s = 0; s < senders; ++s)
    go([&, s, random = random.fork()] {
      produce(ch, s, count, random, totals);
      sending.done();
    });
  sending.wait();
  ch.close();
  receiving.wait();
  require(totals.sent == totals.received && totals.sum_sent == totals.sum_received,
          "channel: {} sent, {} received, sums {} and {}", totals.sent.load(),
          totals.received.load(), totals.sum_sent.load(), totals.sum_received.load());
}

// A token through a ring of unbuffered channels.
void ring(Random& random) {
  const int n = random.between(2, 20), laps = random.between(1, 30);
  std::vector<Chan<int>> links;
  for (int i = 0; i < n; ++i) links.push_back(make_chan<int>());
  WaitGroup wg;
  wg.add(n - 1);
  for (int i = 1; i < n; ++i)
    go([&wg, from = links[static_cast<std::size_t>(i - 1)],
        to = links[static_cast<std::size_t>(i)]] {
      for (const int token : from) to.send(token + 1);
      to.close();
      wg.done();
    });
  for (int lap = 0; lap < laps; ++lap) {
    links.front().send(0);
    const auto token = links.back().recv();
    require(token == n - 1, "ring of {}: the token is {}", n, token.value_or(-1));
  }
  links.front().close();
  require(!links.back().recv(), "ring: a value out of a closed channel");
  wg.wait();
}

// close() against senders and receivers that wait.
void closing(Random& random) {
  auto ch = make_chan<int>(static_cast<std::size_t>(random.below(3)));
  const int n = random.between(1, 8);
  std::atomic<int> sent{0}, refused{0}, received{0};
  WaitGroup wg;
  wg.add(2 * n);
  for (int i = 0; i < n; ++i) {
    go([&] {
      try {
        ch.send(1);
        ++sent;
      } catch (const Panic&) {
        ++refused;
      }
      wg.done();
    });
    go([&] {
      if (ch.recv()) ++received;
      wg.done();
    });
  }
  burn(random.below(20'000));
  ch.close();
  wg.wait();
  while (ch.try_recv()) ++received;
  require(sent + refused == n && received == sent, "close: {} sent, {} refused, {} received of {}",
          sent.load(), refused.load(), received.load(), n);
}

void round(Random& random) {
  switch (random.below(3)) {
    case 0: return stream(random);
    case 1: return ring(random);
    default: return closing(random);
  }
}

const Registered registered{{"channels", "streams, rings, close against waiters", &round}};

}  // namespace
}  // namespace treadle::stress
