// serial: treadle-demo with many idle connections, held by treadle-hold.
#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <string>

#include "e2e/app.h"
#include "support/temporary_tree.h"

namespace treadle::test {
namespace {

// 10,000, or as many as the server takes with the descriptors it may have.
long connections_to_hold() {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return 500;
  return std::min<long>(10'000, (static_cast<long>(files.rlim_max) - 128) / 2 - 10);
}

// What a program reads on its standard input once it is let go on.
class Gate {
 public:
  explicit Gate(const TemporaryTree& folder) : path_(folder.path("gate")) {
    if (::mkfifo(path_.c_str(), 0600) == 0) fd_ = ::open(path_.c_str(), O_RDWR | O_CLOEXEC);
  }
  ~Gate() {
    if (fd_ >= 0) ::close(fd_);
  }
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;

  bool open() { return ::write(fd_, "\n", 1) == 1; }
  // `command` with the gate as its standard input.
  std::vector<std::string> before(std::vector<std::string> command) const {
    command.insert(command.begin(), {"/bin/sh", "-c", "exec \"$@\" <\"$0\"", path_});
    return command;
  }

 private:
  std::string path_;
  int fd_ = -1;
};

// Every connection is answered once, stays open while others are served, and is answered again.
TEST(IdleConnections, AreHeldWhileOthersAreServed) {
  const long connections = connections_to_hold();
  ASSERT_GE(connections, 200) << "the hard limit on open files is too low for this test";
  App demo("treadle-demo");
  ASSERT_NE(demo.port(), 0);
  const TemporaryTree folder;
  Gate gate(folder);
  Process hold(gate.before(
      app_command("treadle-hold", {"--port", std::to_string(demo.port()), "--path", "/hello",
                                   "--connections", std::to_string(connections)})));
  ASSERT_TRUE(hold.wait_for_output("ready\n", std::chrono::seconds(90)));
  for (int i = 0; i < 100; ++i) ASSERT_EQ(demo.get("/hello").status, 200) << i;
  ASSERT_TRUE(gate.open());
  EXPECT_EQ(hold.wait(std::chrono::seconds(90)), 0);
  EXPECT_NE(hold.output().find("\"held\":" + std::to_string(connections)), std::string::npos)
      << hold.output();
  EXPECT_EQ(demo.stop(SIGTERM), 0);
}

}  // namespace
}  // namespace treadle::test
