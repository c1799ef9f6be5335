#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <treadle/context.h>
#include <treadle/go.h>
#include <treadle/net/tcp.h>
#include <chrono>
#include <filesystem>
#include <vector>

#include "net/net_fixture.h"
#include "resolve.h"
#include "support/goroutine.h"
#include "support/spawn.h"

namespace treadle::net {
namespace {

using namespace std::chrono_literals;
using test::make_listener;
using test::read_exactly;
using test::Task;

std::size_t open_descriptors() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

// A listener that accepts nothing and whose queue is full: a further connection attempt is neither
// answered nor refused.
class FullBacklog {
 public:
  FullBacklog() {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* native = reinterpret_cast<sockaddr*>(&address);
    socklen_t length = sizeof address;
    EXPECT_EQ(::bind(listener_, native, length), 0);
    EXPECT_EQ(::listen(listener_, 0), 0);
    EXPECT_EQ(::getsockname(listener_, native, &length), 0);
    address_ = SocketAddress::from_native(native, length);
    for (int i = 0; i < 4; ++i) {
      fillers_.push_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
      const bool connected = ::connect(fillers_.back(), native, length) == 0;
      EXPECT_TRUE(connected || errno == EINPROGRESS);
    }
  }
  ~FullBacklog() {
    for (const int fd : fillers_) ::close(fd);
    ::close(listener_);
  }
  FullBacklog(const FullBacklog&) = delete;
  FullBacklog& operator=(const FullBacklog&) = delete;
  const SocketAddress& address() const { return address_; }

 private:
  int listener_ = -1;
  std::vector<int> fillers_;
  SocketAddress address_;
};

TEST(DialAddress, Connects) {
  test::run([] {
    Listener listener = make_listener();
    auto conn = dial_tcp(listener.address());
    ASSERT_TRUE(conn) << conn.error().message();
    auto server = listener.accept();
    ASSERT_TRUE(server);
    ASSERT_TRUE((*conn)->write_all("x"));
    EXPECT_EQ(read_exactly(**server, 1), "x");
    EXPECT_FALSE((*conn)->peer_closed()) << "a fresh connection is not closed by its peer";
  });
}

TEST(DialAddress, RefusedIsSaid) {
  test::run([] {
    const std::size_t before = open_descriptors();
    for (int i = 0; i < 50; ++i) {
      const auto conn = dial_tcp("127.0.0.1:" + std::to_string(test::unused_port()));
      ASSERT_FALSE(conn);
      EXPECT_EQ(conn.error(), std::errc::connection_refused);
    }
    EXPECT_EQ(open_descriptors(), before);
  });
}

TEST(DialAddress, EmptyHostIsThisMachine) {
  test::run([] {
    Listener listener = make_listener();
    const std::string port = ":" + std::to_string(listener.address().port());
    EXPECT_TRUE(dial_tcp(port));
    EXPECT_TRUE(dial_tcp("0.0.0.0" + port));
  });
}

TEST(DialAddress, BadTextIsInvalid) {
  test::run([] {
    for (const char* text : {"", "localhost", "localhost:", "localhost:x", "localhost:65536",
                             "[::1]", "::1:80", "unix:/tmp/x", "a b:80", "http://localhost:80"})
      EXPECT_EQ(dial_tcp(text).error(), Errc::invalid) << text;
    EXPECT_EQ(dial_tcp(SocketAddress()).error(), Errc::invalid);
  });
}

TEST(DialName, LocalhostTriesEachAddress) {
  test::run([] {
    // Listens on IPv4 only: where localhost is ::1 too, that is refused first.
    Listener listener = make_listener();
    auto conn = dial_tcp("localhost:" + std::to_string(listener.address().port()));
    ASSERT_TRUE(conn) << conn.error().message();
    EXPECT_TRUE(listener.accept());
  });
}

TEST(DialName, ErrorOfTheLastAddressIsSaid) {
  test::run([] {
    EXPECT_EQ(dial_tcp("localhost:" + std::to_string(test::unused_port())).error(),
              std::errc::connection_refused);
  });
}

TEST(DialName, LocalhostResolvesUnderAContextToo) {
  test::run([] {
    const auto limited = with_timeout(background(), test::patience());
    const ContextScope scope(limited.context);
    const auto found = resolve("localhost", 80);
    ASSERT_TRUE(found) << found.error().message();
    for (const auto& a : *found) EXPECT_EQ(a.port(), 80);
  });
}

TEST(DialName, CancelledBeforeLooksNothingUp) {
  test::run([] {
    const auto [ctx, cancel] = with_cancel(background());
    const ContextScope scope(ctx);
    cancel();
    EXPECT_EQ(resolve("localhost", 80).error(), Errc::canceled);
    EXPECT_EQ(dial_tcp("localhost:80").error(), Errc::canceled);
  });
}

TEST(DialContext, TimeoutEndsADialThatIsNotAnswered) {
  test::run([] {
    const FullBacklog busy;
    const std::size_t before = open_descriptors();
    const auto limited = with_timeout(background(), 50ms);
    const ContextScope scope(limited.context);
    const auto conn = dial_tcp(busy.address());
    ASSERT_FALSE(conn);
    EXPECT_EQ(conn.error(), Errc::timed_out);
    EXPECT_EQ(open_descriptors(), before) << "the loser's descriptor is closed";
  });
}

TEST(DialContext, CancelEndsADialThatIsNotAnswered) {
  test::run([] {
    const FullBacklog busy;
    const std::size_t before = open_descriptors();
    for (int i = 0; i < 20; ++i) {
      const auto cancelable = with_cancel(background());
      Task dialer([&] {
        const ContextScope scope(cancelable.context);
        EXPECT_EQ(dial_tcp(busy.address()).error(), Errc::canceled);
      });
      if (i % 2 == 0) dialer.wait_until_parked();
      cancelable.cancel();
      dialer.join();
    }
    EXPECT_EQ(open_descriptors(), before);
  });
}

TEST(DialContext, RacingWithTheAnswerLeaksNothing) {
  test::run([] {
    Listener listener = make_listener();
    const std::size_t before = open_descriptors();
    for (int i = 0; i < 100; ++i) {
      const auto cancelable = with_cancel(background());
      Task canceller([&] { cancelable.cancel(); });
      {
        const ContextScope scope(cancelable.context);
        const auto conn = dial_tcp(listener.address());
        if (!conn) {
          EXPECT_EQ(conn.error(), Errc::canceled);
        }
      }
      canceller.join();
      for (;;) {
        auto got = listener.try_accept();
        ASSERT_TRUE(got);
        if (!*got) break;
      }
    }
    EXPECT_EQ(open_descriptors(), before);
  });
}

}  // namespace
}  // namespace treadle::net
