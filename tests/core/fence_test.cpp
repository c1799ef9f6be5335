// The protocols where the kernel refuses membarrier: entries then have a fence of their own. The
// tests of the core run again in a process under a seccomp filter that refuses it, as an old
// container's does.
#include <gtest/gtest.h>

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <string>
#include <vector>

#include <treadle/runtime.h>

#include "runtime/sanitizer.h"
#include "runtime/syscall.h"

namespace treadle {
namespace {

constexpr const char* kInside = "TREADLE_TEST_NO_MEMBARRIER";

bool refuse_membarrier() {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_membarrier, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter{sizeof program / sizeof program[0], program};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

// Runs the tests named by `filter` in this same program, under the filter.
int run_under_filter(const std::string& filter) {
  char self[4096];
  const ssize_t n = ::readlink("/proc/self/exe", self, sizeof self - 1);
  if (n <= 0) return -1;
  self[n] = '\0';
  const std::string argument = "--gtest_filter=" + filter;
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::alarm(200);
    ::setenv(kInside, "1", 1);
    if (!refuse_membarrier()) ::_exit(77);
    const char* const argv[] = {self, argument.c_str(), "--gtest_brief=1", nullptr};
    ::execv(self, const_cast<char* const*>(argv));
    ::_exit(78);
  }
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// Only inside: that the filter works, and the runtime has seen it.
TEST(FenceModeInside, IsInForce) {
  if (!std::getenv(kInside)) GTEST_SKIP() << "runs under the filter, by the other tests";
  (void)max_procs();
  EXPECT_EQ(::syscall(SYS_membarrier, 0, 0, 0), -1);
  EXPECT_EQ(errno, EPERM);
  EXPECT_FALSE(rt::membarrier_available());
}

class FenceMode : public ::testing::TestWithParam<const char*> {};

// Each with the number of Ps this process has.
INSTANTIATE_TEST_SUITE_P(Fence, FenceMode,
                         ::testing::Values("RevocationLitmus.*", "WakeupLitmus*:Runq*",
                                           "PreemptHog*:PreemptNonParking*:PreemptParking*",
                                           "PreemptPromise*:PreemptMixed*", "Blocking*-*Death*",
                                           "ProcsSet*:ProcsStop*", "Chan*-*Death*"));

TEST_P(FenceMode, SuitePassesUnderTheFilter) {
  if (std::getenv(kInside)) GTEST_SKIP() << "inside already";
  const int status = run_under_filter(std::string("FenceModeInside*:") + GetParam());
  if (status == 77) GTEST_SKIP() << "this process may not set a seccomp filter";
  EXPECT_EQ(status, 0) << GetParam();
}

}  // namespace
}  // namespace treadle
