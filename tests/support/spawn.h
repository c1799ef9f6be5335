// Child processes of tests: programs under test, and tests that need a process of their own.
//
//   Process demo({TREADLE_DEMO, "--listen", fmt::format("127.0.0.1:{}", unused_port())});
//   ASSERT_TRUE(demo.wait_for_output("listening"));
//   demo.signal(SIGTERM);
//   EXPECT_EQ(demo.wait(), 0);
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace treadle::test {

struct SpawnOptions {
  std::vector<std::string> environment;  // "NAME=value", on top of this process's own
  std::string directory;                 // where it runs; empty: here
  std::string input;                     // its standard input; empty: /dev/null
};

// A child process whose standard output and error are collected, interleaved as they came. The
// calling thread blocks, under treadle::blocking. The destructor kills a child that still runs and
// waits for it. One thread at a time.
class Process {
 public:
  // argv[0] is looked up in PATH when it has no slash. Throws std::system_error when it cannot be
  // started.
  explicit Process(const std::vector<std::string>& argv, const SpawnOptions& options = {});
  Process(Process&&) noexcept;
  Process& operator=(Process&&) noexcept;
  ~Process();

  pid_t pid() const noexcept;
  void signal(int number);

  // Waits for the end: the exit code, or 128 + the signal that ended it. Nothing, and a failure of
  // the current test with the output, when it takes longer.
  std::optional<int> wait(std::chrono::milliseconds timeout = std::chrono::seconds(30));
  bool running();

  // Waits until `text` stands in the output. False, and a failure of the current test with the
  // output, when the child ends without it or it takes longer.
  bool wait_for_output(std::string_view text,
                       std::chrono::milliseconds timeout = std::chrono::seconds(30));
  // All that has come so far; all there is once wait() has returned.
  std::string output() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// A TCP port of 127.0.0.1 that was free a moment ago. Another process may take it: prefer port 0
// where the program tells the port it got.
std::uint16_t unused_port();

}  // namespace treadle::test
