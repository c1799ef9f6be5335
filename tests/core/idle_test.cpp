// An idle process uses no CPU at all: none of its threads wakes up.
#include <gtest/gtest.h>

#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <string>
#include <thread>

#include <treadle/blocking.h>
#include <treadle/chan.h>
#include <treadle/detail/poll_desc.h>
#include <treadle/go.h>
#include <treadle/runtime.h>
#include <treadle/timer.h>
#include <treadle/wait_group.h>

#include "runtime/sanitizer.h"

namespace treadle {
namespace {

using namespace std::chrono_literals;
using ::testing::ExitedWithCode;

// Context switches of each thread of this process but the calling one, since it began.
std::map<std::string, std::uint64_t> switches() {
  std::map<std::string, std::uint64_t> all;
  const std::string self = std::to_string(::gettid());
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    const std::string name = task.path().filename().string();
    if (name == self) continue;
    std::ifstream in(task.path() / "status");
    std::uint64_t sum = 0;
    for (std::string line; std::getline(in, line);)
      if (const auto at = line.find("ctxt_switches:"); at != std::string::npos)
        sum += std::stoull(line.substr(at + 14));
    all[name] = sum;
  }
  return all;
}

// After `work`, in a process of its own: within a few seconds comes one in which no thread was
// switched at all. (A surplus M's retirement, or sysmon's way to its deep sleep, comes before.)
[[noreturn]] void becomes_silent(const std::function<void()>& work) {
  ::alarm(60);
  std::thread watcher;
  run([&] {
    work();
    watcher = std::thread([] {
      for (int second = 0; second < 20; ++second) {
        const auto before = switches();
        std::this_thread::sleep_for(1s);
        const auto after = switches();
        if (before == after) std::_Exit(0);
      }
      std::_Exit(1);
    });
    (void)make_chan<int>().recv();
  });
  std::_Exit(2);
}

class IdleDeathTest : public ::testing::Test {
 protected:
  IdleDeathTest() {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
#if TREADLE_TSAN
    skip_ = true;  // its own thread wakes up ten times a second
#endif
  }
  bool skip_ = false;
};

#define EXPECT_SILENT_AFTER(work)                                          \
  do {                                                                     \
    if (skip_) GTEST_SKIP() << "the sanitizer has a thread that wakes up"; \
    EXPECT_EXIT(becomes_silent(work), ExitedWithCode(0), "");              \
  } while (false)

TEST_F(IdleDeathTest, RightAfterTheStart) {
  EXPECT_SILENT_AFTER([] {});
}

TEST_F(IdleDeathTest, AfterWorkOfEveryKind) {
  EXPECT_SILENT_AFTER([] {
    WaitGroup wg;
    for (int i = 0; i < 100; ++i) {
      wg.add(1);
      go([&wg, i] {
        (void)sleep(1ms);
        if (i % 10 == 0) blocking([] { ::usleep(2000); });
        if (i % 25 == 0) ::usleep(20'000);
        wg.done();
      });
    }
    wg.wait();
  });
}

TEST_F(IdleDeathTest, WithADescriptorWaitedFor) {
  EXPECT_SILENT_AFTER([] {
    go([] {
      auto event = detail::Pollable::open(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
      (void)event->prepare(detail::PollMode::read);
      (void)event->wait(detail::PollMode::read);
    });
  });
}

TEST_F(IdleDeathTest, WithATimerFarAway) {
  EXPECT_SILENT_AFTER([] { go([] { (void)sleep(1h); }); });
}

TEST_F(IdleDeathTest, WithAGoroutineBlockedInASystemCall) {
  EXPECT_SILENT_AFTER([] {
    go([] {
      int fds[2];
      char c;
      if (::pipe(fds) == 0) (void)!::read(fds[0], &c, 1);
    });
    (void)sleep(30ms);
  });
}

}  // namespace
}  // namespace treadle
