// Another user after binding. Most of it needs to begin as root.
#include <fmt/format.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "e2e/service_app.h"
#include "support/temporary_tree.h"

namespace treadle::test {
namespace {

// A line of /proc/<pid>/status, its words behind the name.
std::vector<std::string> status_words(pid_t pid, std::string_view name) {
  std::ifstream in(fmt::format("/proc/{}/status", pid));
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with(name)) continue;
    std::istringstream words(line.substr(name.size() + 1));
    std::vector<std::string> out;
    for (std::string w; words >> w;) out.push_back(w);
    return out;
  }
  return {};
}

using Words = std::vector<std::string>;

TEST(Privileges, UserAndGroupsAreNobodysForGood) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  const std::string uid = "65534";
  for (std::string_view app : {"treadle-hello", "treadle-echo"}) {
    SCOPED_TRACE(app);
    App server(app, {"--user", "nobody"});
    ASSERT_NE(server.port(), 0);
    const pid_t pid = server.process().pid();
    EXPECT_EQ(status_words(pid, "Uid:"), (Words{uid, uid, uid, uid}));
    EXPECT_EQ(status_words(pid, "Gid:"), (Words{uid, uid, uid, uid}));
    EXPECT_EQ(status_words(pid, "Groups:"), Words{uid});
    for (const char* set : {"CapInh:", "CapPrm:", "CapEff:", "CapAmb:"})
      EXPECT_EQ(status_words(pid, set), Words{"0000000000000000"}) << set;
    // Every thread of it.
    for (const auto& task : std::filesystem::directory_iterator(fmt::format("/proc/{}/task", pid)))
      EXPECT_EQ(status_words(std::stoi(task.path().filename().string()), "Uid:")[1], uid);
    EXPECT_EQ(server.stop(SIGTERM), 0);
  }
}

TEST(Privileges, LogAndSocketBelongToTheNewUser) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  TemporaryTree tree;
  ::chmod(tree.path("").c_str(), 0755);
  const std::string path = tree.path("s");
  const std::string log = tree.path("log");
  Process process(app_command(
      "treadle-hello", {"--listen", "unix:" + path, "--user", "nobody", "--access-log", log}));
  ASSERT_TRUE(process.wait_for_output("listening on unix:"));
  struct stat s{};
  ASSERT_EQ(::stat(path.c_str(), &s), 0);
  EXPECT_EQ(s.st_uid, 65534U);
  EXPECT_EQ(s.st_mode & 0777, 0660U);
  const int fd = connect_path(path);
  EXPECT_TRUE(ask(fd, "close").ends_with("Hello, World!"));
  ::close(fd);
  process.signal(SIGTERM);
  EXPECT_EQ(process.wait(), 0);
  ASSERT_EQ(::stat(log.c_str(), &s), 0);
  EXPECT_EQ(s.st_uid, 65534U);
  EXPECT_GT(s.st_size, 0);
}

TEST(Privileges, GroupAlone) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  App server("treadle-hello", {"--group", "65534"});
  ASSERT_NE(server.port(), 0);
  EXPECT_EQ(status_words(server.process().pid(), "Uid:")[1], "0");
  EXPECT_EQ(status_words(server.process().pid(), "Gid:")[1], "65534");
}

TEST(Privileges, UnknownNamesAreOneLineAndExitCodeTwo) {
  for (const char* flag : {"--user", "--group"}) {
    Finished run = run_app("treadle-hello", {flag, "no-such-one"});
    EXPECT_EQ(run.exit_code, 2);
    EXPECT_NE(run.output.find("\"no-such-one\""), std::string::npos) << run.output;
  }
}

TEST(Privileges, SuccessorRunsAsTheSameUser) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  // A program that nobody may run: the directory of the build may not let him in.
  TemporaryTree tree;
  ::chmod(tree.path("").c_str(), 0755);
  const std::string program = tree.path("server");
  std::filesystem::copy_file(app_command("treadle-hello", {}).front(), program);
  Orphan::adopt_all();
  Process process({program, "--listen", "127.0.0.1:0", "--user", "nobody"},
                  {.environment = {}, .directory = "/", .input = {}});
  ASSERT_TRUE(process.wait_for_output("127.0.0.1:"));
  process.signal(SIGUSR2);
  ASSERT_TRUE(process.wait_for_output(" has taken over"));
  Orphan next(number_after(process.output(), "process "));
  EXPECT_EQ(process.wait(), 0);
  EXPECT_EQ(status_words(next.pid(), "Uid:")[1], "65534");
  next.signal(SIGTERM);
  EXPECT_EQ(next.wait(), 0);
}

TEST(Privileges, WithoutTheRightItDoesNotStart) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  TemporaryTree tree;
  ::chmod(tree.path("").c_str(), 0755);
  const std::string program = tree.path("server");
  std::filesystem::copy_file(app_command("treadle-hello", {}).front(), program);
  Process process({"setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", program,
                   "--listen", "127.0.0.1:0", "--user", "root"},
                  {.environment = {}, .directory = "/", .input = {}});
  EXPECT_EQ(process.wait(), 1);
  EXPECT_NE(process.output().find("cannot be changed"), std::string::npos) << process.output();
}

}  // namespace
}  // namespace treadle::test
