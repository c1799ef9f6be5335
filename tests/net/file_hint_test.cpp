// Which calls about files are hinted, told by what a hint does: with calls that are expected to be
// long it gives the P away at once, which is counted.
#include <gtest/gtest.h>

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <thread>
#include <utility>

#include <treadle/blocking.h>
#include <treadle/go.h>
#include <treadle/net/file.h>
#include <treadle/runtime.h>
#include <treadle/timer.h>

#include "open_beneath.h"
#include "support/goroutine.h"
#include "support/temporary_tree.h"

namespace treadle::net {
namespace {

std::uint64_t handoffs() { return runtime_stats().handoffs; }

// From then on hinted calls give their P away at once: it shows which are hinted.
void make_hints_long() {
  const std::uint64_t before = handoffs();
  std::atomic<bool> stop{false};
  test::Task busy([&] {
    while (!stop) gosched();
  });
  while (handoffs() < before + 2)
    blocking([] { std::this_thread::sleep_for(std::chrono::milliseconds(2)); });
  stop = true;
}

// One keeps its P while a thread to run that is being made: as many as it takes.
bool next_hint_gives_away() {
  const std::uint64_t before = handoffs();
  const Deadline end = Deadline::after(test::patience());
  while (handoffs() == before && !end.passed()) blocking([] {});
  return handoffs() != before;
}

// One P until the end of the scope.
class OneP {
 public:
  ~OneP() { set_max_procs(before_); }

 private:
  const int before_ = set_max_procs(1);
};

bool tells_what_is_in_memory(const test::TemporaryTree& tree) {
  const File directory(::open(tree.path("").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  const File once(open_beneath_at_once(directory.fd(), "a.txt"));
  const File again(open_beneath_cached(directory.fd(), "a.txt"));
  const int none_once = open_beneath_at_once(directory.fd(), "none");
  const int none_again = open_beneath_cached(directory.fd(), "none");
  return again && none_once == -ENOENT && none_again == -ENOENT;
}

// With a directory that holds a.txt, where the kernel tells what it has in memory.
void on_one_p(const std::function<void(const test::TemporaryTree&, const Directory&)>& body) {
  if (test::seeded_scheduler()) GTEST_SKIP() << "who gives a P away is chosen at random";
  test::run([&] {
    const test::TemporaryTree tree;
    tree.write("a.txt", "a");
    const auto root = Directory::open(tree.path(""));
    ASSERT_TRUE(root);
    if (!tells_what_is_in_memory(tree)) GTEST_SKIP() << "this kernel or file system does not tell";
    const OneP one;
    body(tree, *root);
  });
}

TEST(FileHint, NoneIsGivenForWhatIsInMemory) {
  on_one_p([](const test::TemporaryTree&, const Directory& root) {
    make_hints_long();
    const std::uint64_t before = handoffs();
    {
      const auto file = root.open_beneath("a.txt");
      ASSERT_TRUE(file);
      EXPECT_EQ(file->stat()->st_size, 1);
    }
    EXPECT_FALSE(root.open_beneath("none"));
    EXPECT_EQ(handoffs(), before);
    EXPECT_TRUE(next_hint_gives_away());
  });
}

// By what is known of it, and not of what takes its place.
TEST(FileHint, NoneIsGivenByTheCloseOfAFileThatIsReplaced) {
  on_one_p([](const test::TemporaryTree&, const Directory& root) {
    auto file = root.open_beneath("a.txt");
    ASSERT_TRUE(file);
    make_hints_long();
    const std::uint64_t before = handoffs();
    *file = File();
    EXPECT_EQ(handoffs(), before);
    EXPECT_TRUE(next_hint_gives_away());
  });
}

TEST(FileHint, ThatTheLastCloseOfADeletedFileGives) {
  on_one_p([](const test::TemporaryTree& tree, const Directory& root) {
    bool gave = false;
    for (int i = 0; i < 100 && !gave; ++i) {  // as in next_hint_gives_away()
      tree.write("a.txt", "a");
      auto opened = root.open_beneath("a.txt");
      ASSERT_TRUE(opened);
      std::optional<File> file(std::move(*opened));
      EXPECT_EQ(::unlink(tree.path("a.txt").c_str()), 0);
      make_hints_long();
      const std::uint64_t before = handoffs();
      file.reset();
      gave = handoffs() != before;
    }
    EXPECT_TRUE(gave);
  });
}

}  // namespace
}  // namespace treadle::net
