// pure
#include "spill_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>

#include "support/temporary_tree.h"

using treadle::Result;
using treadle::http::detail::SpillFile;
using treadle::test::TemporaryTree;

namespace {

std::string read_back(const SpillFile& spilled) {
  std::string all(spilled.size() + 1, '\0');
  const auto n = spilled.file()->read_at(std::as_writable_bytes(std::span(all)), 0);
  all.resize(n.value_or(0));
  return all;
}

// What every spill file promises, however it was made.
void expect_private(const SpillFile& spilled, const TemporaryTree& tree) {
  const auto s = spilled.file()->stat();
  ASSERT_TRUE(s.has_value());
  EXPECT_EQ(s->st_mode & 07777, 0600u);
  EXPECT_EQ(s->st_nlink, 0u);
  EXPECT_TRUE(std::filesystem::is_empty(tree.path("")));
  EXPECT_EQ(::fcntl(spilled.file()->fd(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
}

}  // namespace

TEST(SpillFile, HasNoNameAndKeepsWhatIsWritten) {
  const TemporaryTree tree;
  Result<SpillFile> spilled = SpillFile::create(tree.path(""));
  ASSERT_TRUE(spilled.has_value());
  ASSERT_TRUE(spilled->append("hello ").has_value());
  ASSERT_TRUE(spilled->append("").has_value());
  ASSERT_TRUE(spilled->append("world").has_value());
  EXPECT_EQ(spilled->size(), 11u);
  EXPECT_EQ(read_back(*spilled), "hello world");
  expect_private(*spilled, tree);
}

TEST(SpillFile, FileSystemsWithoutNamelessFilesServeToo) {
  const TemporaryTree tree;
  Result<SpillFile> spilled = SpillFile::create_unlinked(tree.path(""));
  ASSERT_TRUE(spilled.has_value());
  ASSERT_TRUE(spilled->append("hello").has_value());
  EXPECT_EQ(read_back(*spilled), "hello");
  expect_private(*spilled, tree);
}

TEST(SpillFile, MissingDirectoryIsAnError) {
  const TemporaryTree tree;
  EXPECT_EQ(SpillFile::create(tree.path("none")).error(), std::errc::no_such_file_or_directory);
  EXPECT_EQ(SpillFile::create_unlinked(tree.path("none")).error(),
            std::errc::no_such_file_or_directory);
}

TEST(SpillFile, DefaultDirectoryServes) { EXPECT_TRUE(SpillFile::create("").has_value()); }

TEST(SpillFile, FailedWritesAreErrors) {
  Result<SpillFile> spilled = SpillFile::create("");
  ASSERT_TRUE(spilled.has_value());
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  struct sigaction ignore{}, old{};
  ignore.sa_handler = SIG_IGN;
  ASSERT_EQ(::sigaction(SIGXFSZ, &ignore, &old), 0);
  rlimit small = before;
  small.rlim_cur = 5;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const Result<void> written = spilled->append("hello world");
  ::setrlimit(RLIMIT_FSIZE, &before);
  ::sigaction(SIGXFSZ, &old, nullptr);
  ASSERT_FALSE(written.has_value());
  EXPECT_EQ(written.error(), std::errc::file_too_large);
  EXPECT_EQ(spilled->size(), 5u);  // the short write before it was counted
}
