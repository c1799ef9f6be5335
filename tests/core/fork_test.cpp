// A forked child has none of the runtime's threads: what it calls of treadle must say so, not hang.
#include <gtest/gtest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>

#include <treadle/chan.h>
#include <treadle/go.h>
#include <treadle/runtime.h>

#include "support/goroutine.h"

namespace treadle {
namespace {

struct Ended {
  int status = 0;
  std::string said;  // on standard error
};

// Runs `body` in a forked child, whose standard error is caught.
template <class F>
Ended in_child(F body) {
  std::array<int, 2> fds{};
  EXPECT_EQ(::pipe(fds.data()), 0);
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::alarm(30);  // a child that hangs is a failure, not a leftover
    ::dup2(fds[1], STDERR_FILENO);
    body();
    ::_exit(7);
  }
  ::close(fds[1]);
  Ended e;
  std::array<char, 512> buffer;
  for (ssize_t n; (n = ::read(fds[0], buffer.data(), buffer.size())) != 0;) {
    if (n > 0)
      e.said.append(buffer.data(), static_cast<std::size_t>(n));
    else if (errno != EINTR)
      break;
  }
  ::close(fds[0]);
  ::waitpid(pid, &e.status, 0);
  return e;
}

void expect_clear_end(const Ended& e) {
  EXPECT_TRUE(WIFSIGNALED(e.status) && WTERMSIG(e.status) == SIGABRT) << e.status;
  EXPECT_NE(e.said.find("forked child"), std::string::npos) << e.said;
}

TEST(Fork, ChildOfAPlainThreadIsToldSo) {
  test::run([] {});  // the runtime is up
  expect_clear_end(in_child([] { go([] {}); }));
}

TEST(Fork, ChildOfAGoroutineIsToldSo) {
  Ended e;
  test::run([&] { e = in_child([] { make_chan<int>().recv(); }); });
  expect_clear_end(e);
}

TEST(Fork, ChildThatCallsNothingMayExit) {
  test::run([] {});
  const Ended e = in_child([] { ::exit(5); });
  EXPECT_TRUE(WIFEXITED(e.status) && WEXITSTATUS(e.status) == 5) << e.status << e.said;
}

}  // namespace
}  // namespace treadle
