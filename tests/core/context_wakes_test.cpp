// Whatever waits under a Context goes on when it ends: each kind of wait, ended in each way.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <functional>
#include <string>
#include <thread>

#include <treadle/chan.h>
#include <treadle/context.h>
#include <treadle/detail/poll_desc.h>
#include <treadle/go.h>
#include <treadle/mutex.h>
#include <treadle/wait_group.h>

#include "support/goroutine.h"

namespace treadle {
namespace {

using test::Task;
using namespace std::chrono_literals;

inline constexpr ContextKey<int> kWoken;

enum class By { goroutine, thread, deadline, parent };

struct Way {
  const char* name;
  By by;
  Errc error;
};
std::ostream& operator<<(std::ostream& out, const Way& way) { return out << way.name; }

// Runs `wait` until it is parked, ends its context and expects it to return the context's error.
void expect_woken(By by, Errc error, const std::function<std::error_code(const Context&)>& wait) {
  test::run([&] {
    auto root = by == By::deadline ? with_timeout(background(), 5ms) : with_cancel(background());
    auto made = by == By::parent
                    ? with_timeout(with_value(with_cancel(root.context).context, kWoken, 1), 1h)
                    : root;
    const Context ctx = with_value(made.context, kWoken, 2);
    std::error_code got;
    Task waiter([&] { got = wait(ctx); });
    if (by != By::deadline) waiter.wait_until_parked();
    if (by == By::goroutine || by == By::parent) root.cancel();
    if (by == By::thread) std::thread([&] { root.cancel(); }).join();
    waiter.join();
    EXPECT_EQ(got, error);
    // Done already: it does not park at all.
    EXPECT_EQ(wait(ctx), error);
  });
}

class EndOfContext : public ::testing::TestWithParam<Way> {
 protected:
  void expect(const std::function<std::error_code(const Context&)>& wait) const {
    expect_woken(GetParam().by, GetParam().error, wait);
  }
};

INSTANTIATE_TEST_SUITE_P(ContextWakes, EndOfContext,
                         ::testing::Values(Way{"Goroutine", By::goroutine, Errc::canceled},
                                           Way{"PlainThread", By::thread, Errc::canceled},
                                           Way{"Deadline", By::deadline, Errc::timed_out},
                                           Way{"Ancestor", By::parent, Errc::canceled}),
                         [](const auto& instance) { return std::string(instance.param.name); });

TEST_P(EndOfContext, ContextWait) {
  expect([](const Context& ctx) {
    ctx.wait();
    return ctx.error();
  });
}

TEST_P(EndOfContext, Sleep) {
  expect([](const Context& ctx) {
    const ContextScope scope(ctx);
    return sleep(1h).error();
  });
}

TEST_P(EndOfContext, ChannelReceive) {
  auto empty = make_chan<int>();
  expect([&](const Context& ctx) { return empty.recv(ctx).error(); });
  EXPECT_FALSE(empty.try_send(1)) << "a waiter was left behind";
}

TEST_P(EndOfContext, ChannelSend) {
  auto full = make_chan<int>(1);
  full.send(1);
  expect([&](const Context& ctx) { return full.send(2, ctx).error(); });
  EXPECT_EQ(full.try_recv(), 1);
  EXPECT_FALSE(full.try_recv()) << "an undelivered element came through";
}

TEST_P(EndOfContext, NilChannel) {
  expect([](const Context& ctx) { return Chan<int>().recv(ctx).error(); });
  expect([](const Context& ctx) { return Chan<int>().send(1, ctx).error(); });
}

TEST_P(EndOfContext, Mutex) {
  Mutex mutex;
  mutex.lock();
  expect([&](const Context& ctx) { return mutex.lock(ctx).error(); });
  mutex.unlock();
  EXPECT_TRUE(mutex.try_lock());
  mutex.unlock();
}

TEST_P(EndOfContext, WaitGroup) {
  WaitGroup group;
  group.add(1);
  expect([&](const Context& ctx) { return group.wait(ctx).error(); });
  group.done();
  group.wait();
}

TEST_P(EndOfContext, Descriptor) {
  int fds[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
  auto a = detail::Pollable::open(fds[0]), b = detail::Pollable::open(fds[1]);
  ASSERT_TRUE(a && b);
  expect([&](const Context& ctx) {
    const ContextScope scope(ctx);
    for (;;) {
      if (auto r = a->prepare(detail::PollMode::read); !r) return r.error();
      if (auto r = a->wait(detail::PollMode::read); !r) return r.error();
    }
  });
}

}  // namespace
}  // namespace treadle
