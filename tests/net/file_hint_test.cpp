// Which calls about files are hinted, told by what a hint does: with calls that are expected to be
// long it gives the P away at once, which is counted.
#include <gtest/gtest.h>

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>

#include <treadle/blocking.h>
#include <treadle/go.h>
#include <treadle/net/file.h>
#include <treadle/runtime.h>

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

bool next_hint_gives_away() {
  // One keeps its P while a thread to run that is being made.
  const std::uint64_t before = handoffs();
  for (int i = 0; i < 100 && handoffs() == before; ++i) blocking([] {});
  return handoffs() != before;
}

bool tells_what_is_in_memory(const test::TemporaryTree& tree) {
  const File directory(::open(tree.path("").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  const File once(open_beneath_at_once(directory.fd(), "a.txt"));
  const File again(open_beneath_cached(directory.fd(), "a.txt"));
  return static_cast<bool>(again);
}

TEST(FileHint, NoneIsGivenForWhatIsInMemory) {
  if (test::seeded_scheduler()) GTEST_SKIP() << "who gives a P away is chosen at random";
  test::run([] {
    const test::TemporaryTree tree;
    tree.write("a.txt", "a");
    const auto root = Directory::open(tree.path(""));
    ASSERT_TRUE(root);
    if (!tells_what_is_in_memory(tree)) GTEST_SKIP() << "this kernel or file system does not tell";
    EXPECT_FALSE(root->open_beneath("none"));  // now that is in memory, too
    const int procs = set_max_procs(1);
    make_hints_long();
    const std::uint64_t before = handoffs();
    {
      const auto file = root->open_beneath("a.txt");
      ASSERT_TRUE(file);
      EXPECT_EQ(file->stat()->st_size, 1);
    }
    EXPECT_FALSE(root->open_beneath("none"));
    EXPECT_EQ(handoffs(), before);
    EXPECT_TRUE(next_hint_gives_away());
    set_max_procs(procs);
  });
}

TEST(FileHint, ThatTheLastCloseOfADeletedFileGives) {
  if (test::seeded_scheduler()) GTEST_SKIP() << "who gives a P away is chosen at random";
  test::run([] {
    const test::TemporaryTree tree;
    tree.write("a.txt", "a");
    const auto root = Directory::open(tree.path(""));
    ASSERT_TRUE(root);
    if (!tells_what_is_in_memory(tree)) GTEST_SKIP() << "this kernel or file system does not tell";
    const int procs = set_max_procs(1);
    bool gave = false;
    for (int i = 0; i < 100 && !gave; ++i) {  // as in next_hint_gives_away()
      tree.write("a.txt", "a");
      auto file = root->open_beneath("a.txt");
      ASSERT_TRUE(file);
      EXPECT_EQ(::unlink(tree.path("a.txt").c_str()), 0);
      make_hints_long();
      const std::uint64_t before = handoffs();
      *file = File();
      gave = handoffs() != before;
    }
    EXPECT_TRUE(gave);
    set_max_procs(procs);
  });
}

}  // namespace
}  // namespace treadle::net
