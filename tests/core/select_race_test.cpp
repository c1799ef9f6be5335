// Races of select: windows held open by hand, and crowds.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <memory>
#include <numeric>
#include <optional>
#include <thread>
#include <vector>

#include <treadle/go.h>
#include <treadle/runtime.h>
#include <treadle/select.h>
#include <treadle/wait_group.h>

#include "core/never.h"
#include "runtime/chan_state.h"
#include "runtime/context_state.h"
#include "support/goroutine.h"

namespace treadle {
namespace {

using test::kNever;
using test::Task;
using namespace std::chrono_literals;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#elif defined(__has_feature)
constexpr bool kSanitized = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
constexpr bool kSanitized = false;
#endif
constexpr int kCases = kSanitized ? 1000 : 10'000;

// A select by a goroutine, driven from this plain thread. With the context's lock held it gets as
// far as its on_done case: it stands in all channels' queues and has not parked.
class SelectRaceWindow : public ::testing::Test {
 protected:
  template <class Select>
  void start(Select body) {
    ctx_.context.state()->source->lock.lock();
    go([this, body] {
      taken_ = static_cast<int>(body(ctx_.context));
      done_.close();
    });
  }
  static void wait_until_queued(const Chan<int>& ch) {
    while (ch.state()->receivers.empty() && ch.state()->senders.empty()) std::this_thread::yield();
  }
  void let_go() { ctx_.context.state()->source->lock.unlock(); }
  int result() {
    (void)done_.recv();
    test::expect_goroutines(before_);
    return taken_;
  }

