// What a service manager hears: the test listens on NOTIFY_SOCKET.
#include <fmt/format.h>
#include <poll.h>

#include "e2e/service_app.h"
#include "support/temporary_tree.h"

namespace treadle::test {
namespace {

class Manager {
 public:
  explicit Manager(std::string_view name)  // "/path" or "@name"
      : name_(name), fd_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un un{};
    un.sun_family = AF_UNIX;
    std::memcpy(un.sun_path, name.data(), name.size());
    if (name.starts_with('@')) un.sun_path[0] = '\0';
    const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size() +
                                               (name.starts_with('@') ? 0 : 1));
    EXPECT_EQ(::bind(fd_, reinterpret_cast<const sockaddr*>(&un), length), 0);
  }
  ~Manager() { ::close(fd_); }
  Manager(const Manager&) = delete;
  Manager& operator=(const Manager&) = delete;

  SpawnOptions options(std::vector<std::string> more = {}) const {
    more.push_back("NOTIFY_SOCKET=" + name_);
    return {.environment = std::move(more), .directory = {}, .input = {}};
  }
  // The next message that has `text` in it; what comes before is dropped.
  std::string wait_for(std::string_view text) {
    for (;;) {
      pollfd wanted{fd_, POLLIN, 0};
      if (::poll(&wanted, 1, 30'000) != 1) {
        ADD_FAILURE() << "nobody said " << text;
        return {};
      }
      char buffer[4096];
      const ssize_t n = ::recv(fd_, buffer, sizeof buffer, 0);
      std::string message(buffer, static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
      if (message.find(text) != std::string::npos) return message;
    }
  }

 private:
  std::string name_;
  int fd_;
};

TEST(Notify, ReadyReloadingReadyStopping) {
  TemporaryTree tree;
  for (std::string_view app : {"treadle-hello", "treadle-echo"}) {
    SCOPED_TRACE(app);
    Manager manager(tree.path(std::string(app)));
    App server(app, {}, manager.options());
    EXPECT_NE(manager.wait_for("READY=1").find(std::to_string(server.port())), std::string::npos);
    server.process().signal(SIGHUP);
    const std::string reloading = manager.wait_for("RELOADING=1");
    const std::size_t at = reloading.find("MONOTONIC_USEC=");
    ASSERT_NE(at, std::string::npos) << reloading;
    EXPECT_GT(std::stoll(reloading.substr(at + 15)), 0);
    manager.wait_for("READY=1");
    server.process().signal(SIGTERM);
    manager.wait_for("STOPPING=1");
    EXPECT_EQ(server.process().wait(), 0);
  }
}

TEST(Notify, SuccessorBecomesTheMainProcess) {
  Orphan::adopt_all();
  Manager manager(fmt::format("@treadle-notify-{}", ::getpid()));
  App app("treadle-hello", {}, manager.options());
  manager.wait_for("READY=1");
  app.process().signal(SIGUSR2);
  const std::string message = manager.wait_for("MAINPID=");
  Orphan next(number_after(message, "MAINPID="));
  EXPECT_NE(message.find("READY=1"), std::string::npos);
  EXPECT_EQ(app.process().wait(), 0);
  // The old one has not said that the service stops: the next word is the new one's.
  next.signal(SIGHUP);
  EXPECT_EQ(manager.wait_for("=1").substr(0, 11), "RELOADING=1");
  next.signal(SIGTERM);
  EXPECT_EQ(next.wait(), 0);
}

TEST(Notify, WatchdogIsFed) {
  TemporaryTree tree;
  Manager manager(tree.path("n"));
  App app("treadle-hello", {}, manager.options({"WATCHDOG_USEC=20000"}));
  for (int i = 0; i < 3; ++i) manager.wait_for("WATCHDOG=1");
  EXPECT_EQ(app.stop(SIGTERM), 0);
}

TEST(Notify, ManagerThatIsGoneIsNoReasonToEnd) {
  SpawnOptions options;
  options.environment = {"NOTIFY_SOCKET=/nonexistent/socket"};
  App app("treadle-hello", {}, options);
  EXPECT_EQ(app.get("/hello").status, 200);
  EXPECT_EQ(app.stop(SIGTERM), 0);
}

}  // namespace
}  // namespace treadle::test
