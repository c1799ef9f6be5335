// Listening sockets before there is a poller: Unix files, and those taken over.
#include <treadle/net/listen_socket.h>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include <treadle/net/tcp.h>

#include "net/net_fixture.h"
#include "support/goroutine.h"
#include "support/temporary_tree.h"

namespace treadle::net {
namespace {

using namespace std::chrono_literals;
using test::read_exactly;
using test::TemporaryTree;

int option(int fd, int level, int name) {
  int value = -1;
  socklen_t length = sizeof value;
  return ::getsockopt(fd, level, name, &value, &length) == 0 ? value : -1;
}

bool exists(const std::string& path) { return std::filesystem::exists(path); }

mode_t mode_of(const std::string& path) {
  struct stat s{};
  return ::stat(path.c_str(), &s) == 0 ? s.st_mode & 07777 : 0;
}

// A blocking client.
int connect_to(const SocketAddress& address) {
  const int fd = ::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (::connect(fd, address.native(), address.native_size()) == 0) return fd;
  ::close(fd);
  return -1;
}

TEST(ListenSocketUnix, AcceptsAndRemovesItsFile) {
  test::run([] {
    TemporaryTree tree;
    const std::string path = tree.path("s");
    auto listener = listen("unix:" + path);
    ASSERT_TRUE(listener) << listener.error().message();
    EXPECT_EQ(listener->address().to_string(), "unix:" + path);
    EXPECT_EQ(mode_of(path), 0660U);
    const int client = connect_to(listener->address());
    ASSERT_GE(client, 0);
    auto conn = listener->accept();
    ASSERT_TRUE(conn);
    EXPECT_EQ((*conn)->remote_address().family(), AF_UNIX);
    ASSERT_EQ(::write(client, "hello", 5), 5);
    EXPECT_EQ(read_exactly(**conn, 5), "hello");
    ASSERT_TRUE((*conn)->write_all("back"));
    char got[4];
    EXPECT_EQ(::read(client, got, sizeof got), 4);
    ::close(client);
    auto none = listener->try_accept();
    ASSERT_TRUE(none);
    EXPECT_EQ(*none, nullptr);
    listener->close();
    EXPECT_FALSE(exists(path));
  });
}

TEST(ListenSocketUnix, ModeIsWhatWasAskedFor) {
  TemporaryTree tree;
  auto listener = listen_unix(tree.path("s"), 0606);
  ASSERT_TRUE(listener);
  EXPECT_EQ(mode_of(tree.path("s")), 0606U);
}

TEST(ListenSocketUnix, StaleFileIsReplaced) {
  TemporaryTree tree;
  const std::string path = tree.path("s");
  {
    auto died = ListenSocket::open("unix:" + path);
    ASSERT_TRUE(died);
    died->file().keep();
  }
  ASSERT_TRUE(exists(path));
  EXPECT_TRUE(ListenSocket::open("unix:" + path));
}

TEST(ListenSocketUnix, LivingOneIsLeftAlone) {
  TemporaryTree tree;
  const std::string path = tree.path("s");
  // Its backlog is full, which is no reason to take it for dead.
  auto first = ListenSocket::open("unix:" + path, {.backlog = 0});
  ASSERT_TRUE(first);
  const int waiting = connect_to(first->address());
  EXPECT_GE(waiting, 0);
  auto second = ListenSocket::open("unix:" + path);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error(), std::errc::address_in_use);
  EXPECT_TRUE(exists(path));
  ::close(waiting);
}

TEST(ListenSocketUnix, OtherFilesAreNeverRemoved) {
  TemporaryTree tree;
  tree.write("f", "precious");
  auto socket = ListenSocket::open("unix:" + tree.path("f"));
  ASSERT_FALSE(socket);
  EXPECT_EQ(socket.error(), std::errc::address_in_use);
  EXPECT_TRUE(exists(tree.path("f")));
  // Nor what a link leads to.
  tree.link("l", "f");
  EXPECT_FALSE(ListenSocket::open("unix:" + tree.path("l")));
  EXPECT_TRUE(exists(tree.path("f")));
}

TEST(ListenSocketUnix, SomebodyElsesFileIsNotRemoved) {
  TemporaryTree tree;
  const std::string path = tree.path("s");
  auto first = ListenSocket::open("unix:" + path);
  ASSERT_TRUE(first);
  ::unlink(path.c_str());
  auto second = ListenSocket::open("unix:" + path);
  ASSERT_TRUE(second);
  {
    const ListenSocket gone = std::move(*first);
  }
  EXPECT_TRUE(exists(path));
}

TEST(ListenSocketUnix, AbstractNameHasNoFile) {
  const std::string name = "unix:@treadle-test-" + std::to_string(::getpid());
  auto socket = ListenSocket::open(name);
  ASSERT_TRUE(socket);
  EXPECT_FALSE(socket->file());
  EXPECT_EQ(ListenSocket::open(name).error(), std::errc::address_in_use);
}

TEST(ListenSocketAdopt, ListeningOneGetsFlagsAndOptions) {
  test::run([] {
    auto made = ListenSocket::open("127.0.0.1:0");
    ASSERT_TRUE(made);
    const int given = ::dup(made->fd());
    ::fcntl(given, F_SETFL, 0);
    auto taken = ListenSocket::adopt(given, {.keep_alive = 30s});
    ASSERT_TRUE(taken) << taken.error().message();
    EXPECT_EQ(taken->address(), made->address());
    EXPECT_NE(::fcntl(given, F_GETFL) & O_NONBLOCK, 0);
    EXPECT_EQ(::fcntl(given, F_GETFD), FD_CLOEXEC);
    EXPECT_EQ(option(given, IPPROTO_TCP, TCP_NODELAY), 1);
    EXPECT_EQ(option(given, IPPROTO_TCP, TCP_KEEPIDLE), 30);
    auto listener = Listener::adopt(std::move(*taken));
    ASSERT_TRUE(listener);
    auto client = dial_tcp(listener->address());
    EXPECT_TRUE(listener->accept());
  });
}

TEST(ListenSocketAdopt, AnythingElseIsRefusedAndClosed) {
  struct Case {
    int fd;
    int error;
  };
  const int unbound = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int datagram = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const int file = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  for (const Case& c : {Case{unbound, EINVAL}, {datagram, EINVAL}, {file, ENOTSOCK}}) {
    auto taken = ListenSocket::adopt(c.fd);
    ASSERT_FALSE(taken);
    EXPECT_EQ(taken.error().value(), c.error);
    EXPECT_EQ(::fcntl(c.fd, F_GETFD), -1);
  }
}

TEST(ListenSocketAdopt, FileStaysUnlessItIsOwned) {
  TemporaryTree tree;
  const std::string path = tree.path("s");
  auto made = ListenSocket::open("unix:" + path);
  ASSERT_TRUE(made);
  made->file().keep();
  {
    auto taken = ListenSocket::adopt(::dup(made->fd()));
    ASSERT_TRUE(taken);
  }
  EXPECT_TRUE(exists(path));
  {
    auto taken = ListenSocket::adopt(::dup(made->fd()));
    ASSERT_TRUE(taken);
    taken->file() = SocketFile(path);
  }
  EXPECT_FALSE(exists(path));
}

TEST(ListenSocketKeepAlive, IntervalOffAndLimit) {
  auto off = ListenSocket::open("127.0.0.1:0", {.keep_alive = 0s});
  ASSERT_TRUE(off);
  EXPECT_EQ(option(off->fd(), SOL_SOCKET, SO_KEEPALIVE), 0);
  auto rounded = ListenSocket::open("127.0.0.1:0", {.keep_alive = 1500ms});
  ASSERT_TRUE(rounded);
  EXPECT_EQ(option(rounded->fd(), IPPROTO_TCP, TCP_KEEPIDLE), 2);
  auto longest = ListenSocket::open("127.0.0.1:0", {.keep_alive = 1000h});
  ASSERT_TRUE(longest);
  EXPECT_EQ(option(longest->fd(), IPPROTO_TCP, TCP_KEEPIDLE), 32767);
}

}  // namespace
}  // namespace treadle::net
