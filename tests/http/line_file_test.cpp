// pure
// Full disks are /dev/full and a file size limit, stalled readers a FIFO that nobody reads.
#include "line_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "support/temporary_tree.h"

using namespace std::chrono_literals;
using treadle::http::detail::LineFile;
using treadle::test::TemporaryTree;

namespace {

std::string contents(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

LineFile open(const std::string& path) { return LineFile::open(path).value(); }

// Lets files grow to so many bytes and no further, which is how a test fills a disk.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    old_handler_ = ::signal(SIGXFSZ, SIG_IGN);
    ::getrlimit(RLIMIT_FSIZE, &old_);
    rlimit now = old_;
    now.rlim_cur = bytes;
    ::setrlimit(RLIMIT_FSIZE, &now);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &old_);
    ::signal(SIGXFSZ, old_handler_);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  rlimit old_{};
  void (*old_handler_)(int) = nullptr;
};

// The reading end of a FIFO, which reads only when told to.
class Reader {
 public:
  explicit Reader(const std::string& path)
      : fd_(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC)) {}
  ~Reader() { ::close(fd_); }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
  std::string read_all() {
    std::string all;
    std::vector<char> buffer(65536);
    for (;;) {
      const ssize_t n = ::read(fd_, buffer.data(), buffer.size());
      if (n <= 0) return all;
      all.append(buffer.data(), static_cast<std::size_t>(n));
    }
  }

 private:
  int fd_;
};

std::string lines(std::size_t count, char c = 'x', std::size_t size = 99) {
  std::string all;
  for (std::size_t i = 0; i < count; ++i) all += std::string(size, c) + '\n';
  return all;
}

}  // namespace

TEST(LineFile, FileIsMadeAndAppendedTo) {
  const TemporaryTree tree;
  const std::string path = tree.path("log");
  {
    LineFile file = open(path);
    const auto [bytes, error] = file.write("a\nb\n", 1s);
    EXPECT_EQ(bytes, 4U);
    EXPECT_FALSE(error);
  }
  EXPECT_FALSE(open(path).write("c\n", 1s).error);
  EXPECT_EQ(contents(path), "a\nb\nc\n");
  struct stat s{};
  ASSERT_EQ(::stat(path.c_str(), &s), 0);
  EXPECT_EQ(s.st_mode & 0137U, 0U);  // nothing for others, whatever the umask
}

TEST(LineFile, WhatCannotBeOpenedSaysWhy) {
  const TemporaryTree tree;
  EXPECT_EQ(LineFile::open(tree.path("no/such")).error(), std::errc::no_such_file_or_directory);
  EXPECT_EQ(LineFile::open(tree.path("")).error(), std::errc::is_a_directory);
}

TEST(LineFile, SeveralWritersShareAFile) {
  const TemporaryTree tree;
  const std::string path = tree.path("log");
  std::vector<std::thread> writers;
  for (const char c : {'a', 'b', 'c'}) {
    writers.emplace_back([&path, c] {
      LineFile file = open(path);
      for (int i = 0; i < 50; ++i) ASSERT_FALSE(file.write(lines(20, c), 1s).error);
    });
  }
  for (std::thread& t : writers) t.join();
  std::ifstream in(path);
  int count = 0;
  for (std::string line; std::getline(in, line); ++count)
    ASSERT_EQ(line, std::string(99, line.at(0)));
  EXPECT_EQ(count, 3 * 50 * 20);
}

TEST(LineFile, FullDiskIsAnError) {
  LineFile file = open("/dev/full");
  const auto [bytes, error] = file.write("a\n", 1s);
  EXPECT_EQ(bytes, 0U);
  EXPECT_EQ(error, std::errc::no_space_on_device);
  EXPECT_FALSE(file.torn());
}

