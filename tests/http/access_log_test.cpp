// pure
// The queue and its writer; what lines look like is in access_log_line_test.cpp.
#include "access_log.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "support/temporary_tree.h"

using namespace std::chrono_literals;
using namespace treadle::http::detail;
using treadle::net::SocketAddress;
using treadle::test::TemporaryTree;

namespace {

const SocketAddress kLocal = SocketAddress::parse("127.0.0.1:80").value();

std::unique_ptr<AccessLog> open(AccessLogOptions options) {
  return AccessLog::open(options).value();
}

// Records the request for "/number".
void record(AccessLog& log, int number) {
  const std::string target = "/" + std::to_string(number);
  log.record({.peer = kLocal, .method = "GET", .target = target, .status = 200});
}

// The numbers recorded, in order; a line that is none fails the test.
std::vector<int> numbers_in(std::istream& in) {
  std::vector<int> all;
  for (std::string line; std::getline(in, line);) {
    const std::size_t at = line.find("GET /");
    const bool whole = line.starts_with("127.0.0.1 - - [") && line.ends_with(" - - - -") &&
                       at != std::string::npos;
    EXPECT_TRUE(whole) << line;
    if (whole) all.push_back(std::stoi(line.substr(at + 5)));
  }
  return all;
}
std::vector<int> numbers(const std::string& path) {
  std::ifstream in(path);
  return numbers_in(in);
}

class Fifo {
 public:
  explicit Fifo(const std::string& path) : path_(path) {
    EXPECT_EQ(::mkfifo(path.c_str(), 0600), 0);
  }
  const std::string& path() const { return path_; }
  // What can be read without waiting.
  std::string read_all() {
    if (fd_ < 0) fd_ = ::open(path_.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    std::string all;
    std::vector<char> buffer(65536);
    for (;;) {
      const ssize_t n = ::read(fd_, buffer.data(), buffer.size());
      if (n <= 0) return all;
      all.append(buffer.data(), static_cast<std::size_t>(n));
    }
  }
  ~Fifo() { ::close(fd_); }
  Fifo(const Fifo&) = delete;
  Fifo& operator=(const Fifo&) = delete;

 private:
  std::string path_;
  int fd_ = -1;
};

}  // namespace

TEST(AccessLog, LinesLeaveInOrder) {
  const TemporaryTree tree;
  {
    const auto log = open({.path = tree.path("log")});
    for (int i = 0; i < 1000; ++i) record(*log, i);
  }
  const std::vector<int> all = numbers(tree.path("log"));
  ASSERT_EQ(all.size(), 1000U);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(all[static_cast<std::size_t>(i)], i);
}

TEST(AccessLog, FlushWaitsForWhatWasRecordedBefore) {
  const TemporaryTree tree;
  const auto log = open({.path = tree.path("log"), .gather = 1h});
  EXPECT_TRUE(log->flush());
  for (int i = 1; i <= 3; ++i) {
    record(*log, i);
    EXPECT_TRUE(log->flush());
    EXPECT_EQ(numbers(tree.path("log")).size(), static_cast<std::size_t>(i));
  }
}

TEST(AccessLog, BufferThatIsHalfFullIsNotGatheredAnyLonger) {
  const TemporaryTree tree;
  const auto log = open({.path = tree.path("log"), .buffer = 4000, .gather = 1h});
  for (int i = 0; i < 30; ++i) record(*log, i);
  while (numbers(tree.path("log")).empty()) std::this_thread::yield();
}

TEST(AccessLog, FormatIsChosen) {
  const TemporaryTree tree;
  open({.path = tree.path("log"), .format = treadle::http::AccessLogFormat::json})
      ->record({.peer = kLocal, .method = "GET", .target = "/"});
  std::ifstream in(tree.path("log"));
  std::string line;
  std::getline(in, line);
  EXPECT_TRUE(line.starts_with(R"({"time":")")) << line;
}

// A reader that stalls costs lines, each of which is counted, and no time.
TEST(AccessLog, FullBufferDropsAndCounts) {
  const TemporaryTree tree;
  Fifo fifo(tree.path("fifo"));
  constexpr int kLines = 5000;
  std::string all;
  std::uint64_t dropped = 0;
  {
    const auto log = open({.path = fifo.path(), .buffer = 16 * 1024, .gather = 0ms});
    for (int i = 0; i < kLines; ++i) record(*log, i);
    EXPECT_GT(log->dropped(), 0U);
    // The reader comes back, and so do the lines.
    all = fifo.read_all();
    while (!log->flush()) all += fifo.read_all();
    all += fifo.read_all();
    dropped = log->dropped();
    record(*log, kLines);
    EXPECT_TRUE(log->flush());
    EXPECT_EQ(log->dropped(), dropped);
    all += fifo.read_all();
  }
  std::istringstream in(all);
  const std::vector<int> got = numbers_in(in);
  EXPECT_EQ(got.size() + dropped, kLines + 1U);
  EXPECT_TRUE(std::ranges::is_sorted(got));
  ASSERT_FALSE(got.empty());
  EXPECT_EQ(got.back(), kLines);
}

TEST(AccessLog, FullDiskDropsAndCounts) {
  const auto log = open({.path = "/dev/full"});
  for (int i = 0; i < 100; ++i) record(*log, i);
  EXPECT_TRUE(log->flush());
  EXPECT_EQ(log->dropped(), 100U);
  record(*log, 0);
  EXPECT_TRUE(log->flush());
  EXPECT_EQ(log->dropped(), 101U);
}

TEST(AccessLog, EndAndFlushAreBoundedWhenNothingIsTaken) {
  const TemporaryTree tree;
  Fifo fifo(tree.path("fifo"));
  fifo.read_all();  // to have it open
  auto log = open({.path = fifo.path(), .gather = 0ms, .patience = 10ms});
  for (int i = 0; i < 5000; ++i) record(*log, i);
  EXPECT_FALSE(log->flush());
  log.reset();  // and does not hang
  EXPECT_FALSE(fifo.read_all().empty());
}

TEST(AccessLog, ReopenFollowsARename) {
  const TemporaryTree tree;
  const auto log = open({.path = tree.path("log"), .gather = 1h});
  record(*log, 1);
  std::filesystem::rename(tree.path("log"), tree.path("log.1"));
  record(*log, 2);
  ASSERT_TRUE(log->reopen());
  EXPECT_TRUE(log->flush());
  EXPECT_EQ(numbers(tree.path("log.1")), (std::vector{1, 2}));
  record(*log, 3);
  EXPECT_TRUE(log->flush());
  EXPECT_EQ(numbers(tree.path("log")), (std::vector{3}));
  EXPECT_EQ(numbers(tree.path("log.1")), (std::vector{1, 2}));
}

TEST(AccessLog, ReopenThatFailsKeepsTheFile) {
  const TemporaryTree tree;
  tree.make_directory("dir");
  const auto log = open({.path = tree.path("dir/log")});
  std::filesystem::rename(tree.path("dir"), tree.path("elsewhere"));
  EXPECT_EQ(log->reopen().error(), std::errc::no_such_file_or_directory);
  record(*log, 1);
  EXPECT_TRUE(log->flush());
  EXPECT_EQ(numbers(tree.path("elsewhere/log")), (std::vector{1}));
}

TEST(AccessLog, RotationUnderLoadLosesAndTearsNothing) {
  const TemporaryTree tree;
  constexpr int kThreads = 3;
  constexpr int kLines = 4000;
  std::set<int> seen;
  std::size_t lines = 0;
  int files = 0;
  std::uint64_t dropped = 0;
  {
    const auto log = open({.path = tree.path("log"), .buffer = 8 << 20, .gather = 0ms});
    std::atomic<int> running{kThreads};
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < kLines; ++i) record(*log, t * kLines + i);
        --running;
      });
    }
    for (bool more = true; more;) {
      more = running.load() > 0;
      std::filesystem::rename(tree.path("log"), tree.path(std::to_string(files++)));
      ASSERT_TRUE(log->reopen());
      ASSERT_TRUE(log->flush());
    }
    for (std::thread& t : threads) t.join();
    dropped = log->dropped();
  }
  std::filesystem::rename(tree.path("log"), tree.path(std::to_string(files++)));
  for (int i = 0; i < files; ++i) {
    for (const int number : numbers(tree.path(std::to_string(i)))) {
      seen.insert(number);
      ++lines;
    }
  }
  EXPECT_EQ(dropped, 0U);
  EXPECT_EQ(lines, static_cast<std::size_t>(kThreads * kLines));
  EXPECT_EQ(seen.size(), lines);
}

// What a stuck file could not take goes to the one that replaces it.
TEST(AccessLog, ReopenLeavesAStuckFileBehind) {
  const TemporaryTree tree;
  Fifo fifo(tree.path("log"));
  fifo.read_all();  // to have it open
  const auto log = open({.path = fifo.path(), .buffer = 4 << 20, .gather = 0ms, .patience = 1min});
  constexpr int kLines = 5000;
  for (int i = 0; i < kLines; ++i) record(*log, i);
  std::filesystem::rename(tree.path("log"), tree.path("old"));
  ASSERT_TRUE(log->reopen());
  EXPECT_TRUE(log->flush());
  EXPECT_EQ(log->dropped(), 0U);
  std::istringstream in(fifo.read_all());
  std::vector<int> all = numbers_in(in);
  const std::vector<int> later = numbers(tree.path("log"));
  EXPECT_FALSE(all.empty());
  EXPECT_FALSE(later.empty());
  all.insert(all.end(), later.begin(), later.end());
  EXPECT_EQ(all.size(), static_cast<std::size_t>(kLines));
  EXPECT_TRUE(std::ranges::is_sorted(all));
}
