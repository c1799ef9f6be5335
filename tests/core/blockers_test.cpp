// What the runtime learns of goroutines that block their thread.
#include <gtest/gtest.h>

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <treadle/blocking.h>
#include <treadle/chan.h>
#include <treadle/detail/poll_desc.h>
#include <treadle/go.h>
#include <treadle/mutex.h>
#include <treadle/runtime.h>
#include <treadle/timer.h>

#include "core/pipe.h"
#include "runtime/thread_activity.h"
#include "support/goroutine.h"

namespace treadle {
namespace {

using test::Pipe;
using test::Task;
using namespace std::chrono_literals;

// Polls `wanted` from a plain thread.
template <class F>
bool comes_true(F wanted) {
  for (const auto limit = Clock::now() + 20s; Clock::now() < limit;) {
    if (wanted()) return true;
    std::this_thread::sleep_for(1ms);
  }
  return false;
}

TEST(ThreadActivity, TellsBlockedFromRunnable) {
  Pipe pipe;
  std::atomic<int> blocked{0}, running{0};
  std::atomic<bool> stop{false};
  std::thread reader([&] {
    blocked = ::gettid();
    EXPECT_EQ(pipe.read_byte(), 'x');
  });
  std::thread computer([&] {
    running = ::gettid();
    while (!stop.load(std::memory_order_acquire)) {
    }
  });
  while (blocked == 0 || running == 0) std::this_thread::yield();
  if (rt::activity_of(running) == rt::Activity::unknown) {
    std::puts("this kernel does not tell");
  } else {
    EXPECT_TRUE(comes_true([&] { return rt::activity_of(blocked) == rt::Activity::blocked; }));
    for (int i = 0; i < 100; ++i) EXPECT_EQ(rt::activity_of(running), rt::Activity::runnable);
  }
  pipe.write_byte('x');
  stop.store(true, std::memory_order_release);
  reader.join();
  computer.join();
}

TEST(ThreadActivity, IsUnknownOfAThreadThatIsGone) {
  int tid = 0;
  std::thread([&] { tid = ::gettid(); }).join();
  EXPECT_TRUE(comes_true([&] { return rt::activity_of(tid) == rt::Activity::unknown; }));
}

std::uint64_t handoffs() { return runtime_stats().handoffs; }

void hinted(Duration length) {
  blocking([length] { std::this_thread::sleep_for(length); });
}

// A long hinted call makes the next one give its P away at once, with nothing else to do; short
// ones end that.
TEST(HintLength, IsLearntFromHowLongCallsWere) {
  if (test::seeded_scheduler()) GTEST_SKIP() << "what is expected is chosen at random";
  test::run([] {
    const int procs = set_max_procs(1);  // what is learnt is the P's
    const std::uint64_t before = handoffs();
    {
      std::atomic<bool> stop{false};
      Task busy([&] {
        while (!stop) gosched();
      });
      while (handoffs() == before) hinted(2ms);
      stop = true;
    }
    const std::uint64_t once = handoffs();
    // Nothing wants the P. (One call keeps it all the same while a thread to run it is being made.)
    for (int i = 0; i < 100 && handoffs() == once; ++i) hinted(2ms);
    EXPECT_GT(handoffs(), once) << "calls after a long one keep their P";

    // Which calls are short is up to the machine: as many as it takes.
    bool ended = false;
    for (int i = 0; i < 10'000 && !ended; ++i) {
      const std::uint64_t so_far = handoffs();
      blocking([] {});
      ended = handoffs() == so_far;
    }
    EXPECT_TRUE(ended) << "short calls still give their P away";
    set_max_procs(procs);
  });
}

// A socket pair; one end is a plain descriptor.
class Wire {
 public:
  Wire() {
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()), 0);
    ours_ = ends[0];
    pd_ = std::make_unique<detail::Pollable>(std::move(*detail::Pollable::open(ends[1])));
  }
  ~Wire() { ::close(ours_); }
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;

  void send() const { EXPECT_EQ(::write(ours_, "x", 1), 1); }
  // Parks until something was sent.
  void receive() const {
    char c = 0;
    for (;;) {
      ASSERT_TRUE(pd_->prepare(detail::PollMode::read));
      if (::read(pd_->fd(), &c, 1) == 1) return;
      ASSERT_TRUE(pd_->wait(detail::PollMode::read));
    }
  }

 private:
  int ours_ = -1;
  std::unique_ptr<detail::Pollable> pd_;
};

// Loses its P in an unhinted call, so that it is expected to block again.
void block_without_hint() {
  Pipe pipe;
  Task other([] {
    for (int i = 0; i < 3; ++i) gosched();
  });
  // Counted from right before the call: starting a thread may cost the P, too, for other reasons.
  constexpr auto kNotYet = ~std::uint64_t{0};
  std::atomic<std::uint64_t> before{kNotYet};
  std::thread end([&] {
    EXPECT_TRUE(comes_true(
        [&] { return before != kNotYet && runtime_stats().preemptions != before.load(); }));
    pipe.write_byte('x');
  });
  before = runtime_stats().preemptions;
  EXPECT_EQ(pipe.read_byte(), 'x');
  end.join();
  gosched();  // it has a P again
}

// Both are ready at one look at the network, and the one that blocks first. Each 61st slice takes
// from the global queue, whatever the network has, so that now and then it is the other way round.
TEST(Blockers, RunAfterWhatTheNetworkHasReady) {
  if (test::seeded_scheduler()) GTEST_SKIP() << "the order is chosen at random";
  test::run([] {
    const int procs = set_max_procs(1);
    constexpr int kRounds = 20;
    int in_order = 0;
    for (int round = 0; round < kRounds; ++round) {
      const Wire slow, quick, ready;
      Mutex lock;
      std::string order;
      const auto say = [&](char c) {
        const std::scoped_lock guard(lock);
        order.push_back(c);
      };
      {
        const auto blocked = make_chan<int>(1);  // sending does not park
        Task blocker([&] {
          block_without_hint();
          blocked.send(1);
          slow.receive();
          say('s');
        });
        Task other([&] {
          quick.receive();
          say('q');
        });
        ASSERT_TRUE(blocked.recv());
        for (int i = 0; i < 100; ++i) gosched();  // both wait by now
        slow.send();
        quick.send();
      }
      in_order += order == "qs" ? 1 : 0;
    }
    EXPECT_GE(in_order, kRounds * 3 / 4);
    set_max_procs(procs);
  });
}

// However much of the network is ready all the time.
TEST(Blockers, GetTheirTurn) {
  test::run([] {
    const Wire slow, ping, pong;
    std::atomic<bool> stop{false};
    std::atomic<bool> over{false};
    const auto received = make_chan<int>(1);
    Task echo([&] {
      for (ping.receive(); !over; ping.receive()) pong.send();
    });
    Task driver([&] {
      while (!stop) {
        ping.send();
        pong.receive();
      }
      over = true;
      ping.send();
    });
    Task blocker([&] {
      block_without_hint();
      for (int i = 0; i < 20; ++i) {
        received.send(i);
        slow.receive();
      }
      stop = true;
    });
    for (int i = 0; i < 20; ++i) {
      ASSERT_EQ(received.recv(), i);
      slow.send();
    }
  });
}

}  // namespace
}  // namespace treadle