  CancelableContext ctx_ = with_cancel(background());
  Chan<void*> done_ = make_chan<void*>();
  std::atomic<int> taken_{-1};
  std::uint64_t before_ = runtime_stats().goroutines;
};

TEST_F(SelectRaceWindow, ASendBeforeTheParkIsTaken) {
  auto a = make_chan<int>(), b = make_chan<int>();
  int got = 0;
  start([&](const Context& ctx) {
    return select(on_recv(a, [&](int v) { got = v; }), on_recv(b, kNever), on_done(ctx, kNever));
  });
  wait_until_queued(a);
  EXPECT_TRUE(a.try_send(1));
  EXPECT_FALSE(a.try_send(2));
  EXPECT_FALSE(b.try_send(3));  // its Sudog stands there still, and is claimed already
  let_go();
  EXPECT_EQ(result(), 0);
  EXPECT_EQ(got, 1);
}

TEST_F(SelectRaceWindow, AReceiveBeforeTheParkIsTaken) {
  auto a = make_chan<std::unique_ptr<int>>(), b = make_chan<std::unique_ptr<int>>();
  auto x = std::make_unique<int>(1), y = std::make_unique<int>(2);
  start([&](const Context& ctx) {
    return select(on_send(a, std::move(x)), on_send(b, std::move(y)), on_done(ctx, kNever));
  });
  while (b.state()->senders.empty() || a.state()->senders.empty()) std::this_thread::yield();
  EXPECT_EQ(**b.try_recv(), 2);
  EXPECT_FALSE(a.try_recv());
  let_go();
  EXPECT_EQ(result(), 1);
  EXPECT_TRUE(x);  // NOLINT(bugprone-use-after-move): by contract
}

TEST_F(SelectRaceWindow, ACloseBeforeTheParkIsSeen) {
  auto a = make_chan<int>(), b = make_chan<int>();
  bool empty = false;
  start([&](const Context& ctx) {
    return select(on_recv(a, [&](std::optional<int> v) { empty = !v; }), on_recv(b, kNever),
                  on_done(ctx, kNever));
  });
  wait_until_queued(a);
  a.close();
  b.close();
  let_go();
  EXPECT_EQ(result(), 0);
  EXPECT_TRUE(empty);
}

TEST_F(SelectRaceWindow, ACloseBeforeTheParkMakesASendPanic) {
  auto a = make_chan<int>();
  start([&](const Context& ctx) -> std::size_t {
    try {
      return select(on_send(a, 1), on_done(ctx, kNever));
    } catch (const Panic&) {
      return 77;
    }
  });
  wait_until_queued(a);
  a.close();
  let_go();
  EXPECT_EQ(result(), 77);
}

TEST_F(SelectRaceWindow, AnElementHandlerGoesOnWaitingAfterACloseBeforeThePark) {
  auto a = make_chan<int>(), b = make_chan<int>();
  start([&](const Context& ctx) {
    return select(on_recv(a, [](int) { ADD_FAILURE(); }), on_recv(b), on_done(ctx, kNever));
  });
  wait_until_queued(a);
  a.close();
  let_go();
  while (!b.try_send(5)) std::this_thread::yield();
  EXPECT_EQ(result(), 1);
}

TEST_F(SelectRaceWindow, ATimeoutBeforeTheParkIsTaken) {
  auto a = make_chan<int>();
  start([&](const Context& ctx) {
    return select(on_recv(a, kNever), on_done(ctx, kNever), on_timeout(1ns));
  });
  wait_until_queued(a);
  let_go();
  EXPECT_EQ(result(), 2);
  EXPECT_FALSE(a.try_send(1));
}

// The context wins; before the select has left the channel, somebody finds it there.
TEST_F(SelectRaceWindow, ALostCaseServesNobody) {
  auto a = make_chan<int>();
  start([&](const Context& ctx) { return select(on_recv(a, kNever), on_done(ctx)); });
  wait_until_queued(a);
  let_go();
  for (bool registered = false; !registered; std::this_thread::yield()) {
    rt::LockGuard hold(ctx_.context.state()->source->lock);
    registered = ctx_.context.state()->source->nodes != nullptr;
  }
  rt::Hchan* c = a.state();
  c->lock.lock();
  std::thread canceller([&] { ctx_.cancel(); });
  canceller.join();
  // Claimed by the context; it cannot leave the queue without this lock.
  EXPECT_FALSE(c->receivers.empty());
  int value = 1;
  rt::G* wake = nullptr;
  EXPECT_EQ(rt::send_locked(c, &value, &wake), detail::ChanStatus::would_block);
  EXPECT_EQ(wake, nullptr);
  c->lock.unlock();
  EXPECT_EQ(result(), 1);
}

// The one ready case is gone by the time its channel is locked: another one, or the default.
TEST_F(SelectRaceWindow, AReadyCaseThatVanishesIsNotTaken) {
  for (const bool with_default : {true, false}) {
    auto a = make_chan<int>(1), b = make_chan<int>(1);
    a.send(1);
    rt::Hchan* c = a.state();
    c->lock.lock();
    std::atomic<bool> begun{false};
    std::atomic<int> taken{-1};
    std::thread selecting([&] {
      begun = true;
      taken = static_cast<int>(with_default ? select(on_recv(a, kNever), on_default())
                                            : select(on_recv(a, kNever), on_recv(b)));
    });
    while (!begun) std::this_thread::yield();
    for (int i = 0; i < 10; ++i) std::this_thread::yield();
    int drained = 0;
    rt::G* wake = nullptr;
    EXPECT_EQ(rt::recv_locked(c, &drained, &wake), detail::ChanStatus::ok);
    c->lock.unlock();
    if (!with_default) b.send(2);
    selecting.join();
    EXPECT_EQ(taken, 1);
  }
}

// At every moment one of the two channels is ready: the default must not be taken.
TEST(SelectRaceDefault, SeesOneMomentOfAllChannels) {
  test::run([] {
    for (const bool close : {false, true})
      for (int i = 0; i < kCases; ++i) {
        auto c1 = make_chan<int>(1), c2 = make_chan<int>(1);
        c1.send(1);
        Task looking([&] { EXPECT_LT(select(on_recv(c1), on_recv(c2), on_default()), 2u); });
        if (close)
          c2.close();
        else
          c2.send(1);
        (void)c1.try_recv();
      }
  });
}

TEST(SelectRaceDefault, SeesAnElementOrTheClose) {
  test::run([] {
    for (int i = 0; i < kCases; ++i) {
      auto c = make_chan<int>(1);
      c.send(1);
      Task looking([&] { EXPECT_EQ(select(on_recv(c), on_default()), 0u); });
      c.close();
      (void)c.recv();
    }
  });
}

// A select must take one case: no value may come through two of four channels.
TEST(SelectRaceOnce, NoValueIsSentTwice) {
  test::run([] {
    std::array<Chan<int>, 4> c;
    for (auto& ch : c) ch = make_chan<int>();
    auto merged = make_chan<int>();
    go([c] {
      for (int i = 0; i < kCases; ++i)
        select(on_send(c[0], i), on_send(c[1], i), on_send(c[2], i), on_send(c[3], i));
      for (auto& ch : c) ch.close();
    });
    Task all([&] {
      WaitGroup muxes;
      for (auto& ch : c) {
        muxes.add(1);
        go([&muxes, merged, ch] {
          for (int v : ch) merged.send(v);
          muxes.done();
        });
      }
      muxes.wait();
      merged.close();
    });
    std::vector<int> seen(kCases);
    for (int v : merged) ++seen[static_cast<std::size_t>(v)];
    EXPECT_TRUE(std::all_of(seen.begin(), seen.end(), [](int n) { return n == 1; }));
  });
}

// Go's stress: senders, receivers, a select that sends on all and one that receives from all.
TEST(SelectRaceStress, PlainAndSelectedOperationsMeet) {
  test::run([] {
    std::array<Chan<int>, 4> c{make_chan<int>(), make_chan<int>(), make_chan<int>(2),
                               make_chan<int>(3)};
    WaitGroup all;
    const auto start = [&](auto body) {
      all.add(1);
      go([&all, body] {
        body();
        all.done();
      });
    };
    for (auto& ch : c) {
      start([ch] {
        for (int i = 0; i < kCases; ++i) ch.send(0);
      });
      start([ch] {
        for (int i = 0; i < kCases; ++i) (void)ch.recv();
      });
    }
    start([c] {
      auto left = c;
      std::array<int, 4> n{};
      for (int i = 0; i < 4 * kCases; ++i) {
        const std::size_t k = 3 - select(on_send(left[3], 0), on_send(left[2], 0),
                                         on_send(left[1], 0), on_send(left[0], 0));
        if (++n[k] == kCases) left[k] = {};
      }
    });
    start([c] {
      auto left = c;
      std::array<int, 4> n{};
      for (int i = 0; i < 4 * kCases; ++i) {
        const std::size_t k =
            select(on_recv(left[0]), on_recv(left[1]), on_recv(left[2]), on_recv(left[3]));
        if (++n[k] == kCases) left[k] = {};
      }
    });
    all.wait();
    for (auto& ch : c) EXPECT_EQ(ch.size(), 0u);
  });
}

// Shared by a crowd that sends and receives by selects with every other kind of case.
struct Crowd {
  static constexpr int kChannels = 5;
  std::array<Chan<int>, kChannels> channels;
  std::atomic<int> next{0};
  std::vector<std::atomic<int>> seen = std::vector<std::atomic<int>>(5 * kCases);
  std::atomic<int> sent{0};

