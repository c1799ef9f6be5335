// The apps' command lines, configuration files, starts and ends.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "e2e/app.h"
#include "support/temporary_tree.h"

namespace treadle::test {
namespace {

void expect_one_line(const Finished& run) {
  EXPECT_EQ(std::ranges::count(run.output, '\n'), 1) << run.output;
  EXPECT_TRUE(run.output.ends_with('\n')) << run.output;
}

// One line, "<app>: ...because...", and exit code 2.
void expect_usage_error(const Finished& run, std::string_view app, std::string_view because) {
  EXPECT_EQ(run.exit_code, 2);
  expect_one_line(run);
  EXPECT_TRUE(run.output.starts_with(fmt::format("{}: ", app))) << run.output;
  EXPECT_NE(run.output.find(because), std::string::npos) << run.output;
}

void expect_refused(std::string_view app, std::vector<std::string> flags,
                    std::string_view because) {
  SCOPED_TRACE(fmt::format("{} {}", app, fmt::join(flags, " ")));
  expect_usage_error(run_app(app, std::move(flags)), app, because);
}

// Runs treadle-demo with `config` and expects "<file>:<line>: ...<because>...".
void expect_config_refused(std::string_view config, int line, std::string_view because) {
  SCOPED_TRACE(config);
  TemporaryTree tree;
  tree.write("demo.toml", config);
  std::string path = tree.path("demo.toml");
  Finished run = run_app("treadle-demo", {"--config", path});
  expect_usage_error(run, "treadle-demo", because);
  EXPECT_NE(run.output.find(fmt::format("{}:{}: ", path, line)), std::string::npos) << run.output;
}

TEST(AppsFlags, HelpNamesEveryFlagAndEndsWithZero) {
  for (std::string_view app : kApps) {
    SCOPED_TRACE(app);
    Finished run = run_app(app, {"--help"});
    EXPECT_EQ(run.exit_code, 0);
    for (std::string_view flag : {"--listen ADDR:PORT", "--procs N", "--config FILE", "--help",
                                  "--version", "127.0.0.1:8080"})
      EXPECT_NE(run.output.find(flag), std::string::npos) << flag << " is not in\n" << run.output;
  }
}

TEST(AppsFlags, VersionIsOneLineAndEndsWithZero) {
  for (std::string_view app : kApps) {
    Finished run = run_app(app, {"--version"});
    EXPECT_EQ(run.exit_code, 0);
    EXPECT_TRUE(run.output.starts_with(fmt::format("{} ", app))) << run.output;
    EXPECT_EQ(std::ranges::count(run.output, '\n'), 1) << run.output;
  }
}

TEST(AppsFlags, BadFlagIsOneLineAndExitCodeTwo) {
  for (std::string_view app : kApps) {
    expect_refused(app, {"--bogus"}, "--bogus");
    expect_refused(app, {"stray"}, "stray");
    expect_refused(app, {"--listen"}, "needs a value");
    expect_refused(app, {"--listen", "localhost"}, "ADDR:PORT");
    expect_refused(app, {"--listen", "127.0.0.1:65536"}, "ADDR:PORT");
    expect_refused(app, {"--procs", "-1"}, "from 0 to 1024");
    expect_refused(app, {"--procs", "two"}, "from 0 to 1024");
    expect_refused(app, {"--config", "/nonexistent.toml"}, "No such file");
  }
  expect_refused("treadle-files", {"--root", "/nonexistent"}, "No such file");
  expect_refused("treadle-demo", {"--root", "/etc/passwd"}, "Not a directory");
  expect_refused("treadle-echo", {"--root", "/"}, "--root");
}

TEST(AppsFlags, BadMaxprocsOfTheEnvironmentIsOneLineAndExitCodeTwo) {
  for (std::string_view app : kApps)
    for (const char* bad : {"0", "-1", "1025", "many"})
      expect_usage_error(run_app(app, {}, {fmt::format("TREADLE_MAXPROCS={}", bad)}), app,
                         "TREADLE_MAXPROCS");
}

TEST(AppsConfig, BadLineIsNamedWithItsFile) {
  expect_config_refused("procs = 1\n\nporcs = 2\n", 3, "is \"procs\" meant?");
  expect_config_refused("procs = 0\nprocs = 1\n", 2, "procs");
  expect_config_refused("procs = 1.5\n", 1, "whole number");
  expect_config_refused("listen = \"nowhere\"\n", 1, "ADDR:PORT");
  expect_config_refused("[server]\nidle_timeout = 30\n", 2, "needs a duration");
  expect_config_refused("[server]\nidle_timeout = \"-1s\"\n", 2, "needs a duration");
  expect_config_refused("[server]\nmax_head = \"much\"\n", 2, "needs a size");
  expect_config_refused("[server]\nmax_head = 0\n", 2, "from 1 to 1MiB");
  expect_config_refused("idle_timeout = \"5s\"\n", 1, "is \"server.idle_timeout\" meant?");
  expect_config_refused("[server]\naccess_log = \"/nonexistent/log\"\n", 2, "No such file");
  expect_config_refused("# a comment\nprocs 1\n", 2, "");
}

TEST(AppsConfig, LimitsTheServerCannotKeepAreRefused) {
  expect_config_refused("[server]\nmax_head = \"10MiB\"\n", 2, "from 1 to 1MiB");
  expect_config_refused("[server]\nmax_head = \"4KiB\"\n", 2, "max_request_line (8KiB)");
  expect_config_refused("[server]\nmax_request_line = \"64KiB\"\n", 2, "max_head (32KiB)");
  // Of two lines at odds the later one is named.
  expect_config_refused("[server]\nmax_head = 10\n\nmax_request_line = 11\n", 4, "max_head (10)");
  expect_config_refused("[server]\nmax_request_line = 11\nmax_head = 10\n", 3, "max_head (10)");
  expect_config_refused("[server]\nmax_headers = \"1KiB\"\n", 2, "from 1 to 1000000");
  expect_config_refused("[server]\nmax_headers = 0\n", 2, "from 1 to 1000000");
}

TEST(AppsConfig, ValueOfAnotherTypeIsRefused) {
  expect_config_refused("procs = \"4\"\n", 1, "without quotes");
  expect_config_refused("procs = true\n", 1, "whole number");
  expect_config_refused("root = 5\n", 1, "text in quotes");
  expect_config_refused("[server]\nmax_body = 0.5\n", 2, "needs a size");
  expect_config_refused("[server]\nmax_body = \"0.0001KiB\"\n", 2, "needs a size");
  expect_config_refused("[server]\nidle_timeout = 0.0\n", 2, "needs a duration");
}

TEST(AppsConfig, EmptyTablesMustBeKnown) {
  expect_config_refused("procs = 1\n[nope]\n", 2, "[nope]");
  expect_config_refused("[server.foo]\n", 1, "[server.foo]");
  expect_config_refused("[root]\n", 1, "text in quotes");
  TemporaryTree tree;
  tree.write("demo.toml", "[server]\n");
  App demo("treadle-demo", {"--config", tree.path("demo.toml")});
  EXPECT_NE(demo.port(), 0);
}

TEST(AppsConfig, BadRootIsNamedWithItsOrigin) {
  expect_config_refused("procs = 1\nroot = \"/nonexistent\"\n", 2, "No such file");
  TemporaryTree tree;
  tree.write("demo.toml", fmt::format("root = \"{}\"\n", tree.path("")));
  expect_refused("treadle-demo", {"--config", tree.path("demo.toml"), "--root", "/nonexistent"},
                 "--root \"/nonexistent\"");
}

TEST(AppsConfig, EveryKeyOfTheSamplesIsKnown) {
  const char* source = std::getenv("TREADLE_SOURCE_DIR");
  ASSERT_NE(source, nullptr);
  for (std::string_view app : kApps) {
    std::string sample = fmt::format("{}/config/{}.toml", source, app);
    ASSERT_EQ(::access(sample.c_str(), R_OK), 0) << sample;
    // The address the sample gives is overridden, the root is not: both must be usable.
    App running(app, {"--config", sample});
    EXPECT_NE(running.port(), 0);
    EXPECT_EQ(running.stop(SIGTERM), 0);
  }
}

TEST(AppsConfig, FlagWinsOverFileAndFileOverDefault) {
  TemporaryTree tree;
  tree.write("demo.toml", "procs = 3\n");
  App from_file("treadle-demo", {"--config", tree.path("demo.toml")});
  EXPECT_NE(from_file.get("/json").body.find("\"procs\": 3"), std::string::npos);
  App from_flag("treadle-demo", {"--config", tree.path("demo.toml"), "--procs", "2"});
  EXPECT_NE(from_flag.get("/json").body.find("\"procs\": 2"), std::string::npos);
}

// `app` on a free port, started by a shell that does `before` first.
Process start_after(std::string_view before, std::string_view app) {
  std::string start = fmt::format("{}; exec \"$0\" --listen 127.0.0.1:0", before);
  return Process({"/bin/sh", "-c", start, app_command(app, {}).front()});
}

TEST(AppsProcess, ClosedStandardDescriptorsAreOpenedOnNull) {
  for (std::string_view app : kApps) {
    SCOPED_TRACE(app);
    Process process = start_after("exec 0<&- 1>&-", app);
    ASSERT_TRUE(process.wait_for_output("127.0.0.1:"));
    for (int fd : {0, 1}) {
      std::string link = fmt::format("/proc/{}/fd/{}", process.pid(), fd);
      std::error_code error;
      EXPECT_EQ(std::filesystem::read_symlink(link, error), "/dev/null") << link;
    }
  }
}

TEST(AppsProcess, SoftLimitOnOpenFilesIsRaisedToTheHardOne) {
  for (std::string_view app : kApps) {
    SCOPED_TRACE(app);
    Process process = start_after("ulimit -S -n 256; ulimit -H -n 512", app);
    ASSERT_TRUE(process.wait_for_output("127.0.0.1:"));
    std::ifstream limits(fmt::format("/proc/{}/limits", process.pid()));
    std::string line;
    while (std::getline(limits, line) && !line.starts_with("Max open files")) {
    }
    std::istringstream words(line.substr(std::min(line.size(), std::size_t{14})));
    int soft = 0;
    words >> soft;
    EXPECT_EQ(soft, 512) << line;
  }
}

TEST(AppsPort, BusyPortIsOneLineAndExitCodeOne) {
  App first("treadle-hello");
  ASSERT_NE(first.port(), 0);
  for (std::string_view app : kApps) {
    SCOPED_TRACE(app);
    std::string address = fmt::format("127.0.0.1:{}", first.port());
    Finished second = run_app(app, {"--listen", address});
    EXPECT_EQ(second.exit_code, 1);
    expect_one_line(second);
    EXPECT_NE(second.output.find(address), std::string::npos) << second.output;
    EXPECT_NE(second.output.find("in use"), std::string::npos) << second.output;
  }
}

TEST(AppsSignals, TermAndIntEndWithZero) {
  for (std::string_view app : kApps) {
    SCOPED_TRACE(app);
    for (int signal : {SIGTERM, SIGINT}) {
      App running(app);
      ASSERT_NE(running.port(), 0);
      EXPECT_EQ(running.stop(signal), 0) << running.process().output();
    }
  }
}

TEST(AppsEcho, SendsBackWhatComesUntilTheStreamEnds) {
  App echo("treadle-echo");
  RawClient client(echo.port());
  ASSERT_TRUE(client.send("warp"));
  EXPECT_EQ(client.read_exactly(4), "warp");
  ASSERT_TRUE(client.send("weft"));
  client.shutdown_write();
  EXPECT_EQ(client.read_until_close(), "weft");
}

TEST(AppsEcho, OpenConnectionDoesNotKeepItFromEnding) {
  App echo("treadle-echo");
  RawClient client(echo.port());
  ASSERT_TRUE(client.send("x"));
  EXPECT_EQ(client.read_exactly(1), "x");
  echo.process().signal(SIGTERM);
  EXPECT_TRUE(client.closed_by_peer());
  EXPECT_EQ(echo.process().wait(), 0);
}

TEST(AppsHello, GreetsByName) {
  App hello("treadle-hello");
  EXPECT_EQ(hello.get("/hello").body, "Hello, World!");
  EXPECT_EQ(hello.get("/hello/Ada").body, "Hello, Ada!\n");
  EXPECT_EQ(hello.get("/goodbye").status, 404);
}

TEST(AppsFiles, ServesItsRootAndNothingElse) {
  TemporaryTree tree;
  tree.write("outside.txt", "not to be seen");
  tree.make_directory("root");
  tree.write("root/inside.txt", "some content");
  tree.link("root/way-out.txt", "../outside.txt");
  App files("treadle-files", {"--root", tree.path("root")});
  RawResponse whole = files.get("/inside.txt");
  EXPECT_EQ(whole.status, 200);
  EXPECT_EQ(whole.body, "some content");
  EXPECT_NE(files.get("/way-out.txt").status, 200);
  EXPECT_EQ(files.get("/no-such-file").status, 404);
  EXPECT_NE(files.get("/../outside.txt").status, 200);
  EXPECT_NE(files.get("/%2e%2e/outside.txt").status, 200);
}

}  // namespace
}  // namespace treadle::test
