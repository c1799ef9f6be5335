#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

#include <treadle/chan.h>
#include <treadle/go.h>
#include <treadle/runtime.h>
#include <treadle/wait_group.h>

#include "support/goroutine.h"

namespace treadle {
namespace {

using test::Task;

TEST(GoIdentity, PlainThreadIsNoGoroutine) {
  EXPECT_FALSE(in_goroutine());
  EXPECT_EQ(goroutine_id(), 0u);
  (void)max_procs();
  EXPECT_FALSE(in_goroutine());
  EXPECT_EQ(goroutine_id(), 0u);
  gosched();  // sched_yield
}

TEST(GoIdentity, EachGoroutineHasItsOwnForItsLife) {
  constexpr int kGoroutines = 1000;
  test::run([] {
    std::mutex lock;
    std::set<std::uint64_t> ids{goroutine_id()};
    WaitGroup wg;
    for (int i = 0; i < kGoroutines; ++i) {
      wg.add(1);
      go([&] {
        EXPECT_TRUE(in_goroutine());
        const auto id = goroutine_id();
        gosched();
        EXPECT_EQ(goroutine_id(), id);
        {
          const std::lock_guard hold(lock);
          EXPECT_TRUE(ids.insert(id).second) << id;
        }
        wg.done();
      });
      if (i % 100 == 99) wg.wait();  // later ones reuse the stacks, not the ids
    }
    EXPECT_EQ(ids.size(), kGoroutines + 1u);
    EXPECT_EQ(ids.count(0), 0u);
  });
}

// How often it was copied, moved and destroyed.
struct Tracked {
  struct Counts {
    std::atomic<int> copies{0}, moves{0}, destroyed{0};
  };
  Counts* counts;
  explicit Tracked(Counts& c) : counts(&c) {}
  Tracked(const Tracked& o) : counts(o.counts) { ++counts->copies; }
  Tracked(Tracked&& o) noexcept : counts(o.counts) { ++counts->moves; }
  Tracked& operator=(const Tracked&) = delete;
  ~Tracked() { ++counts->destroyed; }
};

TEST(GoClosure, LvalueIsCopiedAndRvalueMoved) {
  test::run([] {
    Tracked::Counts counts;
    {
      WaitGroup wg;
      wg.add(2);
      auto closure = [t = Tracked(counts), &wg] { wg.done(); };
      const int moves = counts.moves;
      go(closure);
      EXPECT_EQ(counts.copies, 1);
      EXPECT_EQ(counts.moves, moves);
      go(std::move(closure));
      EXPECT_EQ(counts.copies, 1);
      EXPECT_EQ(counts.moves, moves + 1);
      wg.wait();
    }
    const int made = 1 + counts.copies + counts.moves;
    while (counts.destroyed != made) gosched();
  });
}

TEST(GoClosure, DiesInItsGoroutineBeforeThatEnds) {
  struct Witness {
    Chan<std::uint64_t> to;
    explicit Witness(Chan<std::uint64_t> c) : to(std::move(c)) {}
    Witness(Witness&& o) noexcept = default;
    Witness& operator=(Witness&&) = delete;
    ~Witness() {
      if (to) to.send(goroutine_id());  // parks, in a destructor, at the very end
    }
  };
  test::run([] {
    auto from_body = make_chan<std::uint64_t>(1), from_destructor = make_chan<std::uint64_t>();
    go([from_body, w = Witness(from_destructor)] { from_body.send(goroutine_id()); });
    const auto id = from_body.recv();
    EXPECT_NE(id, goroutine_id());
    EXPECT_EQ(from_destructor.recv(), id);
  });
}

TEST(GoClosure, MayBeMoveOnly) {
  test::run([] {
    auto out = make_chan<int>(2);
    go([p = std::make_unique<int>(41), out] { out.send(*p); });
    std::packaged_task<int()> task([] { return 42; });
    auto result = task.get_future();
    Task([&] { go(std::move(task)); }).join();
    EXPECT_EQ(out.recv(), 41);
    EXPECT_EQ(result.get(), 42);
  });
}

TEST(GoClosure, MayBeMutableOrAFunction) {
  static std::atomic<int> calls;
  calls = 0;
  struct Function {
    static void call() { ++calls; }
  };
  test::run([] {
    go([n = 0]() mutable { calls += ++n; });
    go(&Function::call);
    go(Function::call);
    const std::function<void()> function = &Function::call;
    go(function);
    while (calls != 4) gosched();
  });
}

template <std::size_t kSize>
void expect_closure_arrives() {
  test::run([] {
    std::array<std::uint8_t, kSize> data;
    for (std::size_t i = 0; i < kSize; ++i) data[i] = static_cast<std::uint8_t>(i * 7);
    auto ok = make_chan<bool>();
    go([data, ok] {
      bool same = true;
      for (std::size_t i = 0; i < kSize; ++i) same &= data[i] == static_cast<std::uint8_t>(i * 7);
      ok.send(same);
    });
    EXPECT_EQ(ok.recv(), true);
  });
}

TEST(GoClosure, AnySizeArrivesWhole) {
  expect_closure_arrives<1>();
  expect_closure_arrives<1000>();
  expect_closure_arrives<4000>();
  expect_closure_arrives<4096>();
  expect_closure_arrives<5000>();
  expect_closure_arrives<100'000>();
}

template <std::size_t kAlign>
void expect_aligned() {
  struct alignas(kAlign) Aligned {
    std::uint64_t value = 77;
  };
  // The closure is made in a frame that clang's AddressSanitizer does not move to the heap: there
  // it would be aligned to a page at most.
  test::run([]() __attribute__((no_sanitize("address"))) {
    WaitGroup wg;
    for (int i = 0; i < 20; ++i) {  // the tops of stacks are coloured
      wg.add(1);
      go([a = Aligned(), &wg] {
        EXPECT_EQ(reinterpret_cast<std::uintptr_t>(&a) % kAlign, 0u);
        EXPECT_EQ(a.value, 77u);
        // The frame below is aligned as the ABI wants it, whatever stands above.
        alignas(64) char local[64];
        EXPECT_EQ(reinterpret_cast<std::uintptr_t>(local) % 64, 0u);
        wg.done();
      });
    }
    wg.wait();
  });
}

TEST(GoClosure, OveralignedOnesAreAligned) {
  expect_aligned<8>();
  expect_aligned<32>();
  expect_aligned<64>();
  expect_aligned<1024>();
  expect_aligned<4096>();
  expect_aligned<16384>();  // boxed: larger than what stands on the stack
}

TEST(GoClosure, ThrowingCopyLeavesNothingBehind) {
  struct Throws {
    Throws() = default;
    Throws(const Throws&) { throw std::runtime_error("copy"); }
    void operator()() const { FAIL(); }
  };
  test::run([] {
    const auto before = runtime_stats().goroutines;
    const Throws closure;
    for (int i = 0; i < 200; ++i) EXPECT_THROW(go(closure), std::runtime_error);
    EXPECT_EQ(runtime_stats().goroutines, before);
    Task([] {}).join();
  });
  const Throws closure;
  EXPECT_THROW(go(closure), std::runtime_error);  // the same from a plain thread
}

// The new goroutine's stack is held meanwhile by nobody but the copy.
TEST(GoClosure, CopyMayParkAndStartGoroutines) {
  struct Parks {
    Chan<int> done;
    int generation = 0;
    explicit Parks(Chan<int> c) : done(std::move(c)) {}
    Parks(const Parks& o) : done(o.done), generation(o.generation + 1) {
      auto ch = make_chan<int>();
      go([ch] { ch.send(1); });
      EXPECT_EQ(ch.recv(), 1);
    }
    Parks& operator=(const Parks&) = delete;
    void operator()() const { done.send(generation); }
  };
  test::run([] {
    auto done = make_chan<int>();
    const Parks closure(done);
    for (int i = 0; i < 100; ++i) {
      go(closure);
      EXPECT_EQ(done.recv(), 1);
    }
  });
}

TEST(GoMany, TenThousandEnd) {
  test::run([] {
    std::atomic<int> n{0};
    WaitGroup wg;
    for (int i = 0; i < 10'000; ++i) {
      wg.add(1);
      go([&] {
        ++n;
        wg.done();
      });
    }
    wg.wait();
    EXPECT_EQ(n, 10'000);
  });
}

TEST(GoMany, ParkedAllAtOnceAndWoken) {
  test::run([] {
    auto gate = make_chan<int>(), out = make_chan<int>();
    constexpr int kGoroutines = 2000;
    const auto before = runtime_stats().goroutines;
    for (int i = 0; i < kGoroutines; ++i)
      go([gate, out] {
        (void)gate.recv();
        out.send(1);
      });
    EXPECT_EQ(runtime_stats().goroutines, before + kGoroutines);
    gate.close();
    for (int i = 0; i < kGoroutines; ++i) EXPECT_EQ(out.recv(), 1);
  });
}

TEST(GoMany, EachMayStartTheNext) {
  test::run([] {
    auto done = make_chan<int>();
    struct Chain {
      static void link(Chan<int> out, int left) {
        if (left == 0) return out.send(1);
        go([out, left] { link(out, left - 1); });
      }
    };
    Chain::link(done, 5000);
    EXPECT_EQ(done.recv(), 1);
  });
}

TEST(GoMany, FromManyPlainThreads) {
  std::atomic<int> n{0};
  const auto before = runtime_stats().goroutines;
  {
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([&] {
        for (int i = 0; i < 500; ++i) go([&] { ++n; });
      });
    for (auto& t : threads) t.join();
  }
  test::expect_goroutines(before);
  EXPECT_EQ(n, 2000);
}

TEST(GoSched, LetsOthersRun) {
  test::run([] {
    std::atomic<int> turns{0};
    for (int i = 0; i < 5; ++i) {
      go([&] { ++turns; });
      while (turns != i + 1) gosched();
    }
  });
}

TEST(GoSched, IsFairAmongMany) {
  test::run([] {
    constexpr int kGoroutines = 10, kTurns = 500;
    std::array<std::atomic<int>, kGoroutines> turns{};
    WaitGroup wg;
    for (auto& mine : turns) {
      wg.add(1);
      go([&] {
        for (int i = 0; i < kTurns; ++i) {
          ++mine;
          gosched();
        }
        wg.done();
      });
    }
    wg.wait();
    for (auto& mine : turns) EXPECT_EQ(mine, kTurns);
  });
}

TEST(GoDeathTest, UncaughtExceptionNamesTheGoroutineAndItsOrigin) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        go([] { throw std::runtime_error("the reason"); });
        test::run([] { (void)Chan<int>().recv(); });
      },
      "an exception left a goroutine: std::runtime_error: the reason\n"
      "goroutine [0-9]+, created at .*go_test.cpp:[0-9]+");
}

}  // namespace
}  // namespace treadle
