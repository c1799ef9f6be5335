#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <treadle/net/file.h>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <thread>

#include "net/net_fixture.h"
#include "open_beneath.h"
#include "support/goroutine.h"
#include "support/temporary_tree.h"

namespace treadle::net {
namespace {

using test::TemporaryTree;
using test::writable;

std::string contents(const File& file) {
  std::string buffer(4096, '\0');
  const auto n = file.read_at(writable(buffer), 0);
  return n ? buffer.substr(0, *n) : "error: " + n.error().message();
}

TEST(FileOpen, ReadsAtOffsets) {
  test::run([] {
    const TemporaryTree tree;
    tree.write("a.txt", "0123456789");
    const auto file = File::open(tree.path("a.txt"));
    ASSERT_TRUE(file);
    std::string buffer(4, '\0');
    EXPECT_EQ(*file->read_at(writable(buffer), 3), 4u);
    EXPECT_EQ(buffer, "3456");
    EXPECT_EQ(*file->read_at(writable(buffer), 8), 2u);
    EXPECT_EQ(*file->read_at(writable(buffer), 10), 0u);
    EXPECT_EQ(*file->read_at(writable(buffer), 1u << 30), 0u);
    EXPECT_EQ(file->read_at(writable(buffer), ~0ull).error(), std::errc::invalid_argument);
    EXPECT_EQ(file->stat()->st_size, 10);
  });
}

// Drops what the page cache has of a file.
bool evict(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  const bool done =
      fd >= 0 && ::fsync(fd) == 0 && ::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0;
  ::close(fd);
  return done;
}

TEST(FileRead, WhatIsNotCachedIsReadAllTheSame) {
  test::run([] {
    const TemporaryTree tree;
    const std::string text(100'000, 'x');
    tree.write("a.txt", text);
    const auto file = File::open(tree.path("a.txt"));
    ASSERT_TRUE(file);
    if (!file->seems_cached(0, text.size())) GTEST_SKIP() << "this file system does not tell";
    ASSERT_TRUE(evict(tree.path("a.txt")));
    EXPECT_FALSE(file->seems_cached(0, text.size()));
    std::string buffer(2 * text.size(), '\0');
    EXPECT_EQ(*file->read_at(writable(buffer), 0), text.size());
    EXPECT_EQ(buffer.substr(0, text.size()), text);
    EXPECT_TRUE(file->seems_cached(0, text.size()));
  });
}

TEST(FileRead, PartlyCachedIsReadWhole) {
  test::run([] {
    const TemporaryTree tree;
    const std::string text(8 << 20, 'y');
    tree.write("a.txt", text);
    const auto file = File::open(tree.path("a.txt"));
    ASSERT_TRUE(file);
    if (!file->seems_cached(0, text.size())) GTEST_SKIP() << "this file system does not tell";
    ASSERT_TRUE(evict(tree.path("a.txt")));
    std::string some(4096, '\0');
    ASSERT_EQ(*file->read_at(writable(some), 0), some.size());  // and some read-ahead
    EXPECT_TRUE(file->seems_cached(0, some.size()));
    EXPECT_FALSE(file->seems_cached(0, text.size()));
    std::string buffer(text.size(), '\0');
    EXPECT_EQ(*file->read_at(writable(buffer), 0), text.size());
    EXPECT_EQ(buffer, text);
  });
}

TEST(FileRead, NothingIsCachedOfWhatCannotBeReadAtOffsets) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const File read_end(ends[0]), write_end(ends[1]);
  EXPECT_FALSE(read_end.seems_cached(0, 1));
  std::string some(1, '\0');
  EXPECT_EQ(read_end.read_at(writable(some), 0).error(), std::errc::invalid_seek);
}

TEST(FileStat, SaysTheSizeOfNow) {
  test::run([] {
    const TemporaryTree tree;
    tree.write("a.txt", "1");
    const auto directory = Directory::open(tree.path(""));
    ASSERT_TRUE(directory);
    auto opened = directory->open_beneath("a.txt");
    ASSERT_TRUE(opened);
    EXPECT_EQ(opened->stat()->st_size, 1);
    const File file = std::move(*opened);  // what is known of it moves along
    tree.write("a.txt", "four");
    EXPECT_EQ(file.stat()->st_size, 4);
  });
}

TEST(FileOpen, MissingIsAnError) {
  const TemporaryTree tree;
  EXPECT_EQ(File::open(tree.path("none")).error(), std::errc::no_such_file_or_directory);
  EXPECT_EQ(Directory::open(tree.path("none")).error(), std::errc::no_such_file_or_directory);
  tree.write("a.txt", "x");
  EXPECT_EQ(Directory::open(tree.path("a.txt")).error(), std::errc::not_a_directory);
}

TEST(FileOpen, FifoWithoutWriterDoesNotHang) {
  test::run([] {
    const TemporaryTree tree;
    ASSERT_EQ(::mkfifo(tree.path("fifo").c_str(), 0600), 0);
    const auto file = File::open(tree.path("fifo"));
    ASSERT_TRUE(file);
    EXPECT_TRUE(S_ISFIFO(file->stat()->st_mode));
    const auto beneath = Directory::open(tree.path(""))->open_beneath("fifo");
    EXPECT_TRUE(beneath);
  });
}

TEST(FileValue, MovedFromIsEmptyAndClosesOnce) {
  const TemporaryTree tree;
  tree.write("a.txt", "x");
  File a = *File::open(tree.path("a.txt"));
  const int fd = a.fd();
  File b = std::move(a);
  EXPECT_FALSE(a);  // NOLINT(bugprone-use-after-move): what a moved-from File is
  EXPECT_EQ(b.fd(), fd);
  b = File();
  EXPECT_EQ(::fcntl(fd, F_GETFD), -1);
}

// A tree with everything that might lead out.
struct Trap {
  TemporaryTree tree;
  Trap() {
    tree.write("secret", "secret");
    tree.make_directory("root/sub/deep");
    tree.write("root/a.txt", "a");
    tree.write("root/sub/b.txt", "b");
    tree.write("root/..hidden", "dots");
    tree.link("root/to-file", "a.txt");
    tree.link("root/to-sub", "sub");
    tree.link("root/out", "../secret");
    tree.link("root/out-absolute", tree.path("secret"));
    tree.link("root/up", "..");
    tree.link("root/sub/inside-up", "../a.txt");
    tree.link("root/loop", "loop");
    tree.link("root/proc", "/proc/self/root");
  }
  std::string root() const { return tree.path("root"); }
};

// Opens by the way under test and says what came: contents, "directory", or the error's name.
using Open = int (*)(int directory, const std::string& relative);

std::string outcome(Open open, const std::string& root, const std::string& relative) {
  const int directory = ::open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  const int fd = open(directory, relative);
  ::close(directory);
  if (fd < 0) return ::strerrorname_np(-fd);
  const File file(fd);
  return S_ISDIR(file.stat()->st_mode) ? "directory" : contents(file);
}

int at_once(int directory, const std::string& relative) {
  return open_beneath_at_once(directory, relative);
}

TEST(FileBeneath, BothWaysOpenWhatIsInside) {
  const Trap trap;
  for (const Open open : {&at_once, &open_beneath_by_segments}) {
    EXPECT_EQ(outcome(open, trap.root(), "a.txt"), "a");
    EXPECT_EQ(outcome(open, trap.root(), "sub/b.txt"), "b");
    EXPECT_EQ(outcome(open, trap.root(), "sub//b.txt"), "b");
    EXPECT_EQ(outcome(open, trap.root(), "./sub/./b.txt"), "b");
    EXPECT_EQ(outcome(open, trap.root(), "..hidden"), "dots");
    EXPECT_EQ(outcome(open, trap.root(), ""), "directory");
    EXPECT_EQ(outcome(open, trap.root(), "."), "directory");
    EXPECT_EQ(outcome(open, trap.root(), "sub"), "directory");
    EXPECT_EQ(outcome(open, trap.root(), "sub/"), "directory");
    EXPECT_EQ(outcome(open, trap.root(), "sub/deep/"), "directory");
  }
}

TEST(FileBeneath, BothWaysRefuseWhatLeadsOut) {
  const Trap trap;
  for (const Open open : {&at_once, &open_beneath_by_segments}) {
    EXPECT_EQ(outcome(open, trap.root(), "../secret"), "EXDEV");
    EXPECT_EQ(outcome(open, trap.root(), ".."), "EXDEV");
    EXPECT_EQ(outcome(open, trap.root(), "sub/../../secret"), "EXDEV");
    EXPECT_EQ(outcome(open, trap.root(), trap.tree.path("secret")), "EXDEV");
    EXPECT_EQ(outcome(open, trap.root(), "/"), "EXDEV");
    for (const char* path : {"out", "out-absolute", "up/secret", "proc/etc/passwd", "loop"}) {
      const std::string got = outcome(open, trap.root(), path);
      EXPECT_TRUE(got == "EXDEV" || got == "ELOOP") << path << ": " << got;
    }
  }
}

TEST(FileBeneath, BothWaysNameWhatIsNotThere) {
  const Trap trap;
  for (const Open open : {&at_once, &open_beneath_by_segments}) {
    EXPECT_EQ(outcome(open, trap.root(), "none"), "ENOENT");
    EXPECT_EQ(outcome(open, trap.root(), "none/a.txt"), "ENOENT");
    EXPECT_EQ(outcome(open, trap.root(), "a.txt/b"), "ENOTDIR");
    EXPECT_EQ(outcome(open, trap.root(), "a.txt/"), "ENOTDIR");
    EXPECT_EQ(outcome(open, trap.root(), std::string(300, 'x')), "ENAMETOOLONG");
  }
}

TEST(FileBeneath, LinksInsideAreFollowedAtOnceAndRefusedBySegments) {
  const Trap trap;
  EXPECT_EQ(outcome(&at_once, trap.root(), "to-file"), "a");
  EXPECT_EQ(outcome(&at_once, trap.root(), "to-sub/b.txt"), "b");
  EXPECT_EQ(outcome(&at_once, trap.root(), "sub/inside-up"), "a");
  EXPECT_EQ(outcome(&open_beneath_by_segments, trap.root(), "to-file"), "ELOOP");
  EXPECT_EQ(outcome(&open_beneath_by_segments, trap.root(), "to-sub/b.txt"), "ELOOP");
  EXPECT_EQ(outcome(&open_beneath_by_segments, trap.root(), "to-sub/"), "ELOOP");
  EXPECT_EQ(outcome(&open_beneath_by_segments, trap.root(), "sub/inside-up"), "ELOOP");
}

// A directory that is exchanged for a link to one outside, over and over, while it is opened.
TEST(FileBeneath, NeitherWayLosesTheRace) {
  const Trap trap;
  trap.tree.make_directory("outside");
  trap.tree.write("outside/b.txt", "secret");
  trap.tree.link("root/swap", "../outside");
  std::atomic<bool> stop{false};
  std::atomic<int> swaps{0};
  std::thread swapper([&] {
    const std::string a = trap.tree.path("root/sub");
    const std::string b = trap.tree.path("root/swap");
    while (!stop.load())
      if (::renameat2(AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), RENAME_EXCHANGE) == 0) ++swaps;
  });
  for (const Open open : {&at_once, &open_beneath_by_segments}) {
    int inside = 0;
    int refused = 0;
    for (int i = 0; i < 2000 || ((inside == 0 || refused == 0) && i < 200'000); ++i) {
      const std::string got = outcome(open, trap.root(), "sub/b.txt");
      EXPECT_TRUE(got == "b" || got == "EXDEV" || got == "ELOOP" || got == "ENOENT" ||
                  got == "ENOTDIR" || got == "EAGAIN")
          << got;
      (got == "b" ? inside : refused) += 1;
    }
    EXPECT_GT(inside, 0);
    EXPECT_GT(refused, 0);
  }
  stop = true;
  swapper.join();
  EXPECT_GT(swaps.load(), 0);
}

// What came by memory alone; "" where another way has to be asked.
std::string by_memory(const std::string& root, const std::string& relative) {
  const std::string got = outcome(&open_beneath_cached, root, relative);
  return got == "EAGAIN" || got == "EXDEV" || got == "ELOOP" ? "" : got;
}

bool opens_by_memory(const Trap& trap) {
  (void)outcome(&at_once, trap.root(), "a.txt");
  return by_memory(trap.root(), "a.txt") == "a";
}

TEST(FileBeneath, MemoryOpensWhatIsInsideAndNothingElse) {
  const Trap trap;
  if (!opens_by_memory(trap)) GTEST_SKIP() << "this kernel or file system does not";
  for (const char* path : {"a.txt", "sub//b.txt", "..hidden", "", "sub/"}) {
    const std::string said = outcome(&at_once, trap.root(), path);
    EXPECT_EQ(by_memory(trap.root(), path), said) << path;
  }
  // What is not there, links, and ".." beside a rename: not every file system tells at once.
  for (const char* path : {"none", "sub/none", "to-file", "to-sub/b.txt", "sub/inside-up"}) {
    const std::string said = outcome(&at_once, trap.root(), path);
    const std::string got = by_memory(trap.root(), path);
    EXPECT_TRUE(got == said || got.empty()) << path << ": " << got;
  }
  for (const char* path : {"../secret", "..", "sub/../../secret", "/", "out", "out-absolute",
                           "up/secret", "proc/etc/passwd", "loop"})
    EXPECT_EQ(by_memory(trap.root(), path), "") << path;
  EXPECT_EQ(by_memory(trap.root(), trap.tree.path("secret")), "");
}

TEST(FileBeneath, WhatIsReplacedOrDeletedIsSeenAtOnce) {
  test::run([] {
    const Trap trap;
    const auto root = Directory::open(trap.root());
    ASSERT_TRUE(root);
    EXPECT_EQ(contents(*root->open_beneath("a.txt")), "a");
    trap.tree.write("root/new", "new");
    ASSERT_EQ(::rename(trap.tree.path("root/new").c_str(), trap.tree.path("root/a.txt").c_str()),
              0);
    EXPECT_EQ(contents(*root->open_beneath("a.txt")), "new");
    ASSERT_EQ(::unlink(trap.tree.path("root/a.txt").c_str()), 0);
    EXPECT_EQ(root->open_beneath("a.txt").error(), std::errc::no_such_file_or_directory);
    trap.tree.write("root/a.txt", "again");
    EXPECT_EQ(contents(*root->open_beneath("a.txt")), "again");
  });
}

TEST(FileBeneath, DirectoryUsesThem) {
  test::run([] {
    const Trap trap;
    const auto root = Directory::open(trap.root());
    ASSERT_TRUE(root);
    EXPECT_EQ(contents(*root->open_beneath("sub/b.txt")), "b");
    EXPECT_EQ(root->open_beneath("../secret").error(), std::errc::cross_device_link);
    EXPECT_EQ(root->open_beneath(std::string("a.txt\0.jpg", 10)).error(),
              std::errc::no_such_file_or_directory);
  });
}

TEST(FileBeneath, NoDescriptorIsLeftBehind) {
  const Trap trap;
  const int before = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  ::close(before);
  for (const Open open :
       {Open{&at_once}, Open{&open_beneath_cached}, Open{&open_beneath_by_segments}})
    for (const char* path : {"sub/deep/", "sub/b.txt", "sub/none", "to-sub/b.txt", "sub/../a.txt"})
      (void)outcome(open, trap.root(), path);
  const int after = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  ::close(after);
  EXPECT_EQ(before, after);
}

}  // namespace
}  // namespace treadle::net
