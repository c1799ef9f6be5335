#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <treadle/chan.h>
#include <treadle/go.h>
#include <treadle/wait_group.h>

#include "support/goroutine.h"

namespace treadle {
namespace {

using test::Task;
using namespace std::chrono_literals;

class ChanOfCapacity : public ::testing::TestWithParam<std::size_t> {};
INSTANTIATE_TEST_SUITE_P(ChanOf, ChanOfCapacity, ::testing::Values(0, 1, 2, 10, 100));

TEST_P(ChanOfCapacity, RecvOnEmptyWaits) {
  test::run([] {
    auto ch = make_chan<int>(GetParam());
    EXPECT_FALSE(ch.try_recv());
    Task receiver([&] { EXPECT_EQ(ch.recv(), 7); });
    receiver.wait_until_parked();
    EXPECT_FALSE(receiver.done());
    ch.send(7);
  });
}

TEST_P(ChanOfCapacity, SendOnFullWaits) {
  test::run([] {
    auto ch = make_chan<int>(GetParam());
    for (int i = 0; i < static_cast<int>(GetParam()); ++i) ch.send(i);
    EXPECT_FALSE(ch.try_send(-1));
    EXPECT_EQ(ch.size(), GetParam());
    EXPECT_EQ(ch.capacity(), GetParam());
    Task sender([&] { ch.send(static_cast<int>(GetParam())); });
    sender.wait_until_parked();
    EXPECT_FALSE(sender.done());
    for (int i = 0; i <= static_cast<int>(GetParam()); ++i) EXPECT_EQ(ch.recv(), i);
    EXPECT_EQ(ch.size(), 0u);
  });
}

TEST_P(ChanOfCapacity, KeepsTheOrderOfOneSender) {
  test::run([] {
    auto ch = make_chan<int>(GetParam());
    Task sender([&] {
      for (int i = 0; i < 2000; ++i) ch.send(i);
      ch.close();
    });
    int next = 0;
    for (int v : ch) ASSERT_EQ(v, next++);
    EXPECT_EQ(next, 2000);
  });
}

TEST_P(ChanOfCapacity, ManySendersAndReceiversLoseAndDoubleNothing) {
  constexpr int kSenders = 4, kReceivers = 4, kEach = 1000;
  test::run([] {
    auto ch = make_chan<int>(GetParam());
    std::vector<std::atomic<int>> seen(kSenders * kEach);
    WaitGroup senders, receivers;
    for (int s = 0; s < kSenders; ++s) {
      senders.add(1);
      go([&, s] {
        for (int i = 0; i < kEach; ++i) ch.send(s * kEach + i);
        senders.done();
      });
    }
    for (int r = 0; r < kReceivers; ++r) {
      receivers.add(1);
      go([&] {
        std::array<int, kSenders> last;
        last.fill(-1);
        while (auto v = ch.recv()) {
          ++seen[static_cast<std::size_t>(*v)];
          // What one receiver gets of one sender is in that sender's order.
          int& before = last[static_cast<std::size_t>(*v / kEach)];
          EXPECT_LT(before, *v % kEach);
          before = *v % kEach;
        }
        receivers.done();
      });
    }
    senders.wait();
    ch.close();
    receivers.wait();
    for (auto& n : seen) ASSERT_EQ(n, 1);
  });
}

TEST_P(ChanOfCapacity, ClosedGivesWhatIsBufferedThenEmpty) {
  test::run([] {
    auto ch = make_chan<int>(GetParam());
    for (int i = 0; i < static_cast<int>(GetParam()); ++i) ch.send(i);
    ch.close();
    for (int i = 0; i < static_cast<int>(GetParam()); ++i)
      EXPECT_EQ(i % 2 ? ch.recv() : ch.try_recv(), i);
    EXPECT_FALSE(ch.recv());
    EXPECT_FALSE(ch.try_recv());
    EXPECT_FALSE(ch.recv());
    const auto r = ch.recv(background());
    ASSERT_TRUE(r);
    EXPECT_FALSE(*r);
  });
}

TEST_P(ChanOfCapacity, CloseWakesEveryReceiver) {
  test::run([] {
    auto ch = make_chan<int>(GetParam());
    std::vector<std::unique_ptr<Task>> receivers;
    for (int i = 0; i < 10; ++i)
      receivers.push_back(std::make_unique<Task>([&] { EXPECT_FALSE(ch.recv()); }));
    for (auto& r : receivers) r->wait_until_parked();
    ch.close();
  });
}

TEST_P(ChanOfCapacity, CloseMakesEveryWaitingSenderPanic) {
  test::run([] {
    auto ch = make_chan<int>(GetParam());
    for (int i = 0; i < static_cast<int>(GetParam()); ++i) ch.send(i);
    std::vector<std::unique_ptr<Task>> senders;
    for (int i = 0; i < 10; ++i)
      senders.push_back(std::make_unique<Task>([&] { EXPECT_THROW(ch.send(-1), Panic); }));
    for (auto& s : senders) s->wait_until_parked();
    ch.close();
    for (auto& s : senders) s->join();
    // Nothing of what they tried to send is there.
    for (int i = 0; i < static_cast<int>(GetParam()); ++i) EXPECT_EQ(ch.recv(), i);
    EXPECT_FALSE(ch.recv());
  });
}

TEST_P(ChanOfCapacity, SendOnClosedPanics) {
  test::run([] {
    auto ch = make_chan<int>(GetParam());
    ch.close();
    EXPECT_THROW(ch.send(1), Panic);
    EXPECT_THROW((void)ch.try_send(1), Panic);
    EXPECT_THROW((void)ch.send(1, background()), Panic);
  });
}

TEST(ChanClose, OfClosedPanicsAndOfNilToo) {
  auto ch = make_chan<int>();
  ch.close();
  EXPECT_THROW(ch.close(), Panic);
  EXPECT_THROW(Chan<int>().close(), Panic);
}

TEST(ChanClose, FromAnotherGoroutineWakesARangeLoop) {
  test::run([] {
    auto ch = make_chan<int>();
    int sum = 0;
    Task loop([&] {
      for (int v : ch) sum += v;
    });
    for (int i = 1; i <= 10; ++i) ch.send(i);
    ch.close();
    loop.join();
    EXPECT_EQ(sum, 55);
  });
}

TEST(ChanQueue, ReceiversAreServedInTheOrderTheyCame) {
  test::run([] {
    auto ch = make_chan<int>();
    std::vector<std::unique_ptr<Task>> receivers;
    for (int i = 0; i < 20; ++i) {
      receivers.push_back(std::make_unique<Task>([&, i] { EXPECT_EQ(ch.recv(), i); }));
      receivers.back()->wait_until_parked();
    }
    for (int i = 0; i < 20; ++i) ch.send(i);
  });
}

TEST(ChanQueue, SendersAreServedInTheOrderTheyCame) {
  test::run([] {
    for (std::size_t capacity : {0u, 3u}) {
      auto ch = make_chan<int>(capacity);
      for (int i = 0; i < static_cast<int>(capacity); ++i) ch.send(i);
      std::vector<std::unique_ptr<Task>> senders;
      for (int i = 0; i < 20; ++i) {
        senders.push_back(
            std::make_unique<Task>([&, i] { ch.send(i + static_cast<int>(capacity)); }));
        senders.back()->wait_until_parked();
      }
      for (int i = 0; i < 20 + static_cast<int>(capacity); ++i) EXPECT_EQ(ch.recv(), i);
    }
  });
}

TEST(ChanTry, SendMeetsAWaitingReceiver) {
  test::run([] {
    auto ch = make_chan<int>();
    EXPECT_FALSE(ch.try_send(1));
    Task receiver([&] { EXPECT_EQ(ch.recv(), 2); });
    receiver.wait_until_parked();
    EXPECT_TRUE(ch.try_send(2));
    EXPECT_FALSE(ch.try_send(3));
  });
}

TEST(ChanTry, RecvMeetsAWaitingSender) {
  test::run([] {
    auto ch = make_chan<int>();
    Task sender([&] { ch.send(1); });
    sender.wait_until_parked();
    EXPECT_EQ(ch.try_recv(), 1);
    EXPECT_FALSE(ch.try_recv());
  });
}

TEST(ChanTry, RefusedSendLeavesTheValue) {
  auto ch = make_chan<std::unique_ptr<int>>(1);
  ASSERT_TRUE(ch.try_send(std::make_unique<int>(1)));
  auto second = std::make_unique<int>(2);
  EXPECT_FALSE(ch.try_send(std::move(second)));
  ASSERT_TRUE(second != nullptr);
  EXPECT_EQ(*second, 2);
  EXPECT_EQ(**ch.try_recv(), 1);
  EXPECT_TRUE(ch.try_send(std::move(second)));
  EXPECT_TRUE(second == nullptr);
}

TEST(ChanTry, CopySendKeepsTheOriginal) {
  auto ch = make_chan<std::string>(1);
  const std::string text(100, 'x');
  EXPECT_TRUE(ch.try_send(text));
  EXPECT_EQ(ch.try_recv(), text);
}

TEST(ChanNil, TriesFailAndWaitsEndOnlyByContext) {
  test::run([] {
    const Chan<int> nil;
    EXPECT_FALSE(nil);
    EXPECT_EQ(nil.size(), 0u);
    EXPECT_EQ(nil.capacity(), 0u);
    EXPECT_FALSE(nil.try_recv());
    EXPECT_FALSE(nil.try_send(1));
    auto [ctx, cancel] = with_cancel(background());
    Task receiver([&] { EXPECT_EQ(nil.recv(ctx).error(), Errc::canceled); });
    Task sender([&] { EXPECT_EQ(nil.send(1, ctx).error(), Errc::canceled); });
    receiver.wait_until_parked();
    sender.wait_until_parked();
    cancel();
  });
}

TEST(ChanHandle, CopiesAreTheSameChannel) {
  auto a = make_chan<int>(1);
  const Chan<int> b = a;
  EXPECT_EQ(a, b);
  EXPECT_NE(a, make_chan<int>(1));
  EXPECT_TRUE(a.try_send(3));
  Chan<int> c = std::move(a);
  EXPECT_EQ(b.try_recv(), 3);
  EXPECT_EQ(c, b);
  EXPECT_FALSE(a);  // NOLINT(bugprone-use-after-move): moved from is nil, by contract
  a = c;
  EXPECT_EQ(a, b);
}

TEST(ChanMake, AbsurdCapacityPanics) {
  struct Kilobyte {
    char bytes[1024];
  };
  EXPECT_THROW((void)make_chan<Kilobyte>(SIZE_MAX / 16), Panic);
  EXPECT_THROW((void)make_chan<std::uint64_t>(SIZE_MAX), Panic);
  EXPECT_THROW((void)make_chan<char>(std::size_t{1} << 48), Panic);
}

TEST(ChanContext, CancelEndsAWaitAndNothingIsDelivered) {
  test::run([] {
    auto ch = make_chan<int>();
    auto [ctx, cancel] = with_cancel(background());
    Task sender([&] { EXPECT_EQ(ch.send(1, ctx).error(), Errc::canceled); });
    sender.wait_until_parked();
    Task later([&] { ch.send(2); });
    later.wait_until_parked();
    cancel();
    sender.join();
    EXPECT_EQ(ch.recv(), 2);

    Task receiver([&] { EXPECT_EQ(ch.recv(ctx).error(), Errc::canceled); });
    receiver.join();
    EXPECT_FALSE(ch.try_send(3));  // no dead receiver is left in the queue
  });
}

TEST(ChanContext, DeadlineEndsAWait) {
  test::run([] {
    auto full = make_chan<int>(1);
    full.send(0);
    auto [ctx, cancel] = with_timeout(background(), 1ms);
    EXPECT_EQ(full.send(1, ctx).error(), Errc::timed_out);
    EXPECT_EQ(make_chan<int>().recv(ctx).error(), Errc::timed_out);
    EXPECT_EQ(full.size(), 1u);
  });
}

TEST(ChanContext, CurrentContextIsNotAskedUntold) {
  test::run([] {
    auto [ctx, cancel] = with_cancel(background());
    cancel();
    const ContextScope scope(ctx);
    auto ch = make_chan<int>();
    Task sender([&] { ch.send(4); });
    EXPECT_EQ(ch.recv(), 4);
  });
}

// Each stage takes the first number it sees as its prime and passes on what that does not divide.
TEST(ChanPipeline, PrimeSieveFindsPrimes) {
  test::run([] {
    auto numbers = make_chan<int>();
    go([numbers] {
      for (int i = 2; i < 600; ++i) numbers.send(i);
      numbers.close();
    });
    std::vector<int> primes;
    for (auto stage = numbers;;) {
      const auto prime = stage.recv();
      if (!prime) break;
      primes.push_back(*prime);
      auto next = make_chan<int>();
      go([stage, next, p = *prime] {
        for (int n : stage)
          if (n % p != 0) next.send(n);
        next.close();
      });
      stage = next;
    }
    ASSERT_EQ(primes.size(), 109u);
    EXPECT_EQ(primes.back(), 599);
  });
}

// A daisy chain: each link takes its turn, then the element that is meant for it.
TEST(ChanPipeline, ChainedReceiversGetTheElementsInOrder) {
  test::run([] {
    auto elements = make_chan<int>();
    auto start = make_chan<int>();
    auto turn = start;
    for (int i = 0; i < 10; ++i) {
      auto next = make_chan<int>();
      go([elements, turn, next, i] {
        (void)turn.recv();
        EXPECT_EQ(elements.recv(), i);
        next.send(1);
      });
      turn = next;
    }
    start.send(0);
    for (int i = 0; i < 10; ++i) elements.send(i);
    EXPECT_EQ(turn.recv(), 1);
  });
}

TEST(ChanPipeline, OneValuePassesThroughThousandsOfGoroutines) {
  test::run([] {
    constexpr int kLinks = 5000;
    const auto leftmost = make_chan<int>();
    auto left = leftmost;
    for (int i = 0; i < kLinks; ++i) {
      auto right = make_chan<int>();
      go([left, right] { left.send(*right.recv() + 1); });
      left = right;
    }
    go([left] { left.send(0); });
    EXPECT_EQ(leftmost.recv(), kLinks);
  });
}

TEST(ChanPipeline, ManyWorkersPassEverythingOnOnce) {
  test::run([] {
    constexpr int kWorkers = 23, kItems = 20'000;
    constexpr std::array kValues = {2, 3, 7, 11, 13, 17, 19, 23, 27, 31};
    auto in = make_chan<int>(3 * kWorkers), out = make_chan<int>(3 * kWorkers);
    WaitGroup workers;
    for (std::size_t w = 0; w < kWorkers; ++w) {
      workers.add(1);
      go([&, w] {
        for (int v : in) {
          if (kValues[w % kValues.size()] == v) gosched();  // upsets the order
          out.send(v);
        }
        workers.done();
      });
    }
    int expected = 0;
    Task feeder([&] {
      for (std::size_t i = 0; i < kItems; ++i) {
        expected += kValues[i % kValues.size()];
        in.send(kValues[i % kValues.size()]);
      }
      in.close();
      workers.wait();
      out.close();
    });
    int count = 0, sum = 0;
    for (int v : out) {
      ++count;
      sum += v;
    }
    feeder.join();
    EXPECT_EQ(count, kItems);
    EXPECT_EQ(sum, expected);
  });
}

TEST(ChanPipeline, ChannelsTravelThroughChannels) {
  test::run([] {
    auto requests = make_chan<Chan<int>>(1);
    Task server([&] {
      for (const auto& reply : requests) reply.send(2);
    });
    for (int i = 0; i < 100; ++i) {
      auto reply = make_chan<int>(i % 2);
      requests.send(reply);
      EXPECT_EQ(reply.recv(), 2);
    }
    requests.close();
  });
}

// Many goroutines on few channels, one element each at a time.
TEST(ChanPipeline, ACrowdOnOneBufferAsASemaphore) {
  test::run([] {
    auto semaphore = make_chan<int>(4);
    std::atomic<int> inside{0}, most{0};
    WaitGroup all;
    for (int i = 0; i < 500; ++i) {
      all.add(1);
      go([&] {
        semaphore.send(0);
        const int now = ++inside;
        int seen = most;
        while (now > seen && !most.compare_exchange_weak(seen, now)) {
        }
        gosched();
        --inside;
        (void)semaphore.recv();
        all.done();
      });
    }
    all.wait();
    EXPECT_LE(most, 4);
    EXPECT_EQ(semaphore.size(), 0u);
  });
}

// A non-blocking attempt sees what has happened before it: the element, or the end.
TEST(ChanTry, RecvRacingWithCloseFindsTheElement) {
  test::run([] {
    for (int i = 0; i < 2000; ++i) {
      auto ch = make_chan<int>(1);
      ch.send(1);
      Task looking([&] { EXPECT_TRUE(ch.try_recv()); });
      ch.close();
    }
  });
}

TEST(ChanTry, PollingSendersAndReceiversMeet) {
  test::run([] {
    for (std::size_t capacity : {0u, 1u}) {
      auto ch = make_chan<std::string>(capacity);
      Task receiver([&] { EXPECT_EQ(ch.recv(), "hello"); });
      while (!ch.try_send("hello")) gosched();
      receiver.join();
      Task sender([&] { ch.send("hello again"); });
      std::optional<std::string> got;
      while (!(got = ch.try_recv())) gosched();
      EXPECT_EQ(got, "hello again");
    }
  });
}

}  // namespace
}  // namespace treadle
