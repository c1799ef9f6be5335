#include "file_cache.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <treadle/go.h>
#include <treadle/wait_group.h>

#include <string>
#include <vector>

#include "support/goroutine.h"

namespace treadle::http::detail {
namespace {

using namespace std::chrono_literals;

constexpr TimePoint at(Duration d) { return TimePoint(1000s) + d; }

OpenFilePtr open_file() {
  return std::make_shared<const OpenFile>(net::File(::open("/dev/null", O_RDONLY | O_CLOEXEC)));
}

OpenPathPtr path_with(std::size_t descriptors) {
  auto path = std::make_shared<OpenPath>();
  path->plain = open_file();
  for (std::size_t i = 1; i < descriptors; ++i) path->encoded[i - 1] = open_file();
  return path;
}

bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

TEST(FileCache, FindsWhatWasPut) {
  FileCache cache(4);
  EXPECT_EQ(cache.find("a", at(0s)), nullptr);
  const OpenPathPtr a = path_with(1);
  cache.put("a", a, at(0s));
  EXPECT_EQ(cache.find("a", at(0s)), a);
  EXPECT_EQ(cache.find("a", at(999ms)), a);
  EXPECT_EQ(cache.find("b", at(0s)), nullptr);
  EXPECT_EQ(cache.find("", at(0s)), nullptr);
}

TEST(FileCache, AfterASecondItHasToBeOpenedAgain) {
  FileCache cache(4);
  cache.put("a", path_with(1), at(0s));
  EXPECT_EQ(cache.find("a", at(1s)), nullptr);
  const OpenPathPtr again = path_with(1);
  cache.put("a", again, at(1s));
  EXPECT_EQ(cache.find("a", at(1999ms)), again);
  EXPECT_EQ(cache.descriptors(), 1U);
}

TEST(FileCache, UseDoesNotProlongAnEntry) {
  FileCache cache(4);
  cache.put("a", path_with(1), at(0s));
  for (Duration d = 0ms; d < 1s; d += 100ms) EXPECT_NE(cache.find("a", at(d)), nullptr);
  EXPECT_EQ(cache.find("a", at(1s)), nullptr);
}

// One that opened the path earlier, and was held up since, must not bring the past back.
TEST(FileCache, WhatWasOpenedLaterStays) {
  FileCache cache(4);
  const OpenPathPtr later = path_with(1);
  cache.put("a", later, at(500ms));
  cache.put("a", path_with(1), at(0s));
  EXPECT_EQ(cache.find("a", at(600ms)), later);
  EXPECT_EQ(cache.descriptors(), 1U);
}

TEST(FileCache, TheLeastRecentlyUsedGoes) {
  FileCache cache(3);
  for (const char* name : {"a", "b", "c"}) cache.put(name, path_with(1), at(0s));
  EXPECT_NE(cache.find("a", at(0s)), nullptr);
  cache.put("d", path_with(1), at(0s));
  EXPECT_EQ(cache.find("b", at(0s)), nullptr);
  for (const char* name : {"a", "c", "d"}) EXPECT_NE(cache.find(name, at(0s)), nullptr) << name;
}

TEST(FileCache, DescriptorsAreCountedNotPaths) {
  FileCache cache(5);
  cache.put("a", path_with(4), at(0s));
  cache.put("b", path_with(1), at(0s));
  EXPECT_EQ(cache.descriptors(), 5U);
  cache.put("c", path_with(2), at(0s));
  EXPECT_EQ(cache.find("a", at(0s)), nullptr);
  EXPECT_EQ(cache.descriptors(), 3U);
  FileCache tiny(2);
  tiny.put("a", path_with(3), at(0s));
  EXPECT_EQ(tiny.descriptors(), 0U) << "it never fits";
}

TEST(FileCache, NeverHoldsMoreThanItMay) {
  FileCache cache(100);
  for (int i = 0; i < 1000; ++i) {
    cache.put(std::to_string(i), path_with(1 + static_cast<std::size_t>(i) % 4), at(0s));
    ASSERT_LE(cache.descriptors(), 100U);
  }
  EXPECT_GT(cache.descriptors(), 50U);
}

TEST(FileCache, OffKeepsNothing) {
  FileCache cache(0);
  EXPECT_FALSE(cache.enabled());
  cache.put("a", path_with(1), at(0s));
  EXPECT_EQ(cache.find("a", at(0s)), nullptr);
  EXPECT_EQ(cache.descriptors(), 0U);
}

TEST(FileCache, WhatIsInUseStaysOpen) {
  FileCache cache(1);
  OpenPathPtr a = path_with(1);
  const int fd = a->plain->file.fd();
  cache.put("a", a, at(0s));
  cache.put("b", path_with(1), at(0s));
  EXPECT_EQ(cache.find("a", at(0s)), nullptr);
  EXPECT_TRUE(is_open(fd));
  a = nullptr;
  EXPECT_FALSE(is_open(fd));
}

TEST(FileCache, SweepClosesWhatIsOld) {
  FileCache cache(4);
  OpenPathPtr a = path_with(1);
  const int fd = a->plain->file.fd();
  cache.put("a", std::move(a), at(0s));
  cache.put("b", path_with(1), at(500ms));
  EXPECT_TRUE(cache.sweep(at(999ms)));
  EXPECT_TRUE(is_open(fd));
  EXPECT_TRUE(cache.sweep(at(1s)));
  EXPECT_FALSE(is_open(fd));
  EXPECT_NE(cache.find("b", at(1s)), nullptr);
  EXPECT_FALSE(cache.sweep(at(2s)));
}

TEST(FileCache, ClearClosesEverything) {
  FileCache cache(100);
  OpenPathPtr a = path_with(1);
  const int fd = a->plain->file.fd();
  cache.put("a", std::move(a), at(0s));
  cache.put("b", path_with(4), at(0s));
  cache.clear();
  EXPECT_FALSE(is_open(fd));
  EXPECT_EQ(cache.descriptors(), 0U);
  EXPECT_EQ(cache.find("b", at(0s)), nullptr);
}

TEST(FileCacheRace, GoroutinesShareIt) {
  test::run([] {
    FileCache cache(64);
    WaitGroup all;
    for (int g = 0; g < 8; ++g) {
      all.add(1);
      treadle::go([&cache, &all, g] {
        for (int i = 0; i < 2000; ++i) {
          const std::string name = std::to_string((i * 7 + g) % 90);
          const TimePoint now = at(std::chrono::milliseconds(i));
          if (const OpenPathPtr found = cache.find(name, now)) {
            EXPECT_TRUE(is_open(found->plain->file.fd()));
          } else {
            cache.put(name, path_with(1), now);
          }
          if (i % 100 == g) cache.sweep(now);
          if (i % 500 == g) cache.clear();
        }
        all.done();
      });
    }
    all.wait();
    EXPECT_LE(cache.descriptors(), 64U);
  });
}

}  // namespace
}  // namespace treadle::http::detail
