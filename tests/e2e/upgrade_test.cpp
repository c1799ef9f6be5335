// SIGUSR2: a new process takes over, or does not, and no client notices.
#include <filesystem>

#include "e2e/service_app.h"
#include "support/temporary_tree.h"

namespace treadle::test {
namespace {

constexpr std::string_view kTakenOver = " has taken over";

// Waits until `text` stands in the output `n` times.
bool wait_for_count(Process& process, std::string_view text, std::size_t n) {
  for (int i = 0; i < 3000; ++i) {
    if (count_of(process.output(), text) >= n) return true;
    ::usleep(10'000);
  }
  ADD_FAILURE() << "\"" << text << "\" did not come " << n << " times:\n" << process.output();
  return false;
}

TEST(Upgrade, UnderLoadLosesNoConnection) {
  Orphan::adopt_all();
  App first("treadle-hello");
  ASSERT_NE(first.port(), 0);
  Load load(first.port());
  constexpr std::size_t kRestarts = 4;
  Orphan current(-1);
  for (std::size_t i = 1; i <= kRestarts; ++i) {
    const int before = load.answered();
    while (load.answered() < before + 200 && load.failed() == 0) ::usleep(1000);
    if (i == 1)
      first.process().signal(SIGUSR2);
    else
      current.signal(SIGUSR2);
    ASSERT_TRUE(wait_for_count(first.process(), kTakenOver, i));
    Orphan next(number_after(first.process().output(), "process "));
    ASSERT_GT(next.pid(), 0);
    EXPECT_EQ(i == 1 ? first.process().wait().value_or(-1) : current.wait(), 0);
    current = std::move(next);
  }
  const int before = load.answered();
  while (load.answered() < before + 200 && load.failed() == 0) ::usleep(1000);
  load.stop();
  EXPECT_EQ(load.failed(), 0) << first.process().output();
  current.signal(SIGTERM);
  EXPECT_EQ(current.wait(), 0);
}

TEST(Upgrade, BadConfigurationLeavesTheOldOneServing) {
  TemporaryTree tree;
  tree.write("hello.toml", "procs = 1\n");
  App app("treadle-hello", {"--config", tree.path("hello.toml")});
  ASSERT_NE(app.port(), 0);
  tree.write("hello.toml", "procs = 1\nnonsense = 1\n");
  app.process().signal(SIGUSR2);
  ASSERT_TRUE(app.process().wait_for_output("this process goes on"));
  const std::string output = app.process().output();
  EXPECT_NE(output.find("hello.toml:2: "), std::string::npos) << output;
  EXPECT_NE(output.find("exit code 2"), std::string::npos) << output;
  EXPECT_EQ(app.get("/hello").status, 200);
  EXPECT_EQ(app.stop(SIGTERM), 0);
}

TEST(Upgrade, CrashAtTheStartLeavesTheOldOneServingAndTheNextTrySucceeds) {
  Orphan::adopt_all();
  TemporaryTree tree;
  const std::string program = tree.path("server");
  std::filesystem::copy_file(app_command("treadle-hello", {}).front(), program);
  Process process({program, "--listen", "127.0.0.1:0"});
  ASSERT_TRUE(process.wait_for_output("127.0.0.1:"));
  const auto port = static_cast<std::uint16_t>(number_after(process.output(), "127.0.0.1:"));
  // What is there by then is what is started, whatever it is.
  const auto put = [&](std::string_view script) {
    tree.write("new", script);
    std::filesystem::permissions(tree.path("new"), std::filesystem::perms::owner_all);
    std::filesystem::rename(tree.path("new"), program);
  };
  put("#!/bin/sh\nkill -ABRT $$\n");
  process.signal(SIGUSR2);
  ASSERT_TRUE(process.wait_for_output("signal 6"));
  EXPECT_EQ(RawClient(port).roundtrip("GET /hello HTTP/1.1\r\nHost: l\r\n\r\n").status, 200);

  put("#!/bin/sh\necho the new one\nexec " + app_command("treadle-hello", {}).front() +
      " \"$@\"\n");
  process.signal(SIGUSR2);
  ASSERT_TRUE(process.wait_for_output(kTakenOver));
  Orphan next(number_after(process.output(), "process "));
  EXPECT_NE(process.output().find("the new one"), std::string::npos);
  EXPECT_EQ(process.wait(), 0);
  EXPECT_EQ(RawClient(port).roundtrip("GET /hello HTTP/1.1\r\nHost: l\r\n\r\n").status, 200);
  next.signal(SIGTERM);
  EXPECT_EQ(next.wait(), 0);
}

TEST(Upgrade, SignalEndsOneThatIsStillBeingStarted) {
  TemporaryTree tree;
  const std::string program = tree.path("server");
  std::filesystem::copy_file(app_command("treadle-hello", {}).front(), program);
  Process process({program, "--listen", "127.0.0.1:0"});
  ASSERT_TRUE(process.wait_for_output("127.0.0.1:"));
  tree.write("new", "#!/bin/sh\necho hanging\nexec sleep 1000\n");
  std::filesystem::permissions(tree.path("new"), std::filesystem::perms::owner_all);
  std::filesystem::rename(tree.path("new"), program);
  process.signal(SIGUSR2);
  ASSERT_TRUE(process.wait_for_output("hanging"));
  process.signal(SIGUSR2);
  ASSERT_TRUE(process.wait_for_output("being started already"));
  process.signal(SIGTERM);
  EXPECT_EQ(process.wait(), 0);
}

TEST(Upgrade, UnixSocketKeepsItsFileAndTheLastOneRemovesIt) {
  Orphan::adopt_all();
  TemporaryTree tree;
  const std::string path = tree.path("s");
  Process process(app_command("treadle-hello", {"--listen", "unix:" + path}));
  ASSERT_TRUE(process.wait_for_output("listening on unix:"));
  process.signal(SIGUSR2);
  ASSERT_TRUE(process.wait_for_output(kTakenOver));
  Orphan next(number_after(process.output(), "process "));
  EXPECT_EQ(process.wait(), 0);
  const int fd = connect_path(path);
  ASSERT_GE(fd, 0);
  EXPECT_TRUE(ask(fd, "close").ends_with("Hello, World!"));
  ::close(fd);
  next.signal(SIGTERM);
  EXPECT_EQ(next.wait(), 0);
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(Upgrade, SignalWhileTheOldOneEndsDoesNotHurryIt) {
  Orphan::adopt_all();
  App app("treadle-hello", {"--drain-idle", "1h", "--shutdown-timeout", "1h"});
  const int kept = connect_port(app.port());
  EXPECT_TRUE(ask(kept, "keep-alive").ends_with("Hello, World!"));
  app.process().signal(SIGUSR2);
  ASSERT_TRUE(app.process().wait_for_output(kTakenOver));
  Orphan next(number_after(app.process().output(), "process "));
  app.process().signal(SIGTERM);
  ASSERT_TRUE(app.process().wait_for_output("shutting down already"));
  EXPECT_TRUE(ask(kept, "keep-alive").ends_with("Hello, World!"));
  ::close(kept);
  EXPECT_EQ(app.process().wait(), 0);
  next.signal(SIGTERM);
  EXPECT_EQ(next.wait(), 0);
}

TEST(Upgrade, EchoTakesOverToo) {
  Orphan::adopt_all();
  App echo("treadle-echo");
  ASSERT_NE(echo.port(), 0);
  echo.process().signal(SIGUSR2);
  ASSERT_TRUE(echo.process().wait_for_output(kTakenOver));
  Orphan next(number_after(echo.process().output(), "process "));
  EXPECT_EQ(echo.process().wait(), 0);
  RawClient client(echo.port());
  ASSERT_TRUE(client.send("warp"));
  EXPECT_EQ(client.read_exactly(4), "warp");
  next.signal(SIGTERM);
  EXPECT_EQ(next.wait(), 0);
}

}  // namespace
}  // namespace treadle::test