  Crowd() {
    for (std::size_t i = 0; i < kChannels; ++i) channels[i] = make_chan<int>(i % 3);
  }
  void took(std::optional<int> v) {
    if (v) ++seen[static_cast<std::size_t>(*v)];
  }
  // Sends one value to, or receives one from, any of two channels; gives up at times.
  void step(const Context& ctx, std::uint32_t& random) {
    random = random * 1664525 + 1013904223;
    const auto& a = channels[(random >> 8) % kChannels];
    const auto& b = channels[(random >> 16) % kChannels];
    const auto take = [this](std::optional<int> v) { took(v); };
    const int value = next++;
    const auto count = [this] { ++sent; };
    switch ((random >> 24) % 5) {
      case 0: select(on_send(a, value, count), on_recv(b, take), on_done(ctx)); break;
      case 1:
        select(on_recv(a, take), on_done(ctx), on_timeout(20us), on_send(b, value, count));
        break;
      case 2: select(on_recv(a, take), on_recv(b, take), on_timeout(50us), on_done(ctx)); break;
      case 3: select(on_send(a, value, count), on_recv(a, take), on_default()); break;
      case 4:
        if (a.send(value, ctx)) ++sent;
        break;
    }
  }
  // So that the plain sends never are all there is.
  void drain(const Context& ctx) {
    const auto take = [this](std::optional<int> v) { took(v); };
    while (!ctx.done())
      select(on_recv(channels[0], take), on_recv(channels[1], take), on_recv(channels[2], take),
             on_recv(channels[3], take), on_recv(channels[4], take), on_done(ctx));
  }
  // Everything that was sent is in a buffer or was received, once.
  void settle() {
    for (auto& ch : channels)
      while (auto v = ch.try_recv()) took(v);
    int received = 0;
    for (auto& n : seen) {
      EXPECT_LE(n, 1);
      received += n;
    }
    EXPECT_EQ(received, sent);
  }
};

TEST(SelectRaceStress, CrowdsLoseAndDoubleNothing) {
  Crowd crowd;
  test::run([&] {
    constexpr std::uint32_t kSelectors = 24;
    auto [ctx, cancel] = with_cancel(background());
    WaitGroup all;
    std::atomic<int> steps{0};
    Task drain([&] { crowd.drain(ctx); });
    for (std::uint32_t s = 0; s < kSelectors; ++s) {
      all.add(1);
      go([&, s] {
        std::uint32_t random = s * 7919 + 1;
        while (!ctx.done() && steps++ < 4 * kCases) crowd.step(ctx, random);
        all.done();
      });
    }
    while (steps < 4 * kCases) (void)sleep(100us);
    cancel();
    all.wait();
  });
  crowd.settle();
}

TEST(SelectRaceStress, CrowdsOfPlainThreadsToo) {
  Crowd crowd;
  test::run([&] {
    auto [ctx, cancel] = with_cancel(background());
    WaitGroup all;
    std::atomic<int> steps{0};
    Task drain([&] { crowd.drain(ctx); });
    const auto body = [&](std::uint32_t s) {
      std::uint32_t random = s * 7919 + 1;
      while (!ctx.done() && steps++ < kCases) crowd.step(ctx, random);
      all.done();
    };
    all.add(12);
    std::vector<std::jthread> threads;
    for (std::uint32_t s = 0; s < 4; ++s) threads.emplace_back([&body, s] { body(s); });
    for (std::uint32_t s = 4; s < 12; ++s) go([&body, s] { body(s); });
    while (steps < kCases) (void)sleep(100us);
    cancel();
    all.wait();
  });
  crowd.settle();
}

// Receivers of a channel that is closed under them, each also waiting for another close.
TEST(SelectRaceClose, EveryWaiterIsWokenOnce) {
  test::run([] {
    for (int round = 0; round < kCases / 50; ++round) {
      std::array<Chan<int>, 3> c{make_chan<int>(), make_chan<int>(1), make_chan<int>()};
      std::atomic<int> ended{0}, received{0};
      WaitGroup all;
      for (int r = 0; r < 8; ++r) {
        all.add(1);
        go([&] {
          auto mine = c;
          for (int open = 3; open > 0;) {
            const auto on = [&](std::size_t k) {
              return [&, k](std::optional<int> v) {
                if (v) {
                  ++received;
                } else {
                  mine[k] = {};
                  --open;
                }
              };
            };
            select(on_recv(mine[0], on(0)), on_recv(mine[1], on(1)), on_recv(mine[2], on(2)));
          }
          ++ended;
          all.done();
        });
      }
      for (int i = 0; i < round % 20; ++i) c[static_cast<std::size_t>(i % 3)].send(i);
      for (auto& ch : c) {
        ch.close();
        if (round % 2) gosched();
      }
      all.wait();
      ASSERT_EQ(ended, 8);
      ASSERT_EQ(received, round % 20);
    }
  });
}

// What a select with a cancel on its way reports as received was sent, and the other way round.
TEST(SelectRaceCancel, DeliversOrDoesNot) {
  test::run([] {
    for (int round = 0; round < kCases / 5; ++round) {
      auto ch = make_chan<int>();
      auto [ctx, cancel] = with_cancel(background());
      int received = 0, sent = 0;
      Task receiver([&] { select(on_recv(ch, [&](int) { ++received; }), on_done(ctx)); });
      Task sender([&] { select(on_send(ch, 1, [&] { ++sent; }), on_done(ctx)); });
      for (int k = 0; k < round % 4; ++k) gosched();
      cancel();
      receiver.join();
      sender.join();
      ASSERT_EQ(received, sent);
    }
  });
}

}  // namespace
}  // namespace treadle
