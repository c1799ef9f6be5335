#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <treadle/go.h>
#include <treadle/log.h>
#include <treadle/net/tcp.h>
#include <set>
#include <vector>

#include "net/net_fixture.h"
#include "runtime/sanitizer.h"
#include "support/goroutine.h"
#include "support/raw_client.h"
#include "support/spawn.h"

namespace treadle::net {
namespace {

using test::make_listener;
using test::RawClient;
using test::read_exactly;
using test::Task;

TEST(ListenerBind, TellsItsRealPort) {
  const auto listener = listen_tcp("127.0.0.1:0");
  ASSERT_TRUE(listener);
  EXPECT_EQ(listener->address().host(), "127.0.0.1");
  EXPECT_NE(listener->address().port(), 0);
}

TEST(ListenerBind, BusyPortIsRefused) {
  const auto first = listen_tcp("127.0.0.1:0");
  ASSERT_TRUE(first);
  const auto second = listen_tcp(first->address());
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error(), std::errc::address_in_use);
}

TEST(ListenerBind, ReusePortSharesOne) {
  const auto first = listen_tcp("127.0.0.1:0", {.reuse_port = true});
  ASSERT_TRUE(first);
  EXPECT_TRUE(listen_tcp(first->address(), {.reuse_port = true}));
}

TEST(ListenerBind, PortIsFreeAgainAfterClose) {
  test::run([] {
    Listener first = make_listener();
    const SocketAddress address = first.address();
    // A connection that our side closes first leaves TIME_WAIT behind.
    auto client = dial_tcp(address);
    auto server = first.accept();
    ASSERT_TRUE(client && server);
    server->reset();
    client->reset();
    first.close();
    EXPECT_TRUE(listen_tcp(address));
  });
}

TEST(ListenerBind, BadAddressesAreErrors) {
  EXPECT_EQ(listen_tcp("localhost:80").error(), Errc::invalid);
  EXPECT_EQ(listen_tcp("unix:/tmp/x").error(), Errc::invalid);
  EXPECT_EQ(listen_tcp(SocketAddress()).error(), Errc::invalid);
  EXPECT_EQ(listen_tcp("203.0.113.1:80").error(), std::errc::address_not_available);
}

TEST(ListenerBind, EveryAddressTakesIpv4AndNamesItSo) {
  test::run([] {
    auto listener = listen_tcp(":0");
    ASSERT_TRUE(listener) << listener.error().message();
    auto client = dial_tcp("127.0.0.1:" + std::to_string(listener->address().port()));
    ASSERT_TRUE(client) << client.error().message();
    auto server = listener->accept();
    ASSERT_TRUE(server);
    EXPECT_EQ((*server)->remote_address().host(), "127.0.0.1");
  });
}

TEST(ListenerBind, EveryAddressTakesIpv6WhereThereIsIt) {
  test::run([] {
    if (!listen_tcp("[::1]:0")) GTEST_SKIP() << "no IPv6 here";
    auto listener = listen_tcp(":0");
    ASSERT_TRUE(listener);
    auto client = dial_tcp("[::1]:" + std::to_string(listener->address().port()));
    ASSERT_TRUE(client) << client.error().message();
    auto server = listener->accept();
    ASSERT_TRUE(server);
    EXPECT_EQ((*server)->remote_address().host(), "::1");
  });
}

int socket_option(int fd, int level, int name) {
  int value = -1;
  socklen_t length = sizeof value;
  return ::getsockopt(fd, level, name, &value, &length) == 0 ? value : -1;
}

// Finds the socket with that local port and peer port among our own descriptors.
int find_socket(std::uint16_t local, std::uint16_t peer) {
  for (int fd = 0; fd < 1024; ++fd) {
    sockaddr_in a{};
    sockaddr_in b{};
    socklen_t la = sizeof a;
    socklen_t lb = sizeof b;
    if (::getsockname(fd, reinterpret_cast<sockaddr*>(&a), &la) == 0 &&
        ::getpeername(fd, reinterpret_cast<sockaddr*>(&b), &lb) == 0 &&
        ntohs(a.sin_port) == local && ntohs(b.sin_port) == peer)
      return fd;
  }
  return -1;
}

TEST(ListenerAccept, ConnectionsHaveTheirOptions) {
  test::run([] {
    Listener listener = make_listener();
    auto client = dial_tcp(listener.address());
    auto server = listener.accept();
    ASSERT_TRUE(client && server);
    const std::uint16_t ours = (*server)->local_address().port();
    const std::uint16_t theirs = (*client)->local_address().port();
    for (const int fd : {find_socket(ours, theirs), find_socket(theirs, ours)}) {
      ASSERT_GE(fd, 0);
      EXPECT_EQ(socket_option(fd, IPPROTO_TCP, TCP_NODELAY), 1);
      EXPECT_EQ(socket_option(fd, SOL_SOCKET, SO_OOBINLINE), 1);
      EXPECT_EQ(socket_option(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
      EXPECT_EQ(socket_option(fd, IPPROTO_TCP, TCP_KEEPIDLE), 15);
      EXPECT_EQ(socket_option(fd, IPPROTO_TCP, TCP_KEEPINTVL), 15);
    }
  });
}

TEST(ListenerAccept, BurstLosesNoConnection) {
  test::run([] {
    Listener listener = make_listener();
    for (int round = 0; round < 20; ++round) {
      constexpr std::size_t kBurst = 50;
      std::set<std::uint16_t> seen;
      Task acceptor([&] {
        while (seen.size() < kBurst) {
          auto conn = listener.accept();
          ASSERT_TRUE(conn);
          seen.insert((*conn)->remote_address().port());
        }
      });
      if (round % 2 == 0) acceptor.wait_until_parked();
      std::set<std::uint16_t> made;
      std::vector<std::unique_ptr<TcpConn>> clients;
      while (made.size() < kBurst) {
        auto conn = dial_tcp(listener.address());
        ASSERT_TRUE(conn);
        made.insert((*conn)->local_address().port());
        clients.push_back(std::move(*conn));
      }
      acceptor.join();
      EXPECT_EQ(seen, made);
    }
  });
}

TEST(ListenerAccept, ConnectionThatIsGoneAlreadyIsNoError) {
  test::run([] {
    Listener listener = make_listener();
    for (int i = 0; i < 20; ++i) RawClient(listener.address().port()).reset();
    RawClient last(listener.address().port());
    last.send("here");
    for (;;) {
      auto conn = listener.accept();
      ASSERT_TRUE(conn) << conn.error().message();
      if ((*conn)->remote_address().port() != last.local_port()) continue;
      EXPECT_EQ(read_exactly(**conn, 4), "here");
      return;
    }
  });
}

TEST(ListenerTryAccept, SaysWhetherOneHasCome) {
  test::run([] {
    Listener listener = make_listener();
    auto none = listener.try_accept();
    ASSERT_TRUE(none);
    EXPECT_EQ(*none, nullptr);
    RawClient client(listener.address().port());
    const auto limit = Deadline::after(test::patience());
    for (;;) {
      auto one = listener.try_accept();
      ASSERT_TRUE(one);
      if (*one) break;
      ASSERT_FALSE(limit.passed());
      gosched();
    }
  });
}

// UBSan looks at an object's type by way of a pipe, and takes the lack of descriptors for a wrong
// type.
#if TREADLE_ASAN
constexpr bool kFamineConfusesSanitizer = true;
#else
constexpr bool kFamineConfusesSanitizer = false;
#endif

// Takes every descriptor this process may have, and gives them back.
class DescriptorFamine {
 public:
  DescriptorFamine() {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    rlimit low = before_;
    low.rlim_cur = 256;
    ::setrlimit(RLIMIT_NOFILE, &low);
    for (int fd = ::dup(0); fd >= 0; fd = ::dup(0)) taken_.push_back(fd);
  }
  ~DescriptorFamine() { end(); }
  void end() {
    for (const int fd : taken_) ::close(fd);
    taken_.clear();
    ::setrlimit(RLIMIT_NOFILE, &before_);
  }
  // One descriptor is free again.
  void relent() {
    ::close(taken_.back());
    taken_.pop_back();
  }

 private:
  rlimit before_{};
  std::vector<int> taken_;
};

TEST(ListenerFamine, AcceptWaitsItOut) {
  if (kFamineConfusesSanitizer) GTEST_SKIP() << "UBSan needs descriptors itself";
  test::run([] {
    log::set_level(log::Level::off);
    Listener listener = make_listener();
    RawClient client(listener.address().port());
    DescriptorFamine famine;
    EXPECT_EQ(listener.try_accept().error(), std::errc::too_many_files_open);
    Task acceptor([&] {
      auto conn = listener.accept();
      ASSERT_TRUE(conn) << conn.error().message();
      EXPECT_EQ(read_exactly(**conn, 5), "hello");
    });
    acceptor.wait_until_parked();
    EXPECT_FALSE(acceptor.done());
    famine.relent();
    client.send("hello");
    acceptor.join();
    famine.end();
    log::set_level(log::Level::info);
  });
}

TEST(ListenerFamine, CloseEndsThePause) {
  if (kFamineConfusesSanitizer) GTEST_SKIP() << "UBSan needs descriptors itself";
  test::run([] {
    log::set_level(log::Level::off);
    Listener listener = make_listener();
    RawClient client(listener.address().port());
    DescriptorFamine famine;
    for (const bool by_close : {false, true}) {
      const auto cancelable = with_cancel(background());
      Task acceptor([&] {
        const ContextScope scope(cancelable.context);
        const auto conn = listener.accept();
        ASSERT_FALSE(conn);
        EXPECT_EQ(conn.error(), by_close ? Errc::closed : Errc::canceled);
      });
      // Until the pause has grown to 640 ms (it began with 5), so that ending it early shows.
      (void)sleep(std::chrono::milliseconds(700));
      const auto begin = Clock::now();
      if (by_close)
        listener.close();
      else
        cancelable.cancel();
      acceptor.join();
      EXPECT_LT(Clock::now() - begin, std::chrono::milliseconds(400));
    }
    famine.end();
    log::set_level(log::Level::info);
  });
}

}  // namespace
}  // namespace treadle::net
