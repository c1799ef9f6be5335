// Signals beside SIGUSR2: SIGHUP, the drain, the second one; and Unix listeners.
#include <fmt/format.h>

#include <filesystem>

#include "e2e/service_app.h"
#include "support/temporary_tree.h"

namespace treadle::test {
namespace {

constexpr std::string_view kInForce = "the new configuration is in force";

// Each program, whatever its own settings are.
TEST(Reload, EveryProgramSurvivesIt) {
  for (std::string_view name : {"treadle-hello", "treadle-echo", "treadle-files", "treadle-demo"}) {
    SCOPED_TRACE(name);
    TemporaryTree tree;
    tree.write("c.toml", "");
    App app(name, {"--config", tree.path("c.toml")});
    ASSERT_NE(app.port(), 0);
    app.process().signal(SIGHUP);
    ASSERT_TRUE(app.process().wait_for_output(kInForce));
    EXPECT_EQ(app.stop(SIGTERM), 0);
  }
}

TEST(Reload, DrainDelayOfTheNewConfigurationCounts) {
  for (std::string_view name : {"treadle-hello", "treadle-echo"}) {
    SCOPED_TRACE(name);
    TemporaryTree tree;
    tree.write("c.toml", "");
    App app(name, {"--config", tree.path("c.toml")});
    ASSERT_NE(app.port(), 0);
    tree.write("c.toml", "[server]\ndrain_delay = \"1h\"\n");
    app.process().signal(SIGHUP);
    ASSERT_TRUE(app.process().wait_for_output(kInForce));
    app.process().signal(SIGTERM);
    ASSERT_TRUE(app.process().wait_for_output("shutting down"));
    // It still takes connections, and a second signal ends it at once.
    const int fd = connect_port(app.port());
    EXPECT_GE(fd, 0);
    if (name == "treadle-hello") {
      EXPECT_TRUE(ask(fd, "close").ends_with("Hello, World!"));
    }
    ::close(fd);
    EXPECT_EQ(app.stop(SIGINT), 130);
  }
}

TEST(Reload, WhatCannotChangeIsNamed) {
  TemporaryTree tree;
  tree.write("c.toml", "root = \"/\"\n");
  App app("treadle-demo", {"--config", tree.path("c.toml")});
  ASSERT_NE(app.port(), 0);
  tree.write("c.toml",
             "procs = 7\nroot = \"/tmp\"\n[server]\nidle_timeout = \"5s\"\nuser = \"0\"\n");
  app.process().signal(SIGHUP);
  ASSERT_TRUE(app.process().wait_for_output(kInForce));
  const std::string output = app.process().output();
  EXPECT_NE(output.find("unchanged until the next start: procs, server.user\n"), std::string::npos)
      << output;
  EXPECT_NE(output.find("unchanged until the next start: root\n"), std::string::npos) << output;
  EXPECT_EQ(app.stop(SIGTERM), 0);
}

TEST(Reload, BadConfigurationKeepsTheOldOneWhole) {
  for (std::string_view name : {"treadle-hello", "treadle-echo"}) {
    SCOPED_TRACE(name);
    TemporaryTree tree;
    tree.write("c.toml", "[server]\ndrain_delay = \"1h\"\n");
    App app(name, {"--config", tree.path("c.toml")});
    ASSERT_NE(app.port(), 0);
    tree.write("c.toml", "[server]\ndrain_delay = \"0s\"\nnonsense = 1\n");
    app.process().signal(SIGHUP);
    ASSERT_TRUE(app.process().wait_for_output("the old configuration stays"));
    EXPECT_NE(app.process().output().find("c.toml:3: "), std::string::npos);
    // The delay is the old one still: the server goes on until the second signal.
    app.process().signal(SIGTERM);
    ASSERT_TRUE(app.process().wait_for_output("shutting down"));
    const int fd = connect_port(app.port());
    EXPECT_GE(fd, 0);
    ::close(fd);
    EXPECT_EQ(app.stop(SIGTERM), 143);
  }
}

TEST(Reload, ManySignalsAreNoTrouble) {
  App app("treadle-hello");
  Load load(app.port());
  for (int i = 0; i < 50; ++i) {
    app.process().signal(SIGHUP);
    ::usleep(1000);
  }
  const int before = load.answered();
  while (load.answered() < before + 100 && load.failed() == 0) ::usleep(1000);
  load.stop();
  EXPECT_EQ(load.failed(), 0);
  EXPECT_EQ(app.stop(SIGTERM), 0);
}

TEST(ReloadUnix, ListenerServesAndRemovesItsFile) {
  for (std::string_view name : {"treadle-hello", "treadle-echo"}) {
    SCOPED_TRACE(name);
    TemporaryTree tree;
    const std::string path = tree.path("s");
    Process process(app_command(name, {"--listen", "unix:" + path, "--unix-mode", "0600"}));
    ASSERT_TRUE(process.wait_for_output("listening on unix:" + path));
    const auto perms = std::filesystem::status(path).permissions();
    EXPECT_EQ(static_cast<unsigned>(perms), 0600U);
    const int fd = connect_path(path);
    ASSERT_GE(fd, 0);
    if (name == "treadle-hello") {
      EXPECT_TRUE(ask(fd, "close").ends_with("Hello, World!"));
    }
    ::close(fd);
    Finished second = run_app(name, {"--listen", "unix:" + path});
    EXPECT_EQ(second.exit_code, 1);
    EXPECT_NE(second.output.find("unix:" + path), std::string::npos) << second.output;
    process.signal(SIGTERM);
    EXPECT_EQ(process.wait(), 0);
    EXPECT_FALSE(std::filesystem::exists(path));
  }
}

TEST(ReloadUnix, FileOfOneThatWasKilledIsReplaced) {
  TemporaryTree tree;
  const std::string path = tree.path("s");
  for (int i = 0; i < 2; ++i) {
    Process process(app_command("treadle-hello", {"--listen", "unix:" + path}));
    ASSERT_TRUE(process.wait_for_output("listening on unix:"));
    process.signal(SIGKILL);
    EXPECT_EQ(process.wait(), 137);
    EXPECT_TRUE(std::filesystem::exists(path));
  }
}

}  // namespace
}  // namespace treadle::test
