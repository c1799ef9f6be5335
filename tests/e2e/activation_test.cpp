// Socket activation: the test is the service manager.
#include <fcntl.h>
#include <fmt/format.h>

#include <filesystem>

#include "e2e/service_app.h"
#include "support/temporary_tree.h"

namespace treadle::test {
namespace {

// A listening socket on a free port, to be inherited by children.
class Passed {
 public:
  Passed() : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof in;
    auto* native = reinterpret_cast<sockaddr*>(&in);
    if (::bind(fd_, native, length) != 0 || ::listen(fd_, 128) != 0 ||
        ::getsockname(fd_, native, &length) != 0)
      ADD_FAILURE() << "no listening socket";
    port_ = ntohs(in.sin_port);
  }
  ~Passed() { ::close(fd_); }
  Passed(const Passed&) = delete;
  Passed& operator=(const Passed&) = delete;
  int fd() const noexcept { return fd_; }
  std::uint16_t port() const noexcept { return port_; }

 private:
  int fd_;
  std::uint16_t port_ = 0;
};

// Runs the app with descriptors 3 and up as given. A shell moves them there: through numbers far
// above, since one may be the place of another.
Process activated(std::string_view app, const std::vector<int>& fds, std::string_view variables,
                  std::vector<std::string> flags = {}) {
  std::string script;
  for (std::size_t i = 0; i < fds.size(); ++i)
    script += fmt::format("exec {}<&{};", 200 + i, fds[i]);
  for (std::size_t i = 0; i < fds.size(); ++i)
    script += fmt::format("exec {}<&{} {}<&-;", 3 + i, 200 + i, 200 + i);
  script += fmt::format("export {}; exec \"$0\" \"$@\"", variables);
  std::vector<std::string> argv = {"bash", "-c", script};
  for (std::string& s : app_command(app, std::move(flags))) argv.push_back(std::move(s));
  return Process(argv);
}

std::string get_hello(std::uint16_t port) {
  const int fd = connect_port(port);
  const std::string got = ask(fd, "close");
  ::close(fd);
  return got;
}

TEST(Activation, PassedSocketIsServed) {
  for (std::string_view app : {"treadle-hello", "treadle-echo"}) {
    SCOPED_TRACE(app);
    Passed socket;
    // A client that came before the server was started is served as well.
    const int early = connect_port(socket.port());
    Process process = activated(app, {socket.fd()}, "LISTEN_PID=$$ LISTEN_FDS=1");
    ASSERT_TRUE(process.wait_for_output(fmt::format("127.0.0.1:{}", socket.port())));
    if (app == "treadle-hello") {
      EXPECT_TRUE(ask(early, "close").ends_with("Hello, World!"));
    }
    ::close(early);
    process.signal(SIGTERM);
    EXPECT_EQ(process.wait(), 0);
  }
}

TEST(Activation, AnotherProcessesVariablesAreLeftAlone) {
  Passed socket;
  Process process = activated("treadle-hello", {socket.fd()}, "LISTEN_PID=1 LISTEN_FDS=1",
                              {"--listen", "127.0.0.1:0"});
  ASSERT_TRUE(process.wait_for_output("127.0.0.1:"));
  EXPECT_NE(number_after(process.output(), "127.0.0.1:"), socket.port());
}

TEST(Activation, WhatIsNoListeningSocketIsOneLineAndExitCodeOne) {
  const int null = ::open("/dev/null", O_RDWR);
  Process process = activated("treadle-hello", {null}, "LISTEN_PID=$$ LISTEN_FDS=1");
  EXPECT_EQ(process.wait(), 1);
  EXPECT_NE(process.output().find("descriptor 3"), std::string::npos) << process.output();
  ::close(null);
  Passed a;
  Passed b;
  Process more = activated("treadle-hello", {a.fd(), b.fd()}, "LISTEN_PID=$$ LISTEN_FDS=2");
  EXPECT_EQ(more.wait(), 1);
  EXPECT_NE(more.output().find("2 sockets"), std::string::npos) << more.output();
}

TEST(Activation, PassedSocketOutlivesTheServer) {
  Passed socket;
  for (int i = 0; i < 2; ++i) {
    Process process = activated("treadle-hello", {socket.fd()}, "LISTEN_PID=$$ LISTEN_FDS=1");
    ASSERT_TRUE(process.wait_for_output("127.0.0.1:"));
    EXPECT_TRUE(get_hello(socket.port()).ends_with("Hello, World!"));
    process.signal(SIGTERM);
    EXPECT_EQ(process.wait(), 0);
  }
}

TEST(Activation, SuccessorInheritsIt) {
  Orphan::adopt_all();
  Passed socket;
  Process process = activated("treadle-hello", {socket.fd()}, "LISTEN_PID=$$ LISTEN_FDS=1");
  ASSERT_TRUE(process.wait_for_output("127.0.0.1:"));
  process.signal(SIGUSR2);
  ASSERT_TRUE(process.wait_for_output(" has taken over"));
  Orphan next(number_after(process.output(), "process "));
  EXPECT_EQ(process.wait(), 0);
  EXPECT_TRUE(get_hello(socket.port()).ends_with("Hello, World!"));
  next.signal(SIGTERM);
  EXPECT_EQ(next.wait(), 0);
}

}  // namespace
}  // namespace treadle::test
