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
#include <treadle/task_group.h>
#include <treadle/timer.h>

#include "core/pipe.h"
#include "runtime/sched.h"
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

TEST(BlockersThreadActivity, TellsBlockedFromRunnable) {
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

TEST(BlockersThreadActivity, IsUnknownOfAThreadThatIsGone) {
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
TEST(BlockersHintLength, IsLearntFromHowLongCallsWere) {
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

// While it lives there is one P: beside idle ones nobody wants that of a goroutine that blocks.
struct OneProc {
  OneProc() : before(set_max_procs(1)) {}
  ~OneProc() { set_max_procs(before); }
  OneProc(const OneProc&) = delete;
  OneProc& operator=(const OneProc&) = delete;
  const int before;
};

// Loses its P in `call`, which calls what it is given, so that it is expected to block again. Who
// ends the call does so when the P is gone, since another goroutine runs, and a long call after
// that. (On a busy machine it may have lost the P before the call.)
template <class Call>
void block_in(Call call) {
  const OneProc one;
  Pipe pipe;
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> turns{0}, turns_before{0};
  std::atomic<bool> called{false};
  Task other([&] {
    while (!stop) {
      turns.fetch_add(1);
      gosched();
    }
  });
  std::thread end([&] {
    EXPECT_TRUE(comes_true([&] { return called && turns != turns_before; }));
    std::this_thread::sleep_for(1ms);
    pipe.write_byte('x');
  });
  EXPECT_EQ(call([&] {
              turns_before = turns.load();
              called = true;
              return pipe.read_byte();
            }),
            'x');
  stop = true;
  end.join();
  gosched();  // it has a P again
}

void block_without_hint() {
  block_in([](auto read) { return read(); });
}

void block_with_hint() {
  block_in([](auto read) { return blocking(read); });
}

// Both are ready at one look at the network, and the one that blocks first. Each 61st slice takes
// from the global queue, whatever the network has, so that now and then it is the other way round.
void runs_after_what_the_network_has_ready(void (*block)()) {
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
        block();
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
}

TEST(Blockers, RunAfterWhatTheNetworkHasReady) {
  if (test::seeded_scheduler()) GTEST_SKIP() << "the order is chosen at random";
  test::run([] { runs_after_what_the_network_has_ready(block_without_hint); });
}

TEST(Blockers, WithHintsRunAfterWhatTheNetworkHasReady) {
  if (test::seeded_scheduler()) GTEST_SKIP() << "the order is chosen at random";
  test::run([] { runs_after_what_the_network_has_ready(block_with_hint); });
}

// Calls that come back together wait for the only P, each with its thread. What the network has
// ready then does not wait for all of them.
TEST(Blockers, ThatComeBackTogetherLetTheNetworkIn) {
  if (test::seeded_scheduler()) GTEST_SKIP() << "the order is chosen at random";
  test::run([] {
    const int procs = set_max_procs(1);
    constexpr int kRounds = 20;
    constexpr std::size_t kCalls = 8;
    int let_in = 0, came_together = 0;
    for (int round = 0; round < kRounds; ++round) {
      std::array<Pipe, kCalls> calls;
      const Wire quick;
      std::string order;      // who has the only P writes
      bool together = false;  // all calls were back before one of them went on
      {
        TaskGroup all;
        for (Pipe& call : calls)
          all.go([&] {
            EXPECT_EQ(blocking_long([&] { return call.read_byte(); }), 'x');
            order.push_back('b');
          });
        all.go([&] {
          quick.receive();
          order.push_back('q');
        });
        for (int i = 0; i < 100; ++i) gosched();                      // all wait by now
        treadle::sleep(2 * std::chrono::nanoseconds(rt::kLongHint));  // each call is a long one now
        for (Pipe& call : calls) call.write_byte('x');
        // Holds the P until they stand in the queue. sysmon takes it, if that lasts too long: such
        // a round shows nothing.
        const auto limit = Clock::now() + 5ms;
        while (rt::sched.runq_size.load() != kCalls && Clock::now() < limit) {
        }
        quick.send();
        together = rt::sched.runq_size.load() == kCalls;
        ASSERT_TRUE(all.wait());
      }
      ASSERT_EQ(order.size(), kCalls + 1);
      if (!together) continue;
      ++came_together;
      let_in += order.find('q') <= kCalls / 2 ? 1 : 0;
    }
    EXPECT_GE(4 * let_in, 3 * came_together);
    set_max_procs(procs);
  });
}

// However much of the network is ready all the time.
void gets_its_turn(void (*block)()) {
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
    block();
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
}

TEST(Blockers, GetTheirTurn) {
  test::run([] { gets_its_turn(block_without_hint); });
}

TEST(Blockers, WithHintsGetTheirTurn) {
  test::run([] { gets_its_turn(block_with_hint); });
}

}  // namespace
}  // namespace treadle
