// pure: sockets handed down, as the environment has them.
#include "service/inherited.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "service/notify.h"
#include "service/successor.h"

namespace treadle::net::service {
namespace {

using namespace std::chrono_literals;

using Matches = std::vector<std::optional<std::size_t>>;

TEST(ServiceInheritedActivation, DescriptorsBeginAtThreeAndHaveNames) {
  auto i = parse_activation("42", "2", "listen:admin", 42);
  ASSERT_TRUE(i) << i.error();
  ASSERT_EQ(i->sockets.size(), 2U);
  EXPECT_EQ(i->sockets[0].fd, 3);
  EXPECT_EQ(i->sockets[0].name, "listen");
  EXPECT_EQ(i->sockets[1].fd, 4);
  EXPECT_EQ(i->sockets[1].name, "admin");
  EXPECT_FALSE(i->from_predecessor);
}

TEST(ServiceInheritedActivation, NamesMayBeMissing) {
  auto i = parse_activation("42", "2", "", 42);
  ASSERT_TRUE(i);
  EXPECT_EQ(i->sockets[1].name, "");
}

TEST(ServiceInheritedActivation, AnotherProcessesAreNotOurs) {
  for (auto [pid, fds] : {std::pair{"43", "2"}, {"", "2"}, {"42", ""}, {"42", "0"}}) {
    auto i = parse_activation(pid, fds, "", 42);
    ASSERT_TRUE(i);
    EXPECT_TRUE(i->sockets.empty());
  }
}

TEST(ServiceInheritedActivation, NonsenseIsAnErrorThatNamesTheVariable) {
  EXPECT_NE(parse_activation("x", "1", "", 42).error().find("LISTEN_PID"), std::string::npos);
  for (const char* fds : {"-1", "x", "1 ", "1025", "99999999999999999999"})
    EXPECT_NE(parse_activation("42", fds, "", 42).error().find("LISTEN_FDS"), std::string::npos);
  EXPECT_NE(parse_activation("42", "1", "a:b", 42).error().find("LISTEN_FDNAMES"),
            std::string::npos);
}

TEST(ServiceInheritedHandover, TextComesBackAsItWas) {
  Inheritance i;
  i.ready_fd = 9;
  i.sockets = {{7, "127.0.0.1:0", 12345, false}, {8, "unix:/a b/\"c\"", 6, true}};
  auto back = parse_handover(format_handover(i));
  ASSERT_TRUE(back) << back.error();
  EXPECT_TRUE(back->from_predecessor);
  EXPECT_EQ(back->ready_fd, 9);
  ASSERT_EQ(back->sockets.size(), 2U);
  EXPECT_EQ(back->sockets[1].fd, 8);
  EXPECT_EQ(back->sockets[1].name, "unix:/a b/\"c\"");
  EXPECT_EQ(back->sockets[1].inode, 6U);
  EXPECT_TRUE(back->sockets[1].owns_file);
  EXPECT_FALSE(back->sockets[0].owns_file);
}

TEST(ServiceInheritedHandover, NonsenseIsAnError) {
  for (const char* text :
       {"x", "ready", "ready x", "ready 2", "ready 3 4", "socket 3", "socket 3 4", "socket 3 4 -",
        "socket 3 x - :1", "socket 1 4 - :1", "socket 3 4 y :1"})
    EXPECT_FALSE(parse_handover(text)) << text;
}

TEST(ServiceInheritedHandover, OnlyTheVerySocketsAreOurs) {
  int pipe[2];
  ASSERT_EQ(::pipe2(pipe, O_CLOEXEC), 0);
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct stat s{};
  ASSERT_EQ(::fstat(socket, &s), 0);
  Inheritance i;
  i.ready_fd = pipe[1];
  i.sockets = {{socket, ":1", s.st_ino, false}};
  EXPECT_TRUE(is_ours(i));
  i.sockets[0].inode += 1;
  EXPECT_FALSE(is_ours(i));
  i.sockets[0] = {pipe[0], ":1", s.st_ino, false};
  EXPECT_FALSE(is_ours(i));
  i.sockets.clear();
  i.ready_fd = socket;
  EXPECT_FALSE(is_ours(i));
  for (const int fd : {pipe[0], pipe[1], socket}) ::close(fd);
}

TEST(ServiceInheritedMatch, ByNameThenByOrder) {
  const std::vector<WantedSocket> wanted = {
      {"listen", ":1"}, {"endpoint1", ":2"}, {"endpoint2", ":3"}};
  Inheritance i;
  i.sockets = {{.fd = 3, .name = "x.socket"}, {.fd = 4, .name = "listen"}};
  EXPECT_EQ(*match(i, wanted), (Matches{1, 0, std::nullopt}));
  i.sockets = {{.fd = 3, .name = "listen"}, {.fd = 4, .name = "listen"}};
  EXPECT_EQ(*match(i, wanted), (Matches{0, 1, std::nullopt}));
  i.sockets.resize(4);
  EXPECT_FALSE(match(i, wanted));
  EXPECT_EQ(*match({}, wanted), (Matches{std::nullopt, std::nullopt, std::nullopt}));
}

TEST(ServiceInheritedMatch, PredecessorsByAddress) {
  Inheritance i;
  i.from_predecessor = true;
  i.sockets = {{.fd = 3, .name = ":0"}, {.fd = 4, .name = ":0"}, {.fd = 5, .name = ":9"}};
  EXPECT_EQ(*match(i, {{"listen", ":8"}, {"endpoint1", ":0"}, {"endpoint2", ":0"}}),
            (Matches{std::nullopt, 0, 1}));
}

TEST(ServiceInheritedWatchdog, IntervalIsForItsProcessOnly) {
  EXPECT_EQ(watchdog_interval("30000000", "", 7), Duration(30s));
  EXPECT_EQ(watchdog_interval("1500", "7", 7), Duration(1500us));
  EXPECT_EQ(watchdog_interval("1500", "8", 7), std::nullopt);
  for (const char* text : {"", "0", "-1", "x", "1s", "99999999999999999999"})
    EXPECT_EQ(watchdog_interval(text, "", 7), std::nullopt) << text;
}

TEST(ServiceInheritedProgram, KnowsItsOwnFile) {
  auto program = this_program();
  ASSERT_TRUE(program) << program.error();
  EXPECT_TRUE(program->path.starts_with('/'));
  struct stat ours{};
  struct stat named{};
  ASSERT_EQ(::stat("/proc/self/exe", &ours), 0);
  ASSERT_EQ(::stat(program->path.c_str(), &named), 0);
  EXPECT_EQ(ours.st_ino, named.st_ino);
  EXPECT_FALSE(program->arguments.empty());
}

}  // namespace
}  // namespace treadle::net::service
