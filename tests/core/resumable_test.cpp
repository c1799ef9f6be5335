// Dormant goroutines: those that hold no stack while they wait for a descriptor.
#include <treadle/detail/resumable.h>

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <treadle/chan.h>
#include <treadle/dump.h>
#include <treadle/go.h>
#include <treadle/goroutine_local.h>
#include <treadle/labels.h>
#include <treadle/os_thread.h>
#include <treadle/runtime.h>
#include <treadle/testing.h>
#include <treadle/timer.h>
#include <treadle/wait_group.h>

#include "runtime/sanitizer.h"
#include "runtime/stack.h"
#include "support/few_stacks.h"
#include "support/goroutine.h"

namespace treadle {
namespace {

using detail::Pollable;
using detail::PollMode;
using detail::try_go_resumable;
using namespace std::chrono_literals;

// Bytes read at once, 0 at the end of the stream, -1 when there is nothing.
[[gnu::noinline]] ssize_t read_now(const Pollable& pd, char* to, std::size_t size) {
  if (!pd.prepare(PollMode::read)) return 0;
  return ::read(pd.fd(), to, size);
}

[[gnu::noinline]] void send_text(int fd, std::string_view text) {
  ASSERT_EQ(::send(fd, text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
}

// A dormant goroutine's end of a socket, and what it has read; the test's end.
struct Line {
  Pollable in;
  int out = -1;
  std::string got;  // the goroutine's, until `over`
  std::atomic<int> calls{0};
  std::atomic<bool> over{false};
  std::function<void()> each_call{};  // fixed before it starts

  Line() {
    int fds[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    auto pd = Pollable::open(fds[0]);
    EXPECT_TRUE(pd);
    in = std::move(*pd);
    out = fds[1];
  }
  ~Line() {
    if (out >= 0) ::close(out);
  }
  Line(const Line&) = delete;
  Line& operator=(const Line&) = delete;

  const Pollable* go_on() {
    if (each_call) each_call();
    char buffer[64];
    ssize_t n;
    while ((n = read_now(in, buffer, sizeof buffer)) > 0)
      got.append(buffer, static_cast<std::size_t>(n));
    calls.fetch_add(1);
    if (n < 0) return &in;
    over.store(true);
    return nullptr;
  }
  void wait_for_calls(int n) const {
    while (calls.load() < n) gosched();
  }
  void wait_over() const {
    while (!over.load()) gosched();
  }
  void hang_up() { ::close(std::exchange(out, -1)); }
};

using LinePtr = std::shared_ptr<Line>;

LinePtr start(std::function<void()> each_call = {}) {
  auto line = std::make_shared<Line>();
  line->each_call = std::move(each_call);
  EXPECT_TRUE(try_go_resumable([line] { return line->go_on(); }));
  return line;
}

std::size_t dormant_now() {
  const std::string dump = goroutine_dump();
  std::size_t n = 0;
  for (std::size_t at = 0; (at = dump.find("dormant:", at)) != std::string::npos; ++at) ++n;
  return n;
}
void wait_dormant(std::size_t n) {
  while (dormant_now() != n) gosched();
}

TEST(Resumable, IsCalledAgainWhenBytesCome) {
  test::run([] {
    const LinePtr line = start();
    for (int i = 1; i <= 50; ++i) {
      line->wait_for_calls(i);
      send_text(line->out, "x");
    }
    line->wait_for_calls(51);
    line->hang_up();
    line->wait_over();
    EXPECT_EQ(line->got, std::string(50, 'x'));
  });
}

TEST(Resumable, DormantOnesShareStacks) {
  test::run([] {
    constexpr int kMany = 500;
    std::vector<LinePtr> lines;
    const std::uint64_t before = rt::stacks_made();
    for (int i = 0; i < kMany; ++i) {
      lines.push_back(start());
      lines.back()->wait_for_calls(1);
      if (i % 50 == 0) wait_dormant(lines.size());
    }
    wait_dormant(kMany);
    EXPECT_LT(rt::stacks_made() - before, kMany / 4U);
    for (const LinePtr& line : lines) line->hang_up();
    for (const LinePtr& line : lines) line->wait_over();
  });
}

TEST(Resumable, KeepsWhatBelongsToTheGoroutine) {
  test::run([] {
    static GoroutineLocal<int> local([] { return 0; });
    std::atomic<std::uint64_t> id{0};
    std::vector<std::uint64_t> ids;  // the goroutine's, until it is over
    std::vector<int> values;
    const LinePtr line = start([&] {
      ids.push_back(goroutine_id());
      id.store(ids.back());
      values.push_back((*local)++);
      if (values.size() == 1) set_goroutine_name("sleeper");
    });
    line->wait_for_calls(1);
    wait_dormant(1);
    send_text(line->out, "x");
    line->wait_for_calls(2);
    wait_dormant(1);
    const std::string dump = goroutine_dump();
    EXPECT_NE(dump.find("goroutine " + std::to_string(id.load()) + " [IO read"), std::string::npos)
        << dump;
    EXPECT_NE(dump.find("\"sleeper\""), std::string::npos) << dump;
    line->hang_up();
    line->wait_over();
    ASSERT_EQ(ids.size(), 3U);
    EXPECT_EQ(ids[0], ids[1]);
    EXPECT_EQ(ids[0], ids[2]);
    EXPECT_EQ(values, (std::vector<int>{0, 1, 2}));
  });
}

TEST(Resumable, CallableDiesOnceWhenItIsOver) {
  test::run([] {
    const LinePtr line = start();
    const std::weak_ptr<Line> watched = line;
    line->wait_for_calls(1);
    wait_dormant(1);
    EXPECT_EQ(watched.use_count(), 2);
    line->hang_up();
    line->wait_over();
    while (watched.use_count() > 1) gosched();
  });
}

TEST(Resumable, DeadlineAndCloseWakeIt) {
  test::run([] {
    const LinePtr timed = start();
    const LinePtr closed = start();
    wait_dormant(2);
    timed->in.set_deadline(PollMode::read, Deadline::after(20ms));
    timed->wait_over();
    EXPECT_EQ(timed->in.prepare(PollMode::read).error(), Errc::timed_out);
    closed->in.close();
    closed->wait_over();
    EXPECT_EQ(closed->in.prepare(PollMode::read).error(), Errc::closed);
  });
}

// What comes while it is on its way into the wait must not be lost.
TEST(Resumable, NoWakeUpIsLost) {
  test::run([] {
    constexpr int kLines = 8;
    constexpr int kRounds = 3000;
    std::vector<LinePtr> lines;
    for (int i = 0; i < kLines; ++i) lines.push_back(start());
    std::thread outside([&] {
      for (int round = 0; round < kRounds; ++round)
        for (const LinePtr& line : lines)
          while (::send(line->out, "x", 1, MSG_NOSIGNAL) != 1) std::this_thread::yield();
      for (const LinePtr& line : lines) line->hang_up();
    });
    for (const LinePtr& line : lines) line->wait_over();
    outside.join();
    for (const LinePtr& line : lines)
      EXPECT_EQ(line->got.size(), static_cast<std::size_t>(kRounds));
  });
}

// Each waits for the other's byte: one lost wake-up and both stand still.
TEST(Resumable, PairsThatAnswerEachOtherGoOn) {
  test::run([] {
    constexpr int kPairs = 16;
    constexpr int kRounds = 2000;
    WaitGroup done;
    for (int i = 0; i < kPairs; ++i) {
      int fds[2];
      ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
      for (const int fd : fds) {
        auto pd = std::make_shared<Pollable>(std::move(*Pollable::open(fd)));
        done.add(1);
        ASSERT_TRUE(try_go_resumable(
            [pd, &done, asks = fd == fds[0], left = kRounds]() mutable -> const Pollable* {
              char byte;
              while (left > 0 && read_now(*pd, &byte, 1) == 1) {
                if (--left > 0 || !asks) send_text(pd->fd(), "x");
              }
              if (left > 0) return pd.get();
              done.done();
              return nullptr;
            }));
      }
      send_text(fds[0], "x");
    }
    done.wait();
  });
}

TEST(Resumable, OneTiedToItsThreadKeepsItsStack) {
  test::run([] {
    std::vector<std::thread::id> threads;
    const LinePtr line = start([&] {
      if (threads.empty()) lock_os_thread();
      threads.push_back(std::this_thread::get_id());
    });
    line->wait_for_calls(1);
    EXPECT_EQ(dormant_now(), 0U);
    send_text(line->out, "x");
    line->wait_for_calls(2);
    line->hang_up();
    line->wait_over();
    for (const std::thread::id& id : threads) EXPECT_EQ(id, threads[0]);
  });
}

TEST(Resumable, WorksInVirtualTime) {
  test::run([] {
    testing::run_virtual([] {
      const LinePtr line = start();
      send_text(line->out, "x");
      line->hang_up();
      while (!line->over.load()) (void)treadle::sleep(1ms);
      EXPECT_EQ(line->got, "x");
    });
  });
}

TEST(Resumable, LeakCheckNamesIt) {
  test::run([] {
    std::string report;
    LinePtr line;
    {
      testing::LeakCheck leaks([&](const std::string& text) { report = text; }, 50ms);
      line = start();
      wait_dormant(1);
    }
    EXPECT_NE(report.find("resumable_test.cpp"), std::string::npos) << report;
    line->hang_up();
    line->wait_over();
  });
}

TEST(ResumableDeathTest, WaitsInTheQueueForAStack) {
#if !TREADLE_ASAN && !TREADLE_TSAN  // whose shadows need address space beyond any limit
  EXPECT_EXIT(
      {
        set_max_procs(1);  // each has its own cache of stacks
        test::allow_few_stacks();
        test::run([] {
          const LinePtr line = start();
          wait_dormant(1);
          // Takes every stack there is.
          auto gate = make_chan<int>();
          while (try_go([gate] { gate.recv(); })) gosched();
          send_text(line->out, "x");
          (void)treadle::sleep(20ms);
          if (line->calls.load() != 1) std::exit(1);  // there was a stack
          gate.close();
          line->wait_for_calls(2);
          line->hang_up();
          line->wait_over();
        });
        std::exit(0);
      },
      ::testing::ExitedWithCode(0), "");
#endif
}

}  // namespace
}  // namespace treadle