TEST(LineFile, LineThatTheDiskTookHalfOfIsFinishedFirst) {
  const TemporaryTree tree;
  const std::string path = tree.path("log");
  LineFile file = open(path);
  {
    const FileSizeLimit limit(7);
    auto [bytes, error] = file.write("one\ntwo2\nthree\n", 1s);
    EXPECT_EQ(error, std::errc::file_too_large);
    EXPECT_EQ(bytes, 9U);  // "two2" counts, since its rest will follow
    EXPECT_TRUE(file.torn());
    EXPECT_EQ(contents(path), "one\ntwo");
    std::tie(bytes, error) = [&] {
      const auto again = file.write("four\n", 1s);
      return std::pair(again.bytes, again.error);
    }();
    EXPECT_EQ(error, std::errc::file_too_large);
    EXPECT_EQ(bytes, 0U);
  }
  EXPECT_FALSE(file.write("five\n", 1s).error);
  EXPECT_FALSE(file.torn());
  EXPECT_EQ(contents(path), "one\ntwo2\nfive\n");
}

TEST(LineFile, EndOfAWriteBetweenLinesTearsNone) {
  const TemporaryTree tree;
  LineFile file = open(tree.path("log"));
  const FileSizeLimit limit(4);
  EXPECT_EQ(file.write("one\ntwo\n", 1s).bytes, 4U);
  EXPECT_FALSE(file.torn());
}

TEST(LineFile, FifoWithoutAReaderNeitherWaitsNorFails) {
  const TemporaryTree tree;
  const std::string path = tree.path("fifo");
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  LineFile file = open(path);
  EXPECT_FALSE(file.write("early\n", 0ms).error);
  {
    Reader reader(path);
    EXPECT_EQ(reader.read_all(), "early\n");
  }
  // Nor does one that has lost it.
  EXPECT_FALSE(file.write("late\n", 0ms).error);
  EXPECT_EQ(Reader(path).read_all(), "late\n");
}

TEST(LineFile, FullFifoTakesWholeLinesAndThenSaysSo) {
  const TemporaryTree tree;
  const std::string path = tree.path("fifo");
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  LineFile file = open(path);
  const std::string all = lines(2000, 'x', 119);
  const auto [bytes, error] = file.write(all, 1ms);
  EXPECT_EQ(error, std::errc::resource_unavailable_try_again);
  EXPECT_FALSE(file.torn());
  ASSERT_GT(bytes, 0U);
  ASSERT_LT(bytes, all.size());
  EXPECT_EQ(bytes % 120, 0U);
  Reader reader(path);
  EXPECT_EQ(reader.read_all(), all.substr(0, bytes));
  EXPECT_FALSE(file.write(lines(10), 1ms).error);
  EXPECT_EQ(reader.read_all(), lines(10));
}

TEST(LineFile, LineLongerThanThePipeIsFinishedOnceItIsRead) {
  const TemporaryTree tree;
  const std::string path = tree.path("fifo");
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  LineFile file = open(path);
  const std::string long_line = lines(1, 'x', 100'000);
  const auto [bytes, error] = file.write(long_line + "next\n", 1ms);
  EXPECT_EQ(error, std::errc::resource_unavailable_try_again);
  EXPECT_EQ(bytes, long_line.size());
  EXPECT_TRUE(file.torn());
  Reader reader(path);
  std::string got = reader.read_all();
  EXPECT_FALSE(file.write("next\n", 1ms).error);
  got += reader.read_all();
  EXPECT_EQ(got, long_line + "next\n");
}

// Standard output as a pipe whose reader goes away, in a process of its own.
TEST(LineFileDeathTest, StandardOutputThatBreaksIsAnErrorAndNoEnd) {
  EXPECT_EXIT(
      {
        ::signal(SIGPIPE, SIG_IGN);
        int ends[2];
        if (::pipe(ends) != 0 || ::dup2(ends[1], STDOUT_FILENO) < 0) ::_exit(3);
        const int flags = ::fcntl(ends[1], F_GETFL);
        LineFile file = open("-");
        if (file.write("a\n", 1s).error) ::_exit(4);
        // Whoever shares the pipe finds it blocking, as it was.
        if (::fcntl(ends[1], F_GETFL) != flags) ::_exit(5);
        if (file.write(lines(3000), 1ms).error != std::errc::resource_unavailable_try_again)
          ::_exit(6);
        ::close(ends[0]);
        if (file.write("b\n", 1s).error != std::errc::broken_pipe) ::_exit(7);
        ::_exit(0);
      },
      testing::ExitedWithCode(0), "");
}
