#include <treadle/wait_fd.h>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <treadle/detail/poll_desc.h>
#include <treadle/go.h>
#include <treadle/wait_group.h>

#include "core/descriptors.h"
#include "core/pipe.h"
#include "runtime/netpoll.h"
#include "support/goroutine.h"

namespace treadle {
namespace {

using test::Pipe;
using test::Task;
using namespace std::chrono_literals;

class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) { EXPECT_GE(fd, 0); }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { close(); }
  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  operator int() const { return fd_; }

 private:
  int fd_;
};

void signal(int eventfd) { EXPECT_EQ(::eventfd_write(eventfd, 1), 0); }
void clear(int eventfd) {
  eventfd_t v;
  EXPECT_EQ(::eventfd_read(eventfd, &v), 0);
}
// Has the wait begun and not ended?
bool parked(const Task& t) {
  t.wait_until_parked();
  return !t.done();
}

TEST(WaitFdReady, WhatIsThereCounts) {
  test::run([] {
    const Pipe p;
    EXPECT_TRUE(wait_writable(p.write_end()));
    EXPECT_EQ(wait_readable(p.read_end(), Deadline::after(0s)).error(), Errc::timed_out);
    p.write_byte('x');
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(wait_readable(p.read_end())) << "level-triggered";
    EXPECT_EQ(::fcntl(p.read_end(), F_GETFL) & O_NONBLOCK, 0) << "left as it was";
  });
}

