#include <gtest/gtest.h>

#include <malloc.h>
#include <stdlib.h>

#include <array>
#include <cmath>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <treadle/go.h>
#include <treadle/runtime.h>
#include <treadle/select.h>

#include "core/never.h"
#include "support/goroutine.h"

namespace treadle {
namespace {

using test::kNever;
using test::Task;
using namespace std::chrono_literals;

// Every test of one ready case both for a channel that buffers and for one that does not.
class SelectOfCapacity : public ::testing::TestWithParam<std::size_t> {};
INSTANTIATE_TEST_SUITE_P(SelectOf, SelectOfCapacity, ::testing::Values(0, 1, 3));

TEST(Select, TakesTheReadyReceiveAndReturnsItsIndex) {
  test::run([] {
    auto empty = make_chan<int>(1), full = make_chan<int>(1);
    full.send(7);
    int got = 0;
    EXPECT_EQ(select(on_recv(empty, kNever), on_recv(full, [&](int v) { got = v; })), 1u);
    EXPECT_EQ(got, 7);
    EXPECT_EQ(full.size(), 0u);
  });
}

TEST(Select, TakesTheReadySend) {
  test::run([] {
    auto full = make_chan<int>(1), room = make_chan<int>(1);
    full.send(1);
    bool sent = false;
    EXPECT_EQ(select(on_send(full, 2, kNever), on_send(room, 3, [&] { sent = true; })), 1u);
    EXPECT_TRUE(sent);
    EXPECT_EQ(room.try_recv(), 3);
    EXPECT_EQ(full.try_recv(), 1);
    EXPECT_FALSE(full.try_recv());
  });
}

TEST(Select, HandlersAreOptional) {
  test::run([] {
    auto ch = make_chan<int>(1);
    EXPECT_EQ(select(on_send(ch, 1)), 0u);
    EXPECT_EQ(select(on_recv(ch), on_done(background())), 0u);
    EXPECT_EQ(select(on_recv(ch), on_default()), 1u);
    EXPECT_EQ(select(on_timeout(0s)), 0u);
    EXPECT_EQ(select(on_deadline(Deadline::after(0s))), 0u);
  });
}

TEST_P(SelectOfCapacity, ParkedReceiveIsServedByAPlainSend) {
  test::run([] {
    auto a = make_chan<int>(GetParam()), b = make_chan<int>(GetParam());
    Task selecting([&] {
      EXPECT_EQ(select(on_recv(a, kNever), on_recv(b, [](int v) { EXPECT_EQ(v, 5); })), 1u);
    });
    selecting.wait_until_parked();
    b.send(5);
    selecting.join();
    // It has left the other queue.
    EXPECT_EQ(a.try_send(1), GetParam() > 0);
  });
}

TEST_P(SelectOfCapacity, ParkedSendIsServedByAPlainReceive) {
  test::run([] {
    auto a = make_chan<int>(GetParam()), b = make_chan<int>(GetParam());
    const int filled = static_cast<int>(GetParam());
    for (int i = 0; i < filled; ++i) {
      a.send(-1);
      b.send(i);
    }
    Task selecting([&] { EXPECT_EQ(select(on_send(a, 1, kNever), on_send(b, filled)), 1u); });
    selecting.wait_until_parked();
    for (int i = 0; i <= filled; ++i) EXPECT_EQ(b.recv(), i);
    selecting.join();
    for (int i = 0; i < filled; ++i) EXPECT_EQ(a.try_recv(), -1);
    EXPECT_FALSE(a.try_recv());
  });
}

// Plain operations, selects of one case and selects of two, in each pair (Go's select7).
TEST(Select, MeetsPlainOperationsAndOtherSelects) {
  using Side = void (*)(Chan<int>);
  const auto receives = std::to_array<Side>({
      [](Chan<int> ch) { EXPECT_EQ(ch.recv(), 1); },
      [](Chan<int> ch) { select(on_recv(ch, [](int v) { EXPECT_EQ(v, 1); })); },
      [](Chan<int> ch) {
        select(on_recv(ch, [](int v) { EXPECT_EQ(v, 1); }), on_recv(make_chan<int>(), kNever));
      },
  });
  const auto sends = std::to_array<Side>({
      [](Chan<int> ch) { ch.send(1); },
      [](Chan<int> ch) { select(on_send(ch, 1)); },
      [](Chan<int> ch) { select(on_send(make_chan<int>(), 2, kNever), on_send(ch, 1)); },
  });
  test::run([&] {
    for (Side receive : receives)
      for (Side send : sends)
        for (bool receiver_first : {true, false}) {
          auto ch = make_chan<int>();
          Task first([&] { (receiver_first ? receive : send)(ch); });
          first.wait_until_parked();
          (receiver_first ? send : receive)(ch);
        }
  });
}

TEST(Select, DefaultIsTakenOnlyWhenNothingIsReady) {
  test::run([] {
    auto ch = make_chan<int>(1);
    bool idle = false;
    EXPECT_EQ(select(on_recv(ch, kNever), on_default([&] { idle = true; })), 1u);
    EXPECT_TRUE(idle);
    EXPECT_EQ(select(on_send(ch, 1), on_default(kNever)), 0u);
    EXPECT_EQ(select(on_default(kNever), on_recv(ch, [](int v) { EXPECT_EQ(v, 1); })), 1u);
    EXPECT_EQ(select(on_default()), 0u);
    auto full = make_chan<int>(1);
    full.send(2);
    EXPECT_EQ(select(on_recv(ch, kNever), on_default(), on_send(full, 1, kNever)), 1u);
    Task receiver([&] { EXPECT_EQ(ch.recv(), 3); });
    receiver.wait_until_parked();
    EXPECT_EQ(select(on_default(kNever), on_send(ch, 3)), 1u);
  });
}

TEST(Select, NilChannelsAreNeverReady) {
  test::run([] {
    const Chan<int> nil;
    EXPECT_EQ(select(on_recv(nil, kNever), on_send(nil, 1, kNever), on_default()), 2u);
    auto ch = make_chan<int>(1);
    EXPECT_EQ(select(on_recv(nil, kNever), on_send(ch, 1), on_send(nil, 1, kNever)), 1u);
    // Two sends into channels that are nil once they have taken theirs (Go's select.go).
    auto a = make_chan<int>(1), b = make_chan<int>(1);
    auto x = a, y = b;
    int sent = 0;
    for (bool more = true; more;)
      select(on_send(x, 1, [&] { x = {}, ++sent; }), on_send(y, 2, [&] { y = {}, ++sent; }),
             on_default([&] { more = false; }));
    EXPECT_EQ(sent, 2);
    EXPECT_EQ(*a.recv() + *b.recv(), 3);
  });
}

TEST(SelectClosed, HandlersSayWhatTheyWantToKnow) {
  test::run([] {
    auto ch = make_chan<std::string>(1);
    ch.send("last");
    ch.close();
    std::vector<std::optional<std::string>> seen;
    const auto record = [&](std::optional<std::string> v) { seen.push_back(std::move(v)); };
    EXPECT_EQ(select(on_recv(ch, record)), 0u);
    EXPECT_EQ(select(on_recv(ch, record)), 0u);
    EXPECT_EQ(seen, (std::vector<std::optional<std::string>>{"last", std::nullopt}));
    int calls = 0;
    EXPECT_EQ(select(on_recv(ch, [&] { ++calls; })), 0u);
    EXPECT_EQ(calls, 1);
    select(on_recv(ch, [&](auto v) { EXPECT_FALSE(v.has_value()); }));
  });
}

TEST_P(SelectOfCapacity, CloseWakesAParkedReceiveWithAnEmptyOptional) {
  test::run([] {
    auto a = make_chan<int>(GetParam()), b = make_chan<int>(GetParam());
    Task selecting([&] {
      bool closed = false;
      EXPECT_EQ(select(on_recv(a, kNever), on_recv(b, [&](std::optional<int> v) { closed = !v; })),
                1u);
      EXPECT_TRUE(closed);
    });
    selecting.wait_until_parked();
    b.close();
  });
}

TEST(SelectClosed, ElementHandlersLeaveAClosedChannelOut) {
  test::run([] {
    auto ch = make_chan<int>(2), other = make_chan<int>();
    ch.send(1);
    ch.close();
    const auto element = [](int v) { EXPECT_EQ(v, 1); };
    EXPECT_EQ(select(on_recv(ch, element), on_recv(other, kNever)), 0u);
    EXPECT_EQ(select(on_recv(ch, element), on_default()), 1u);
    EXPECT_EQ(select(on_recv(ch, element), on_timeout(1us)), 1u);
    Task selecting([&] { EXPECT_EQ(select(on_recv(ch, element), on_recv(other)), 1u); });
    selecting.wait_until_parked();
    other.send(2);
  });
}

TEST(SelectClosed, CloseDuringTheWaitLeavesAnElementHandlersCaseOut) {
  test::run([] {
    auto a = make_chan<int>(), b = make_chan<int>();
    auto [ctx, cancel] = with_cancel(background());
    Task selecting([&] {
      EXPECT_EQ(select(on_recv(a, [](int) { ADD_FAILURE(); }), on_recv(b, kNever), on_done(ctx)),
                2u);
    });
    selecting.wait_until_parked();
    a.close();
    selecting.wait_until_parked();
    EXPECT_FALSE(selecting.done());
    cancel();
  });
}

TEST(SelectClosed, PanicsWhenNothingIsLeftForElementHandlers) {
  test::run([] {
    auto a = make_chan<int>(), b = make_chan<int>();
    a.close();
    const Chan<int> nil;
    const auto element = [](int) { ADD_FAILURE(); };
    EXPECT_THROW(select(on_recv(a, element)), Panic);
    EXPECT_THROW(select(on_recv(a, element), on_recv(nil), on_done(background())), Panic);
    Task selecting([&] { EXPECT_THROW(select(on_recv(a, element), on_recv(b, element)), Panic); });
    selecting.wait_until_parked();
    b.close();
  });
}

TEST_P(SelectOfCapacity, SendOnClosedPanicsAlsoDuringTheWait) {
  test::run([] {
    auto ch = make_chan<int>(GetParam()), other = make_chan<int>();
    for (int i = 0; i < static_cast<int>(GetParam()); ++i) ch.send(i);
    Task selecting([&] {
      try {
        select(on_recv(other, kNever), on_send(ch, 1, kNever));
        ADD_FAILURE();
      } catch (const Panic& p) {
        EXPECT_STREQ(p.what(), "treadle::select: case 1 sends on a closed channel");
      }
    });
    selecting.wait_until_parked();
    ch.close();
    selecting.join();
    EXPECT_THROW(select(on_send(ch, 1)), Panic);
    EXPECT_THROW(select(on_send(ch, 1), on_default(kNever)), Panic);
    EXPECT_EQ(ch.size(), GetParam());
  });
}

TEST(SelectDuplicate, OneChannelMayStandInSeveralCases) {
  test::run([] {
    auto c = make_chan<int>(), d = make_chan<int>(), e = make_chan<int>();
    Task a([&] {
      EXPECT_EQ(select(on_recv(c, kNever), on_recv(c, kNever), on_recv(d)), 2u);
      e.send(9);
    });
    a.wait_until_parked();
    Task b([&] { EXPECT_EQ(c.recv(), 8); });
    b.wait_until_parked();
    d.send(7);
    EXPECT_EQ(e.recv(), 9);
    c.send(8);  // finds b, and nothing that a has left behind
  });
}

TEST_P(SelectOfCapacity, SendAndReceiveOnOneChannelNeverMeetThemselves) {
  test::run([] {
    auto ch = make_chan<int>(GetParam());
    std::array<std::unique_ptr<Task>, 2> both;
    for (int p = 0; p < 2; ++p)
      both[static_cast<std::size_t>(p)] = std::make_unique<Task>([&, p] {
        const auto received = [&](int v) {
          if (GetParam() == 0) {
            EXPECT_NE(v, p);
          }
        };
        for (int i = 0; i < 1000; ++i)
          if (p == 0 || i % 2 == 0)
            select(on_send(ch, p), on_recv(ch, received));
          else
            select(on_recv(ch, received), on_send(ch, p));
      });
    for (auto& t : both) t->join();
    EXPECT_LE(ch.size(), GetParam());
  });
}

TEST(SelectDuplicate, SendsOfOneSelectAreTakenEvenly) {
  test::run([] {
    for (std::size_t capacity : {0u, 100u}) {
      auto ch = make_chan<int>(capacity);
      int count[2] = {};
      Task receiver([&] {
        for (int i = 0; i < 100; ++i) {
          gosched();
          ++count[*ch.recv()];
        }
      });
      for (int i = 0; i < 100; ++i) select(on_send(ch, 1), on_send(ch, 0));
      receiver.join();
      EXPECT_GT(count[0], 10);
      EXPECT_GT(count[1], 10);
    }
  });
}

TEST(SelectTime, TheEarliestTimeCaseIsTaken) {
  test::run([] {
    auto ch = make_chan<int>();
    const TimePoint start = Clock::now();
    EXPECT_EQ(
        select(on_timeout(1h, kNever), on_timeout(2ms), on_recv(ch, kNever),
               on_deadline(Deadline::never(), kNever), on_deadline(Deadline::after(30min), kNever)),
        1u);
    EXPECT_GE(Clock::now() - start, 2ms);
    const Deadline soon = Deadline::after(1ms);
    EXPECT_EQ(select(on_timeout(1h, kNever), on_deadline(soon)), 1u);
    EXPECT_TRUE(soon.passed());
    EXPECT_EQ(select(on_deadline(soon), on_default(kNever)), 0u);
    EXPECT_EQ(select(on_timeout(1ns, kNever), on_default()), 1u);
    EXPECT_EQ(select(on_timeout(-1h), on_recv(ch, kNever)), 0u);
  });
}

TEST(SelectTime, ALostTimeoutLeavesNothingBehind) {
  test::run([] {
    auto ch = make_chan<int>();
    for (int i = 0; i < 100; ++i) {
      Task selecting([&] { EXPECT_EQ(select(on_recv(ch), on_timeout(1h, kNever)), 0u); });
      selecting.wait_until_parked();
      ch.send(1);
    }
  });
}

TEST(SelectTime, EndlessTimeoutsNeverCome) {
  test::run([] {
    auto ch = make_chan<int>();
    Task selecting([&] {
      EXPECT_EQ(select(on_timeout(Duration::max(), kNever), on_recv(ch),
                       on_deadline(Deadline::never(), kNever)),
                1u);
    });
    selecting.wait_until_parked();
    ch.send(1);
  });
}

TEST(SelectPayload, MoveOnlyElementsPass) {
  test::run([] {
    auto ch = make_chan<std::unique_ptr<int>>();
    Task sender([&] { select(on_send(ch, std::make_unique<int>(4))); });
    std::unique_ptr<int> got;
    select(on_recv(ch, [&](std::unique_ptr<int> p) { got = std::move(p); }));
    ASSERT_TRUE(got);
    EXPECT_EQ(*got, 4);
  });
}

TEST(SelectPayload, AValueNotTakenStaysAsItWas) {
  test::run([] {
    auto full = make_chan<std::unique_ptr<int>>(), room = make_chan<std::unique_ptr<int>>(1);
    auto mine = std::make_unique<int>(1), taken = std::make_unique<int>(2);
    EXPECT_EQ(select(on_send(full, std::move(mine)), on_send(room, std::move(taken))), 1u);
    ASSERT_TRUE(mine);  // NOLINT(bugprone-use-after-move): by contract
    EXPECT_EQ(*mine, 1);
    EXPECT_FALSE(taken);  // NOLINT(bugprone-use-after-move)
    EXPECT_EQ(select(on_send(full, std::move(mine)), on_timeout(100us)), 1u);
    EXPECT_TRUE(mine);  // NOLINT(bugprone-use-after-move)
    // A temporary dies with the statement, wherever the select went.
    EXPECT_EQ(select(on_send(full, std::make_unique<int>(3)), on_default()), 1u);
  });
}

TEST(SelectPayload, LvaluesAreCopiedAndOthersConverted) {
  test::run([] {
    auto ch = make_chan<std::string>(2);
    const std::string text(100, 'x');
    select(on_send(ch, text));
    select(on_send(ch, "literal"));
    EXPECT_EQ(ch.recv(), text);
    EXPECT_EQ(ch.recv(), "literal");
  });
}

TEST(SelectPayload, OptionalElementsReachTheirHandlers) {
  test::run([] {
    auto ch = make_chan<std::optional<int>>(1);
    ch.send(std::nullopt);
    int calls = 0;
    select(on_recv(ch, [&](std::optional<int> v) {
      EXPECT_FALSE(v);
      ++calls;
    }));
    ch.send(3);
    select(on_recv(ch, [&](std::optional<std::optional<int>> v) {
      EXPECT_EQ(v, std::optional(std::optional(3)));
      ++calls;
    }));
    EXPECT_EQ(calls, 2);
  });
}

TEST(SelectHandler, RunsOutsideTheRuntimeAndMaySelectAgain) {
  test::run([] {
    auto a = make_chan<int>(1), b = make_chan<int>(1);
    a.send(1);
    int depth = 0;
    select(on_recv(a, [&](int v) {
      b.send(v + 1);
      select(on_recv(b, [&](int w) {
        depth = w;
        (void)sleep(1us);
      }));
    }));
    EXPECT_EQ(depth, 2);
  });
}

TEST(SelectHandler, WhatItThrowsComesOut) {
  test::run([] {
    auto ch = make_chan<int>(1);
    ch.send(1);
    EXPECT_THROW(select(on_recv(ch, [](int) { throw std::string("thrown"); })), std::string);
    EXPECT_EQ(ch.size(), 0u);  // the element was the handler's
  });
}

TEST(SelectHandler, LvaluesAreUsedInPlace) {
  struct Counter {
    int calls = 0;
    void operator()() { ++calls; }
  } counter;
  test::run([&] {
    for (int i = 0; i < 3; ++i) select(on_timeout(0s, counter));
  });
  EXPECT_EQ(counter.calls, 3);
}

TEST(SelectThread, PlainThreadsSelectToo) {
  auto ch = make_chan<int>(), quit = make_chan<int>();
  int sum = 0;
  std::thread thread([&] {
    for (bool more = true; more;)
      select(on_recv(ch, [&](int v) { sum += v; }), on_recv(quit, [&] { more = false; }));
  });
  test::run([&] {
    for (int i = 1; i <= 100; ++i) ch.send(i);
    quit.close();
  });
  thread.join();
  EXPECT_EQ(sum, 5050);
  EXPECT_EQ(select(on_recv(ch, kNever), on_timeout(1ms)), 1u);
}

// Each of many goroutines leaves the middle of one channel's long queue, again and again.
TEST(SelectQueue, ManySelectsLeaveInLinearTime) {
  test::run([] {
    constexpr int kWaiters = 5000, kRounds = 5;
    auto shared = make_chan<int>();
    std::vector<Chan<int>> own(kWaiters);
    for (auto& ch : own) {
      ch = make_chan<int>();
      go([shared, ch] {
        for (int i = 0; i < kRounds; ++i) EXPECT_EQ(select(on_recv(shared), on_recv(ch)), 1u);
      });
    }
    for (int i = 0; i < kRounds; ++i)
      for (auto& ch : own) ch.send(1);
    EXPECT_FALSE(shared.try_send(1));
  });
}

TEST(SelectMemory, AllocatesNothing) {
  test::run([] {
    auto ch = make_chan<int>(), idle = make_chan<int>();
    auto [ctx, cancel] = with_cancel(background());
    const auto rounds = [&](int n) {
      Task sender([&] {
        for (int i = 0; i < n; ++i) select(on_send(ch, i), on_recv(idle), on_timeout(1h));
      });
      for (int i = 0; i < n; ++i)
        select(on_recv(ch), on_recv(idle), on_done(ctx), on_timeout(1h),
               on_deadline(Deadline::after(1h)));
    };
    rounds(100);
    const std::size_t before = ::mallinfo2().uordblks;
    rounds(20'000);
    EXPECT_LE(::mallinfo2().uordblks, before + 100'000);  // less than a word for each
  });
}

// As Go tests it: two channels that are always ready share evenly, whatever else stands beside.
TEST(SelectFairness, ReadyCasesAreEquallyLikely) {
  test::run([] {
    constexpr int kTrials = 10000;
    auto c1 = make_chan<char>(kTrials + 1), c2 = make_chan<char>(kTrials + 1);
    for (int i = 0; i <= kTrials; ++i) {
      c1.send(0);
      c2.send(1);
    }
    auto c3 = make_chan<char>(), c4 = make_chan<char>();
    int count[2] = {};
    for (int i = 0; i < kTrials; ++i) {
      const auto take = [&](char which) { ++count[static_cast<int>(which)]; };
      select(on_recv(c3, take), on_recv(c4, take), on_recv(c1, take), on_recv(c2, take));
    }
    // Six nines of confidence.
    const double off = std::abs(count[0] / double{kTrials} - 0.5);
    EXPECT_LE(off, 4.891676 / (2 * std::sqrt(kTrials))) << count[0] << " and " << count[1];
  });
}

// Among five of different kinds, all ready: each about a fifth.
TEST(SelectFairness, KindsOfCasesAreEquallyLikely) {
  test::run([] {
    constexpr int kTrials = 10000;
    auto full = make_chan<int>(1), room = make_chan<int>(1), closed = make_chan<int>();
    full.send(1);
    closed.close();
    auto [ctx, cancel] = with_cancel(background());
    cancel();
    std::array<int, 5> count{};
    for (int i = 0; i < kTrials; ++i)
      ++count[select(on_recv(full, [&](int v) { full.send(v); }),
                     on_send(room, 1, [&] { (void)room.recv(); }), on_recv(closed, [] {}),
                     on_done(ctx), on_timeout(0s))];
    for (int n : count) EXPECT_NEAR(n, kTrials / 5, 5 * std::sqrt(kTrials * 0.2 * 0.8));
  });
}

class SelectDeathTest : public ::testing::Test {
 protected:
  SelectDeathTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

// They wait for ever; the process ends once both are seen to.
TEST_F(SelectDeathTest, OfNothingOrOfNilChannelsWaitsForEver) {
  EXPECT_EXIT(
      {
        go([] {
          Task* nothing = new Task([] {
            select();
            std::_Exit(1);
          });
          Task* nil = new Task([] {
            select(on_recv(Chan<int>()), on_send(Chan<int>(), 1), on_done(background()));
            std::_Exit(1);
          });
          nothing->wait_until_parked();
          nil->wait_until_parked();
          std::_Exit(0);
        });
        std::this_thread::sleep_for(test::patience());
        std::_Exit(2);
      },
      ::testing::ExitedWithCode(0), "");
}

TEST_F(SelectDeathTest, IsSeenByTheDeadlockDetector) {
  EXPECT_EXIT(run([] {
                auto ch = make_chan<int>();
                go([ch] { select(on_recv(ch), on_send(ch, 1)); });
                select();
              }),
              ::testing::ExitedWithCode(2),
              "all goroutines are asleep - deadlock!(.|\n)*select(.|\n)*select");
}

}  // namespace
}  // namespace treadle
