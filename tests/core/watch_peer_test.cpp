// A context that ends when a descriptor's peer goes.
#include <treadle/detail/poll_desc.h>

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <thread>
#include <vector>

#include <treadle/go.h>
#include <treadle/timer.h>

#include "support/goroutine.h"

namespace treadle {
namespace {

using detail::Pollable;
using namespace std::chrono_literals;

struct WatchedPair {
  Pollable here;
  int there = -1;
};

WatchedPair make_watched_pair() {
  int fds[2];
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
  auto pd = Pollable::open(fds[0]);
  EXPECT_TRUE(pd);
  return {std::move(*pd), fds[1]};
}

TEST(WatchPeer, CloseCancelsWhileNobodyReads) {
  test::run([] {
    WatchedPair pair = make_watched_pair();
    const CancelableContext ctx = with_cancel(background());
    pair.here.watch_peer(ctx.context);
    EXPECT_FALSE(ctx.context.done());
    ::close(pair.there);
    ctx.context.wait();
    EXPECT_EQ(ctx.context.error(), Errc::canceled);
    EXPECT_EQ(ctx.context.cause(), std::make_error_code(std::errc::connection_aborted));
  });
}

TEST(WatchPeer, HalfCloseBehindUnreadDataCancels) {
  test::run([] {
    WatchedPair pair = make_watched_pair();
    const CancelableContext ctx = with_cancel(background());
    pair.here.watch_peer(ctx.context);
    ASSERT_EQ(::write(pair.there, "x", 1), 1);
    ASSERT_EQ(::shutdown(pair.there, SHUT_WR), 0);
    ctx.context.wait();
    EXPECT_EQ(ctx.context.error(), Errc::canceled);
    ::close(pair.there);
  });
}

TEST(WatchPeer, DataAloneDoesNotCancel) {
  test::run([] {
    WatchedPair pair = make_watched_pair();
    const CancelableContext ctx = with_cancel(background());
    pair.here.watch_peer(ctx.context);
    ASSERT_EQ(::write(pair.there, "x", 1), 1);
    ASSERT_TRUE(pair.here.wait(detail::PollMode::read));
    EXPECT_FALSE(ctx.context.done());
    ::close(pair.there);
    ctx.context.wait();
  });
}

TEST(WatchPeer, PeerThatHasGoneBeforeCancelsAtOnce) {
  test::run([] {
    WatchedPair pair = make_watched_pair();
    ::close(pair.there);
    while (!pair.here.hints().peer_closed) (void)sleep(1ms);
    const CancelableContext ctx = with_cancel(background());
    pair.here.watch_peer(ctx.context);
    EXPECT_TRUE(ctx.context.done());
  });
}

TEST(WatchPeer, TheNewestWatchCounts) {
  test::run([] {
    WatchedPair pair = make_watched_pair();
    const CancelableContext first = with_cancel(background());
    const CancelableContext second = with_cancel(background());
    pair.here.watch_peer(first.context);
    pair.here.watch_peer(second.context);
    ::close(pair.there);
    second.context.wait();
    EXPECT_FALSE(first.context.done());
  });
}

// As a proxy does, with both of its connections.
TEST(WatchPeer, OneContextForSeveralPeersThatGoAtOnce) {
  test::run([] {
    for (int round = 0; round < 200; ++round) {
      const CancelableContext ctx = with_cancel(background());
      const CancelableContext other = with_cancel(background());
      std::vector<WatchedPair> pairs;
      for (int i = 0; i < 8; ++i) {
        pairs.push_back(make_watched_pair());
        pairs.back().here.watch_peer(i == 7 ? other.context : ctx.context);
      }
      for (const WatchedPair& p : pairs) ::close(p.there);
      ctx.context.wait();
      other.context.wait();
      WatchedPair late = make_watched_pair();
      ::close(late.there);
      late.here.watch_peer(ctx.context);
    }
  });
}

TEST(WatchPeer, BackgroundEndsTheWatch) {
  test::run([] {
    WatchedPair pair = make_watched_pair();
    const CancelableContext ctx = with_cancel(background());
    pair.here.watch_peer(ctx.context);
    pair.here.watch_peer(background());
    ::close(pair.there);
    while (!pair.here.hints().peer_closed) (void)sleep(1ms);
    EXPECT_FALSE(ctx.context.done());
  });
}

TEST(WatchPeer, WakesASleeperAndStartsFunctions) {
  test::run([] {
    WatchedPair pair = make_watched_pair();
    const CancelableContext ctx = with_cancel(background());
    std::atomic<bool> called{false};
    after_func(ctx.context, [&called] { called.store(true); });
    pair.here.watch_peer(ctx.context);
    test::Task sleeper([&ctx] {
      ContextScope scope(ctx.context);
      const auto slept = sleep(1h);
      EXPECT_FALSE(slept);
    });
    sleeper.wait_until_parked();
    ::close(pair.there);
    sleeper.join();
    while (!called.load()) gosched();
  });
}

// A descriptor that is closed takes its watch along; the next one in its place must not be mistaken
// for it, whatever events are still on their way.
TEST(WatchPeer, LateEventsNeverCancelAStranger) {
  test::run([] {
    for (int round = 0; round < 2000; ++round) {
      const CancelableContext old = with_cancel(background());
      {
        WatchedPair pair = make_watched_pair();
        pair.here.watch_peer(old.context);
        std::thread closer;
        if (round % 2 == 0) {
          ::close(pair.there);
        } else {
          closer = std::thread([fd = pair.there] { ::close(fd); });
        }
        pair.here.close();
        if (closer.joinable()) closer.join();
      }
      WatchedPair pair = make_watched_pair();
      const CancelableContext ctx = with_cancel(background());
      pair.here.watch_peer(ctx.context);
      gosched();
      EXPECT_FALSE(ctx.context.done()) << "in round " << round;
      ::close(pair.there);
    }
  });
}

// Every watch of many, whose peers go at the same time as they are set, ends its context.
TEST(WatchPeer, RaceOfSettingAndGoingLosesNone) {
  test::run([] {
    for (int round = 0; round < 300; ++round) {
      constexpr std::size_t kPairs = 16;
      std::vector<WatchedPair> pairs;
      std::vector<CancelableContext> contexts;
      for (std::size_t i = 0; i < kPairs; ++i) {
        pairs.push_back(make_watched_pair());
        contexts.push_back(with_cancel(background()));
      }
      std::thread closer([&pairs] {
        for (const WatchedPair& p : pairs) ::close(p.there);
      });
      for (std::size_t i = 0; i < kPairs; ++i) pairs[i].here.watch_peer(contexts[i].context);
      for (const CancelableContext& ctx : contexts) ctx.context.wait();
      closer.join();
    }
  });
}

// A goroutine that computes holds the only P: sysmon polls, and somebody else must cancel.
TEST(WatchPeer, ReachesAGoroutineThatComputes) {
  test::run([] {
    WatchedPair pair = make_watched_pair();
    const CancelableContext ctx = with_cancel(background());
    pair.here.watch_peer(ctx.context);
    std::thread closer([fd = pair.there] { ::close(fd); });
    const TimePoint give_up = Clock::now() + test::patience();
    while (!ctx.context.done() && Clock::now() < give_up) {
    }
    EXPECT_TRUE(ctx.context.done());
    closer.join();
  });
}

}  // namespace
}  // namespace treadle
