#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <optional>
#include <set>
#include <thread>

#include <treadle/chan.h>
#include <treadle/go.h>
#include <treadle/runtime.h>
#include <treadle/select.h>
#include <treadle/signals.h>
#include <treadle/timer.h>

#include "support/goroutine.h"

namespace treadle {
namespace {

using test::Task;
using namespace std::chrono_literals;

void send_to_process(int s) { ASSERT_EQ(::kill(::getpid(), s), 0); }

TEST(SignalsWait, ReturnsTheSignalThatCame) {
  test::run([] {
    SignalSet set({SIGUSR1, SIGUSR2});
    for (int i = 0; i < 20; ++i) {
      const int s = i % 3 ? SIGUSR1 : SIGUSR2;
      send_to_process(s);
      EXPECT_EQ(set.wait(), s);
    }
  });
}

TEST(SignalsWait, WakesAParkedGoroutine) {
  test::run([] {
    for (int i = 0; i < 20; ++i) {
      SignalSet set({SIGUSR1});
      Task waiter([&] { EXPECT_EQ(set.wait(), SIGUSR1); });
      waiter.wait_until_parked();
      EXPECT_FALSE(waiter.done());
      send_to_process(SIGUSR1);
    }
  });
}

TEST(SignalsWait, ComesBackWithEachOfSeveral) {
  test::run([] {
    SignalSet set({SIGUSR1, SIGUSR2, SIGWINCH});
    for (int s : {SIGUSR1, SIGUSR2, SIGWINCH}) send_to_process(s);
    std::set<int> got;
    for (int i = 0; i < 3; ++i) got.insert(*set.wait());
    EXPECT_EQ(got, (std::set<int>{SIGUSR1, SIGUSR2, SIGWINCH}));
    auto made = with_timeout(background(), 1ms);
    const ContextScope scope(made.context);
    EXPECT_EQ(set.wait().error(), Errc::timed_out);  // each once
  });
}

TEST(SignalsWait, HonoursTheContext) {
  test::run([] {
    SignalSet set({SIGUSR1});
    auto [ctx, cancel] = with_cancel(background());
    Task waiter([&] {
      const ContextScope scope(ctx);
      EXPECT_EQ(set.wait().error(), Errc::canceled);
    });
    waiter.wait_until_parked();
    cancel();
    waiter.join();
    send_to_process(SIGUSR1);
    EXPECT_EQ(set.wait(), SIGUSR1);
  });
}

TEST(SignalsWait, WorksOnAPlainThread) {
  SignalSet set({SIGUSR1});
  std::thread sender([] { send_to_process(SIGUSR1); });
  EXPECT_EQ(set.wait(), SIGUSR1);
  sender.join();
}

TEST(SignalsChannel, DeliversInASelect) {
  test::run([] {
    SignalSet set({SIGUSR1, SIGUSR2});
    auto signals = set.channel(2);
    auto other = make_chan<int>();
    for (int i = 0; i < 20; ++i) {
      const int s = i % 3 ? SIGUSR1 : SIGUSR2;
      int got = 0;
      Task waiter([&] { select(on_recv(other), on_recv(signals, [&](int v) { got = v; })); });
      if (i % 2) waiter.wait_until_parked();
      send_to_process(s);
      waiter.join();
      EXPECT_EQ(got, s);
    }
  });
}

TEST(SignalsChannel, GetsWhatCameBeforeItWasMade) {
  test::run([] {
    SignalSet set({SIGUSR1});
    send_to_process(SIGUSR1);
    EXPECT_EQ(set.channel().recv(), SIGUSR1);
  });
}

// The second kind finds the channel full; nothing waits for room.
TEST(SignalsChannel, DropsWhatFindsItFull) {
  test::run([] {
    SignalSet set({SIGUSR1, SIGUSR2});
    auto signals = set.channel(1);
    // Nothing tells when the second one has been dropped: give it time, and more when it was late.
    for (Duration time = 5ms;; time *= 2) {
      send_to_process(SIGUSR1);
      while (signals.size() == 0) gosched();
      send_to_process(SIGUSR2);
      (void)sleep(time);
      EXPECT_EQ(signals.recv(), SIGUSR1);
      send_to_process(SIGUSR1);
      if (signals.recv() == SIGUSR1) break;
      EXPECT_EQ(signals.recv(), SIGUSR1);
      ASSERT_LT(time, 1s) << "never dropped";
    }
  });
}

TEST(SignalsChannel, IsClosedWithItsSet) {
  test::run([] {
    Chan<int> signals;
    {
      SignalSet set({SIGUSR1});
      signals = set.channel();
    }
    EXPECT_FALSE(signals.recv());
    // Another set's signals do not go astray.
    for (int i = 0; i < 100; ++i) {
      {
        SignalSet gone({SIGUSR1});
        (void)gone.channel();
      }
      SignalSet set({SIGUSR1});
      send_to_process(SIGUSR1);
      ASSERT_EQ(set.wait(), SIGUSR1);
    }
  });
}

TEST(SignalsChannel, MisusePanics) {
  test::run([] {
    SignalSet set({SIGUSR1});
    EXPECT_THROW((void)set.channel(0), Panic);
    (void)set.channel();
    EXPECT_THROW((void)set.channel(), Panic);
    EXPECT_THROW((void)set.wait(), Panic);
  });
}

std::atomic<int> handled{0};

TEST(SignalsScope, HandlerBeforeIsBackAfterwards) {
  struct sigaction mine{};
  struct sigaction previous{};
  mine.sa_handler = [](int) { ++handled; };
  ASSERT_EQ(::sigaction(SIGUSR1, &mine, &previous), 0);
  handled = 0;
  {
    SignalSet set({SIGUSR1});
    ::raise(SIGUSR1);
    EXPECT_EQ(set.wait(), SIGUSR1);
    EXPECT_EQ(handled, 0);
  }
  ::raise(SIGUSR1);
  EXPECT_EQ(handled, 1);
  ::sigaction(SIGUSR1, &previous, nullptr);
}

TEST(SignalsScope, PendingFromBeforeIsNotDelivered) {
  test::run([] {
    {
      SignalSet set({SIGUSR1});
      ::raise(SIGUSR1);
    }
    SignalSet set({SIGUSR1});
    auto made = with_timeout(background(), 1ms);
    const ContextScope scope(made.context);
    EXPECT_EQ(set.wait().error(), Errc::timed_out);
  });
}

TEST(SignalsMisuse, OneSetASignal) {
  SignalSet set({SIGUSR1});
  EXPECT_THROW(SignalSet({SIGUSR1}), Panic);
  EXPECT_THROW(SignalSet({SIGUSR2, SIGUSR1}), Panic);
  SignalSet other({SIGUSR2});  // the failed one has let go of it
  ::raise(SIGUSR2);
  EXPECT_EQ(other.wait(), SIGUSR2);
}

TEST(SignalsMisuse, NumbersThatCannotBePanic) {
  for (const int s : {0, -1, 65, 1000, SIGKILL, SIGSTOP, SIGSEGV, SIGBUS})
    EXPECT_THROW(SignalSet({s}), Panic) << s;
  SignalSet none({});
}

class SignalsDeathTest : public ::testing::Test {
 protected:
  SignalsDeathTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(SignalsDeathTest, DefaultActionsAreBackAfterwards) {
  EXPECT_EXIT(
      {
        {
          const SignalSet set({SIGTERM});
        }
        ::raise(SIGTERM);
      },
      ::testing::KilledBySignal(SIGTERM), "");
}

TEST_F(SignalsDeathTest, WhatWasSentDuringASetsLifeNeverActs) {
  EXPECT_EXIT(
      {
        run([] {
          for (int i = 0; i < 2000; ++i) {
            SignalSet set({SIGUSR2});
            send_to_process(SIGUSR2);
          }
        });
        ::_exit(7);
      },
      ::testing::ExitedWithCode(7), "");
}

TEST_F(SignalsDeathTest, TermToABusyProcessIsAValue) {
  EXPECT_EXIT(run([] {
                ::alarm(60);  // or else the child would compute for ever beside its dead parent
                SignalSet stop({SIGTERM, SIGINT});
                for (int i = 0; i < 4; ++i)
                  go([] {
                    for (;;) asm volatile("");
                  });
                send_to_process(SIGTERM);
                std::exit(stop.wait() == SIGTERM ? 0 : 1);
              }),
              ::testing::ExitedWithCode(0), "");
}

TEST_F(SignalsDeathTest, WriteToAClosedPipeIsNoEnd) {
  EXPECT_EXIT(run([] {
                int fds[2];
                if (::pipe(fds) != 0) std::exit(1);
                ::close(fds[0]);
                std::exit(::write(fds[1], "x", 1) == -1 ? 0 : 2);
              }),
              ::testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace treadle
