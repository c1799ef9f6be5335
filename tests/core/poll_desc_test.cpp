#include <treadle/detail/poll_desc.h>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <treadle/go.h>
#include <treadle/timer.h>

#include "support/goroutine.h"

namespace treadle {
namespace {

using detail::Pollable;
using detail::PollMode;
using test::Task;
using namespace std::chrono_literals;

// One attempt, out of line: errno's address must not be kept over a park.
struct Attempt {
  ssize_t n;
  int error;
};
[[gnu::noinline]] Attempt try_read(int fd, void* to, std::size_t size) {
  const ssize_t n = ::read(fd, to, size);
  return {n, errno};
}
[[gnu::noinline]] Attempt try_write(int fd, const void* from, std::size_t size) {
  const ssize_t n = ::send(fd, from, size, MSG_NOSIGNAL);
  return {n, errno};
}

Result<std::string> read_some(const Pollable& pd, std::size_t most = 100) {
  std::string text(most, '\0');
  for (;;) {
    if (auto r = pd.prepare(PollMode::read); !r) return fail(r.error());
    const auto [n, error] = try_read(pd.fd(), text.data(), most);
    if (n >= 0) return text.substr(0, static_cast<std::size_t>(n));
    if (error != EAGAIN) return fail_errno(error);
    if (auto r = pd.wait(PollMode::read); !r) return fail(r.error());
  }
}

std::error_code read_error(const Pollable& pd) {
  auto r = read_some(pd);
  EXPECT_FALSE(r) << "read \"" << *r << '"';
  return r ? std::error_code() : r.error();
}

Result<void> write_all(const Pollable& pd, std::string_view text) {
  while (!text.empty()) {
    if (auto r = pd.prepare(PollMode::write); !r) return fail(r.error());
    const auto [n, error] = try_write(pd.fd(), text.data(), text.size());
    if (n >= 0) {
      text.remove_prefix(static_cast<std::size_t>(n));
      continue;
    }
    if (error != EAGAIN) return fail_errno(error);
    if (auto r = pd.wait(PollMode::write); !r) return fail(r.error());
  }
  return {};
}

Pollable open(int fd) {
  auto pd = Pollable::open(fd);
  EXPECT_TRUE(pd) << pd.error().message();
  return std::move(*pd);
}

struct Pair {
  Pollable a, b;
};
Pair make_pair() {
  int fds[2];
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
  return {open(fds[0]), open(fds[1])};
}

TEST(PollDescOpen, RefusesWhatCannotBePolledAndClosesIt) {
  const int fd = ::open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  ASSERT_GE(fd, 0);
  EXPECT_EQ(Pollable::open(fd).error(), std::errc::operation_not_permitted);
  EXPECT_EQ(::fcntl(fd, F_GETFD), -1);
  EXPECT_EQ(Pollable::open(-1).error(), std::errc::bad_file_descriptor);
}

TEST(PollDescOpen, OwnerClosesTheDescriptor) {
  int fd;
  {
    const Pair pair = make_pair();
    fd = pair.a.fd();
    EXPECT_NE(::fcntl(fd, F_GETFD), -1);
  }
  EXPECT_EQ(::fcntl(fd, F_GETFD), -1);
  EXPECT_FALSE(Pollable());
}

TEST(PollDescRead, WakesWhenBytesCome) {
  test::run([] {
    const Pair pair = make_pair();
    for (int i = 0; i < 50; ++i) {
      Task reader([&] { EXPECT_EQ(read_some(pair.a), "hello"); });
      if (i % 2) reader.wait_until_parked();
      EXPECT_TRUE(write_all(pair.b, "hello"));
    }
  });
}

TEST(PollDescRead, SeesTheEndAndKeepsTheHint) {
  test::run([] {
    Pair pair = make_pair();
    EXPECT_FALSE(pair.a.hints().peer_closed);
    Task reader([&] { EXPECT_EQ(read_some(pair.a), ""); });
    reader.wait_until_parked();
    pair.b.close();
    reader.join();
    EXPECT_TRUE(pair.a.hints().peer_closed);
    EXPECT_EQ(read_some(pair.a), "");
    EXPECT_TRUE(pair.a.hints().peer_closed);
  });
}

// The edge between the look at the descriptor and the wait must not be lost.
TEST(PollDescRead, EdgeBetweenPrepareAndWaitIsKept) {
  test::run([] {
    const Pair pair = make_pair();
    for (int i = 0; i < 200; ++i) {
      ASSERT_TRUE(pair.a.prepare(PollMode::read));
      char c;
      ASSERT_EQ(try_read(pair.a.fd(), &c, 1).error, EAGAIN);
      ASSERT_TRUE(write_all(pair.b, "x"));
      ASSERT_TRUE(pair.a.wait(PollMode::read));  // spurious wake-ups are allowed, sleeping is not
      ASSERT_EQ(read_some(pair.a), "x");
    }
  });
}

TEST(PollDescRead, PingPongOverBothDirections) {
  test::run([] {
    const Pair pair = make_pair();
    Task echo([&] {
      for (;;) {
        auto text = read_some(pair.b);
        if (!text || text->empty()) return;
        EXPECT_TRUE(write_all(pair.b, *text));
      }
    });
    for (int i = 0; i < 300; ++i) {
      const std::string text = std::to_string(i);
      ASSERT_TRUE(write_all(pair.a, text));
      ASSERT_EQ(read_some(pair.a), text);
    }
    ::shutdown(pair.a.fd(), SHUT_WR);
  });
}

TEST(PollDescWrite, WaitsForRoom) {
  test::run([] {
    const Pair pair = make_pair();
    const std::string text(4 << 20, 'w');
    Task writer([&] { EXPECT_TRUE(write_all(pair.a, text)); });
    writer.wait_until_parked();
    EXPECT_FALSE(writer.done());
    std::size_t total = 0;
    while (total < text.size()) total += read_some(pair.b, 64 << 10)->size();
    EXPECT_EQ(total, text.size());
  });
}

TEST(PollDescWrite, ReaderAndWriterOfOneDoNotMeet) {
  test::run([] {
    const Pair pair = make_pair();
    const std::string text(1 << 20, 'd');
    Task reader([&] { EXPECT_EQ(read_some(pair.a), "r"); });
    reader.wait_until_parked();
    Task writer([&] { EXPECT_TRUE(write_all(pair.a, text)); });
    writer.wait_until_parked();
    std::size_t total = 0;
    while (total < text.size()) total += read_some(pair.b, 64 << 10)->size();
    writer.join();
    EXPECT_FALSE(reader.done());
    EXPECT_TRUE(write_all(pair.b, "r"));
  });
}

TEST(PollDescDeadline, PassedEndsTheWait) {
  test::run([] {
    const Pair pair = make_pair();
    const auto begin = Clock::now();
    pair.a.set_deadline(PollMode::read, Deadline::after(2ms));
    EXPECT_EQ(read_error(pair.a), Errc::timed_out);
    EXPECT_GE(Clock::now() - begin, 2ms);
    EXPECT_EQ(read_error(pair.a), Errc::timed_out);  // and all that come after
    EXPECT_TRUE(write_all(pair.a, "the other side has none"));
    EXPECT_EQ(read_some(pair.b), "the other side has none");
    pair.a.set_deadline(PollMode::read, Deadline::never());
    EXPECT_TRUE(write_all(pair.b, "again"));
    EXPECT_EQ(read_some(pair.a), "again");
  });
}

TEST(PollDescDeadline, InThePastEndsAParkedWaitAtOnce) {
  test::run([] {
    const Pair pair = make_pair();
    for (int i = 0; i < 50; ++i) {
      pair.a.set_deadline(PollMode::read, i % 2 ? Deadline::after(1h) : Deadline::never());
      Task reader([&] { EXPECT_EQ(read_error(pair.a), Errc::timed_out); });
      reader.wait_until_parked();
      pair.a.set_deadline(PollMode::read, Deadline::after(-1s));
    }
  });
}

TEST(PollDescDeadline, MovedEarlierCounts) {
  test::run([] {
    const Pair pair = make_pair();
    for (int i = 0; i < 20; ++i) {
      pair.a.set_deadline(PollMode::read, Deadline::after(1h));
      Task reader([&] { EXPECT_EQ(read_error(pair.a), Errc::timed_out); });
      if (i % 2) reader.wait_until_parked();
      pair.a.set_deadline(PollMode::read, Deadline::after(200us));
    }
  });
}

TEST(PollDescDeadline, MovedLaterHoldsUntilThen) {
  test::run([] {
    const Pair pair = make_pair();
    pair.a.set_deadline(PollMode::read, Deadline::after(1ms));
    const auto begin = Clock::now();
    Task reader([&] {
      EXPECT_EQ(read_error(pair.a), Errc::timed_out);
      EXPECT_GE(Clock::now() - begin, 6ms);
    });
    pair.a.set_deadline(PollMode::read, Deadline::after(6ms));
    reader.join();
    // After all that the timer is of use still.
    pair.a.set_deadline(PollMode::read, Deadline::after(500us));
    EXPECT_EQ(read_error(pair.a), Errc::timed_out);
    pair.a.set_deadline(PollMode::read, Deadline::after(1h));
    pair.a.set_deadline(PollMode::read, Deadline::after(300us));
    EXPECT_EQ(read_error(pair.a), Errc::timed_out);
  });
}

TEST(PollDescDeadline, ClearedOneDoesNotEndTheWait) {
  test::run([] {
    const Pair pair = make_pair();
    pair.a.set_deadline(PollMode::read, Deadline::after(1ms));
    pair.a.set_deadline(PollMode::read, Deadline::never());
    EXPECT_TRUE(pair.a.deadline(PollMode::read).is_never());
    Task reader([&] { EXPECT_EQ(read_some(pair.a), "late"); });
    EXPECT_TRUE(sleep(3ms));
    reader.wait_until_parked();
    EXPECT_TRUE(write_all(pair.b, "late"));
  });
}

TEST(PollDescDeadline, ManyRacesWithData) {
  test::run([] {
    const Pair pair = make_pair();
    for (int i = 0; i < 300; ++i) {
      pair.a.set_deadline(PollMode::read, Deadline::after(10us * (i % 20)));
      Task writer([&] { EXPECT_TRUE(write_all(pair.b, "d")); });
      auto r = read_some(pair.a);
      if (!r) {
        EXPECT_EQ(r.error(), Errc::timed_out);
        pair.a.set_deadline(PollMode::read, Deadline::never());
        r = read_some(pair.a);
      }
      EXPECT_EQ(r, "d");
    }
  });
}

TEST(PollDescClose, WakesBothSides) {
  test::run([] {
    for (int i = 0; i < 50; ++i) {
      Pair pair = make_pair();
      Task reader([&] { EXPECT_EQ(read_error(pair.a), Errc::closed); });
      Task writer(
          [&] { EXPECT_EQ(write_all(pair.a, std::string(4 << 20, 'w')).error(), Errc::closed); });
      reader.wait_until_parked();
      writer.wait_until_parked();
      pair.a.close();
      pair.a.close();
      reader.join();
      writer.join();
      EXPECT_EQ(pair.a.prepare(PollMode::read).error(), Errc::closed);
    }
  });
}

TEST(PollDescClose, WaitsForUsesOfTheNumber) {
  Pair pair = make_pair();
  const int fd = pair.a.fd();
  {
    const Pollable::Use use(pair.a);
    ASSERT_TRUE(use.ok());
    pair.a.close();
    EXPECT_NE(::fcntl(fd, F_GETFD), -1);
    EXPECT_FALSE(Pollable::Use(pair.a).ok());
  }
  EXPECT_EQ(::fcntl(fd, F_GETFD), -1);
}

TEST(PollDescClose, DeadlineOfAClosedOneTouchesNobody) {
  test::run([] {
    for (int i = 0; i < 100; ++i) {
      auto old = std::make_unique<Pair>(make_pair());
      old->a.set_deadline(PollMode::read, Deadline::after(50us * (i % 8 + 1)));
      old->a.close();
      if (i % 2) old.reset();
      const Pair fresh = make_pair();  // may get the same number, and the same place
      Task reader([&] { EXPECT_EQ(read_some(fresh.a), "mine"); });
      if (old) old->a.set_deadline(PollMode::read, Deadline::after(10us));
      if (i % 3 == 0) (void)sleep(200us);
      EXPECT_TRUE(write_all(fresh.b, "mine"));
    }
  });
}

TEST(PollDescContext, CancelEndsTheWait) {
  test::run([] {
    const Pair pair = make_pair();
    for (int i = 0; i < 50; ++i) {
      auto [ctx, cancel] = with_cancel(background());
      Task reader([&] {
        const ContextScope scope(ctx);
        EXPECT_EQ(read_error(pair.a), Errc::canceled);
      });
      if (i % 2) reader.wait_until_parked();
      cancel();
    }
    const ContextScope scope(with_timeout(background(), 1ms).context);
    EXPECT_EQ(read_error(pair.a), Errc::timed_out);
    EXPECT_EQ(pair.a.prepare(PollMode::read).error(), Errc::timed_out);
  });
}

TEST(PollDescContext, IsIgnoredWhenToldSo) {
  test::run([] {
    Pair pair = make_pair();
    pair.a.ignore_context();
    auto [ctx, cancel] = with_cancel(background());
    Task reader([&] {
      const ContextScope scope(ctx);
      EXPECT_EQ(read_some(pair.a), "still");
    });
    reader.wait_until_parked();
    cancel();
    EXPECT_FALSE(reader.done());
    EXPECT_TRUE(write_all(pair.b, "still"));
  });
}

TEST(PollDescMisuse, TwoWaitersOfOneSidePanic) {
  test::run([] {
    const Pair pair = make_pair();
    Task reader([&] { EXPECT_EQ(read_some(pair.a), "one"); });
    reader.wait_until_parked();
    EXPECT_THROW((void)pair.a.wait(PollMode::read), Panic);
    EXPECT_TRUE(write_all(pair.b, "one"));
  });
}

TEST(PollDescForeign, PlainThreadsWaitToo) {
  Pair pair = make_pair();
  std::thread echo([&] {
    for (;;) {
      auto text = read_some(pair.b);
      if (!text || text->empty()) return;
      EXPECT_TRUE(write_all(pair.b, *text));
    }
  });
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(write_all(pair.a, "thread"));
    ASSERT_EQ(read_some(pair.a), "thread");
  }
  pair.a.set_deadline(PollMode::read, Deadline::after(1ms));
  EXPECT_EQ(read_error(pair.a), Errc::timed_out);
  pair.a.close();
  echo.join();
}

// Numbers and places are reused at once, while others are in use; none may hear of another's.
TEST(PollDescReuse, ManyPairsComeAndGo) {
  test::run([] {
    std::vector<std::unique_ptr<Task>> tasks;
    for (int t = 0; t < 6; ++t)
      tasks.push_back(std::make_unique<Task>([t] {
        for (int i = 0; i < 150; ++i) {
          Pair pair = make_pair();
          const std::string text = std::to_string(t * 1000 + i);
          Task reader([&] { EXPECT_EQ(read_some(pair.a), text); });
          if (i % 4 == 0) gosched();
          EXPECT_TRUE(write_all(pair.b, text));
          reader.join();
          EXPECT_FALSE(pair.a.hints().peer_closed);
          if (i % 3 == 0) pair.a.close();
        }
      }));
  });
}

}  // namespace
}  // namespace treadle
