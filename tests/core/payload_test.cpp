// What channels may carry, and that they neither lose nor double it.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

#include <treadle/chan.h>

#include "support/goroutine.h"

namespace treadle {
namespace {

using test::Task;

// Counts its living instances, moved-from ones included.
struct CountedElement {
  static inline std::atomic<int> alive{0};
  int value = 0;

  explicit CountedElement(int v) : value(v) { ++alive; }
  CountedElement(CountedElement&& o) noexcept : value(o.value) { ++alive; }
  CountedElement& operator=(CountedElement&&) = delete;
  ~CountedElement() { --alive; }
};

TEST(Payload, MoveOnlyTypesPass) {
  test::run([] {
    for (std::size_t capacity : {0u, 2u}) {
      auto ch = make_chan<std::unique_ptr<int>>(capacity);
      Task sender([&] {
        for (int i = 0; i < 100; ++i) ch.send(std::make_unique<int>(i));
        ch.close();
      });
      int next = 0;
      for (auto&& p : ch) EXPECT_EQ(*p, next++);
      EXPECT_EQ(next, 100);
    }
  });
}

TEST(Payload, LargeAndOveralignedTypesPass) {
  struct alignas(128) Large {
    std::array<std::uint32_t, 1000> words;
  };
  test::run([] {
    for (std::size_t capacity : {0u, 3u}) {
      auto ch = make_chan<Large>(capacity);
      Task sender([&] {
        for (std::uint32_t i = 0; i < 50; ++i) {
          Large v;
          v.words.fill(i);
          ch.send(v);
        }
        ch.close();
      });
      std::uint32_t next = 0;
      for (const Large& v : ch) {
        EXPECT_EQ(reinterpret_cast<std::uintptr_t>(&v) % alignof(Large), 0u);
        EXPECT_EQ(v.words.front(), next);
        EXPECT_EQ(v.words.back(), next);
        ++next;
      }
      EXPECT_EQ(next, 50u);
    }
  });
}

TEST(Payload, EmptyTypesAreCounted) {
  struct Nothing {};
  auto ch = make_chan<Nothing>(1000);
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(ch.try_send(Nothing{}));
  EXPECT_FALSE(ch.try_send(Nothing{}));
  EXPECT_EQ(ch.size(), 1000u);
}

TEST(Payload, EachIsDestroyedOnce) {
  ASSERT_EQ(CountedElement::alive, 0);
  test::run([] {
    auto ch = make_chan<CountedElement>(4);
    for (int round = 0; round < 3; ++round) {  // the ring wraps
      for (int i = 0; i < 4; ++i) ch.send(CountedElement(i));
      EXPECT_EQ(CountedElement::alive, 4);
      EXPECT_FALSE(ch.try_send(CountedElement(9)));
      for (int i = 0; i < 4; ++i) EXPECT_EQ(ch.recv()->value, i);
      EXPECT_EQ(CountedElement::alive, 0);
    }
    ch.send(CountedElement(1));
    ch.send(CountedElement(2));
    auto direct = make_chan<CountedElement>();
    Task sender([&] { direct.send(CountedElement(5)); });
    EXPECT_EQ(direct.recv()->value, 5);
    sender.join();
    Task refused([&] { EXPECT_THROW(direct.send(CountedElement(6)), Panic); });
    refused.wait_until_parked();
    direct.close();
    refused.join();
    EXPECT_EQ(CountedElement::alive, 2);
  });
  EXPECT_EQ(CountedElement::alive, 0);  // those left in the buffer died with it
}

TEST(Payload, DestructorMayUseTheSameKindOfChannel) {
  struct Reports {
    Chan<int> to;
    explicit Reports(Chan<int> c) : to(std::move(c)) {}
    Reports(Reports&&) noexcept = default;
    Reports& operator=(Reports&&) = delete;
    ~Reports() {
      if (to) to.send(1);
    }
  };
  test::run([] {
    auto reports = make_chan<int>();
    Task receiver([&] {
      EXPECT_EQ(reports.recv(), 1);
      EXPECT_EQ(reports.recv(), 1);
    });
    auto ch = make_chan<Reports>(2);
    ch.send(Reports(reports));
    ch.send(Reports(reports));
    ch = {};  // the last handle: both destructors park
  });
}

}  // namespace
}  // namespace treadle