TEST(WaitFdReady, RegularFilesAndDirectoriesAlwaysAre) {
  test::run([] {
    const Fd file(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
    EXPECT_TRUE(wait_readable(file));
    EXPECT_TRUE(wait_writable(file));
    const Fd directory(::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    EXPECT_TRUE(wait_readable(directory));
  });
}

TEST(WaitFdParks, PipeUntilBytesOrTheEnd) {
  test::run([] {
    int fds[2];
    ASSERT_EQ(::pipe2(fds, O_CLOEXEC), 0);
    const Fd in(fds[0]);
    Fd out(fds[1]);
    Task bytes([&] { EXPECT_TRUE(wait_readable(in)); });
    EXPECT_TRUE(parked(bytes));
    EXPECT_EQ(::write(out, "x", 1), 1);
    bytes.join();
    char c;
    EXPECT_EQ(::read(in, &c, 1), 1);
    Task end([&] { EXPECT_TRUE(wait_readable(in)); });
    EXPECT_TRUE(parked(end));
    out.close();
    end.join();
    EXPECT_TRUE(wait_readable(in));
  });
}

TEST(WaitFdParks, FullPipeUntilThereIsRoomOrNobodyReads) {
  test::run([] {
    int fds[2];
    ASSERT_EQ(::pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
    Fd in(fds[0]);
    const Fd out(fds[1]);
    std::string block(1 << 16, 'x');
    while (::write(out, block.data(), block.size()) > 0) {
    }
    Task room([&] { EXPECT_TRUE(wait_writable(out)); });
    EXPECT_TRUE(parked(room));
    EXPECT_GT(::read(in, block.data(), block.size()), 0);
    room.join();
    while (::write(out, block.data(), block.size()) > 0) {
    }
    Task broken([&] { EXPECT_TRUE(wait_writable(out)); });
    EXPECT_TRUE(parked(broken));
    in.close();
    broken.join();
  });
}

TEST(WaitFdParks, EventfdTimerfdInotifyAndEpoll) {
  test::run([] {
    const Fd event(::eventfd(0, EFD_CLOEXEC));
    const Fd nested(::epoll_create1(EPOLL_CLOEXEC));
    epoll_event e{};
    e.events = EPOLLIN;
    ASSERT_EQ(::epoll_ctl(nested, EPOLL_CTL_ADD, event, &e), 0);
    Task waits([&] { EXPECT_TRUE(wait_readable(event)); });
    Task nests([&] { EXPECT_TRUE(wait_readable(nested)); });
    EXPECT_TRUE(parked(waits) && parked(nests));
    signal(event);
    waits.join();
    nests.join();

    const Fd timer(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC));
    const itimerspec soon{.it_interval = {}, .it_value = {.tv_sec = 0, .tv_nsec = 1'000'000}};
    ASSERT_EQ(::timerfd_settime(timer, 0, &soon, nullptr), 0);
    EXPECT_TRUE(wait_readable(timer));

    char directory[] = "/tmp/treadle-wait-fd-XXXXXX";
    ASSERT_NE(::mkdtemp(directory), nullptr);
    const Fd watch(::inotify_init1(IN_CLOEXEC));
    ASSERT_GE(::inotify_add_watch(watch, directory, IN_DELETE_SELF), 0);
    Task sees([&] { EXPECT_TRUE(wait_readable(watch)); });
    EXPECT_TRUE(parked(sees));
    ::rmdir(directory);
    sees.join();
  });
}

TEST(WaitFdShared, RegisteredWithThePollerAlready) {
  test::run([] {
    int fds[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    auto owned = detail::Pollable::open(fds[0]);
    ASSERT_TRUE(owned);
    const Fd peer(fds[1]);
    Task waits([&] { EXPECT_TRUE(wait_readable(owned->fd())); });
    Task polls([&] {
      ASSERT_TRUE(owned->prepare(detail::PollMode::read));
      EXPECT_TRUE(owned->wait(detail::PollMode::read));
    });
    EXPECT_TRUE(parked(waits));
    EXPECT_TRUE(parked(polls));  // its prepare() would forget an edge that came before
    EXPECT_EQ(::send(peer, "x", 1, 0), 1);
    waits.join();
    polls.join();
  });
}

TEST(WaitFdShared, ManyWaitForOneDescriptorAndItsDuplicate) {
  test::run([] {
    const Fd event(::eventfd(0, EFD_CLOEXEC));
    const Fd duplicate(::fcntl(event, F_DUPFD_CLOEXEC, 3));
    std::vector<std::unique_ptr<Task>> tasks;
    for (int i = 0; i < 50; ++i)
      tasks.push_back(std::make_unique<Task>(
          [&, i] { EXPECT_TRUE(wait_readable(i % 2 ? event : duplicate)); }));
    for (auto& t : tasks) EXPECT_TRUE(parked(*t));
    signal(event);
    for (auto& t : tasks) t->join();
  });
}

TEST(WaitFdShared, BothDirectionsAtATime) {
  test::run([] {
    int fds[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    const Fd mine(fds[0]);
    const Fd peer(fds[1]);
    std::string block(1 << 16, 'x');
    while (::send(mine, block.data(), block.size(), 0) > 0) {
    }
    Task reads([&] { EXPECT_TRUE(wait_readable(mine)); });
    Task writes([&] { EXPECT_TRUE(wait_writable(mine)); });
    EXPECT_TRUE(parked(reads) && parked(writes));
    EXPECT_EQ(::send(peer, "x", 1, 0), 1);
    reads.join();
    EXPECT_FALSE(writes.done());
    while (::recv(peer, block.data(), block.size(), 0) > 0) {
    }
    writes.join();
  });
}

TEST(WaitFdError, NotADescriptor) {
  test::run([] {
    EXPECT_EQ(wait_readable(-1).error(), std::errc::bad_file_descriptor);
    EXPECT_EQ(wait_writable(1'000'000).error(), std::errc::bad_file_descriptor);
    Fd gone(::eventfd(0, EFD_CLOEXEC));
    const int number = gone;
    gone.close();
    EXPECT_EQ(wait_readable(number).error().value(), EBADF);
    const Fd path(::open("/", O_PATH | O_CLOEXEC));
    EXPECT_EQ(wait_readable(path).error(), std::errc::bad_file_descriptor);
  });
}

TEST(WaitFdError, NoDescriptorLeft) {
  test::run([] {
    const Fd event(::eventfd(0, EFD_CLOEXEC));
    const test::FewDescriptors none(0);
    EXPECT_EQ(wait_readable(event).error(), std::errc::too_many_files_open);
    signal(event);
    EXPECT_TRUE(wait_readable(event)) << "needs none when it is ready";
  });
}

TEST(WaitFdContext, CancelAndDeadlines) {
  test::run([] {
    const Fd event(::eventfd(0, EFD_CLOEXEC));
    auto [ctx, cancel] = with_cancel(background());
    Task given([&, &c = ctx] { EXPECT_EQ(wait_readable(event, c).error(), Errc::canceled); });
    Task current([&, &c = ctx] {
      const ContextScope scope(c);
      EXPECT_EQ(wait_readable(event).error(), Errc::canceled);
    });
    EXPECT_TRUE(parked(given) && parked(current));
    cancel();
    given.join();
    current.join();
    EXPECT_EQ(wait_readable(event, Deadline::after(1ms)).error(), Errc::timed_out);
    signal(event);
    EXPECT_EQ(wait_readable(event, ctx).error(), Errc::canceled) << "a done context comes first";
    EXPECT_TRUE(wait_readable(event, Deadline::after(-1s)));
  });
}

// The number gets another owner while somebody waits for the old file: the new one is a stranger.
TEST(WaitFdClosed, NumberReusedNeverWakesTheWaiter) {
  test::run([] {
    const Fd ready(::eventfd(1, EFD_CLOEXEC));
    Fd event(::eventfd(0, EFD_CLOEXEC));
    auto [ctx, cancel] = with_cancel(background());
    Task waits([&, &c = ctx] { EXPECT_EQ(wait_readable(event, c).error(), Errc::canceled); });
    EXPECT_TRUE(parked(waits));
    ASSERT_GE(::dup3(ready, event, O_CLOEXEC), 0);  // closes the old one, at once
    for (int i = 0; i < 200; ++i) gosched();
    EXPECT_EQ(wait_readable(event), Result<void>());
    EXPECT_FALSE(waits.done());
    cancel();
    waits.join();
  });
}

TEST(WaitFdClosed, OldFileBecomingReadyElsewhereSaysClosed) {
  test::run([] {
    Fd event(::eventfd(0, EFD_CLOEXEC));
    const Fd duplicate(::fcntl(event, F_DUPFD_CLOEXEC, 3));
    const Fd idle(::eventfd(0, EFD_CLOEXEC));
    Task replaced([&] { EXPECT_EQ(wait_readable(event).error(), Errc::closed); });
    EXPECT_TRUE(parked(replaced));
    ASSERT_GE(::dup3(idle, event, O_CLOEXEC), 0);
    signal(duplicate);
    replaced.join();
    clear(duplicate);
    const int number = ::fcntl(duplicate, F_DUPFD_CLOEXEC, 3);
    Task closed([&] { EXPECT_EQ(wait_readable(number).error(), Errc::closed); });
    EXPECT_TRUE(parked(closed));
    ::close(number);
    signal(duplicate);
    closed.join();
  });
}

TEST(WaitFdLeak, NeitherDescriptorsNorRegistrationsStay) {
  test::run([] {
    const auto descriptors = test::open_descriptors();
    const auto registered = rt::netpoll_waiters();
    {
      const Fd event(::eventfd(0, EFD_CLOEXEC));
      for (int i = 0; i < 300; ++i) {
        Task waits([&] { EXPECT_TRUE(wait_readable(event)); });
        if (i % 2) waits.wait_until_parked();
        auto expired = wait_readable(event, Deadline::after(1us));
        EXPECT_TRUE(expired || expired.error() == Errc::timed_out);
        signal(event);
        waits.join();
        clear(event);
      }
      // The owner closes and reuses the number under waiters whose file lives on.
      for (int i = 0; i < 100; ++i) {
        const int number = ::fcntl(event, F_DUPFD_CLOEXEC, 3);
        Task waits([&] { EXPECT_EQ(wait_readable(number).error(), Errc::closed); });
        waits.wait_until_parked();
        ::close(number);
        signal(event);
        waits.join();
        clear(event);
      }
    }
    EXPECT_EQ(test::open_descriptors(), descriptors);
    EXPECT_EQ(rt::netpoll_waiters(), registered);
  });
}

TEST(WaitFdThread, PlainThreadWaits) {
  const Fd event(::eventfd(0, EFD_CLOEXEC));
  std::thread waits([&] { EXPECT_TRUE(wait_readable(event)); });
  std::thread late([&] {
    EXPECT_EQ(wait_readable(-1).error(), std::errc::bad_file_descriptor);
    signal(event);
  });
  waits.join();
  late.join();
}

// The two look at the descriptor and register while the other changes it: no edge may be lost.
TEST(WaitFdRace, PingPongLosesNoWakeUp) {
  test::run([] {
    const Fd ping(::eventfd(0, EFD_CLOEXEC));
    const Fd pong(::eventfd(0, EFD_CLOEXEC));
    Task echo([&] {
      for (int i = 0; i < 1000; ++i) {
        ASSERT_TRUE(wait_readable(ping));
        clear(ping);
        signal(pong);
      }
    });
    for (int i = 0; i < 1000; ++i) {
      signal(ping);
      ASSERT_TRUE(wait_readable(pong));
      clear(pong);
    }
    echo.join();
  });
}

TEST(WaitFdRace, CancelAgainstReady) {
  test::run([] {
    int ready = 0;
    for (int i = 0; i < 300; ++i) {
      const Fd event(::eventfd(0, EFD_CLOEXEC));
      auto [ctx, cancel] = with_cancel(background());
      Task waits([&, &c = ctx] {
        auto r = wait_readable(event, c);
        EXPECT_TRUE(r || r.error() == Errc::canceled);
        ready += r.has_value();
      });
      if (i % 3) gosched();
      Task cancels([stop = cancel] { stop(); });
      signal(event);
      waits.join();
      cancels.join();
    }
    RecordProperty("ready", ready);
  });
}

}  // namespace
}  // namespace treadle
