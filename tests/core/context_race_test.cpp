// Contexts ended, derived and let go of from everywhere at once.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include <treadle/context.h>
#include <treadle/go.h>
#include <treadle/wait_group.h>

#include "runtime/context_state.h"
#include "runtime/syscall.h"
#include "support/goroutine.h"
#include "support/instructions.h"

namespace treadle {
namespace {

using test::Task;
using namespace std::chrono_literals;

TEST(ContextRace, TreeCancelledEverywhereAtOnceEndsWhole) {
  test::run([] {
    std::vector<CancelableContext> tree{with_cancel(background())};
    for (std::size_t next = 0; tree.size() < 200; ++next)
      for (int i = 0; i < 4; ++i) tree.push_back(with_cancel(tree[next].context));
    std::vector<CancelableContext> order = tree;
    std::shuffle(order.begin(), order.end(), std::mt19937(42));
    WaitGroup returned;
    for (auto& c : order) {
      returned.add(1);
      go([cancel = c.cancel, &returned] {
        cancel();
        returned.done();
      });
    }
    for (auto& c : tree) c.context.wait();
    returned.wait();
  });
}

// Two end one tree at once, or an ancestor and a part of it: whoever returns finds it all done.
TEST(ContextRace, CancelReturnsWhenTheDescendantsAreDone) {
  for (int i = 0; i < 300; ++i) {
    const auto root = i % 3 ? with_cancel(background()) : with_timeout(background(), 100us);
    const auto middle = with_cancel(root.context);
    std::vector<CancelableContext> below{with_cancel(middle.context)};
    for (std::size_t k = 0; k < 100; ++k) below.push_back(with_cancel(below[k / 2].context));
    std::atomic<int> ready{0}, not_done{0};
    const auto end = [&](const CancelableContext& c) {
      ++ready;
      while (ready != 3) std::this_thread::yield();
      c.cancel();
      for (const auto& b : below) not_done += !b.context.done();
    };
    std::thread a([&] { end(root); }), b([&] { end(root); }), c([&] { end(middle); });
    a.join();
    b.join();
    c.join();
    ASSERT_EQ(not_done, 0);
  }
}

// A child cancelled by whoever its parent's end has woken.
TEST(ContextRace, ChildCancelledByItsParentsWaiter) {
  test::run([] {
    for (int i = 0; i < 200; ++i) {
      auto parent = with_cancel(background());
      auto child = with_cancel(parent.context);
      Task waiter([&] {
        parent.context.wait();
        child.cancel();
      });
      parent.cancel();
      child.context.wait();
    }
  });
}

TEST(ContextRace, TenThousandChildrenEndWithTheirParent) {
  test::run([] {
    auto [parent, cancel] = with_cancel(background());
    std::vector<CancelableContext> children;
    for (int i = 0; i < 10'000; ++i)
      children.push_back(i % 2 ? with_cancel(parent) : with_timeout(parent, 1h));
    WaitGroup woken;
    for (auto& c : children) {
      woken.add(1);
      go([ctx = c.context, &woken] {
        ctx.wait();
        woken.done();
      });
    }
    cancel();
    woken.wait();
    for (auto& c : children) ASSERT_EQ(c.context.error(), Errc::canceled);
  });
}

TEST(ContextRace, ChainOfTenThousandEndsWhereItIsCut) {
  test::run([] {
    std::vector<CancelableContext> chain{with_cancel(background())};
    while (chain.size() < 10'000) chain.push_back(with_cancel(chain.back().context));
    chain[5000].cancel();
    for (std::size_t i = 0; i < chain.size(); ++i) ASSERT_EQ(chain[i].context.done(), i >= 5000);
    chain.erase(chain.begin() + 5000, chain.end());
    // From the top down, so that the last one frees all others.
    Context last = chain.back().context;
    chain.clear();
    EXPECT_FALSE(last.done());
    last = {};
  });
}

// Derivations, ends and releases of one tree by goroutines and plain threads.
TEST(ContextRace, DeriveCancelAndReleaseTogether) {
  for (int round = 0; round < 20; ++round) {
    auto made = round % 2 ? with_timeout(background(), 300us) : with_cancel(background());
    std::vector<std::thread> threads;
    std::atomic<int> wrong{0};
    const auto work = [&wrong, root = made.context](unsigned seed) {
      std::minstd_rand random(seed);
      std::vector<CancelableContext> mine{with_cancel(root)};
      for (int i = 0; i < 400; ++i) {
        auto& at = mine[random() % mine.size()];
        switch (random() % 6) {
          case 0: mine.push_back(with_cancel(at.context)); break;
          case 1: mine.push_back(with_timeout(at.context, 10us * (random() % 20 + 1))); break;
          case 2: mine.push_back(with_timeout(at.context, 1h)); break;
          case 3: at.cancel(); break;
          case 4: after_func(at.context, [] {}); break;
          default:
            std::swap(at, mine.back());
            if (mine.size() > 1) mine.pop_back();
        }
      }
      root.wait();
      for (auto& c : mine) wrong += !c.context.done();
    };
    for (unsigned i = 0; i < 2; ++i) threads.emplace_back(work, i + 1);
    test::run([&] {
      std::vector<std::unique_ptr<Task>> tasks;
      for (unsigned i = 0; i < 4; ++i)
        tasks.push_back(std::make_unique<Task>([&work, i] { work(10 + i); }));
      gosched();
      made.cancel();
    });
    for (auto& t : threads) t.join();
    EXPECT_EQ(wrong, 0);
  }
}

// The last handle goes while a timer is about to end the context.
TEST(ContextRace, DeadlinesPassWhileHandlesGo) {
  test::run([] {
    for (int i = 0; i < 2000; ++i) {
      const auto parent = with_timeout(background(), 1us * (i % 50));
      const auto child = with_timeout(parent.context, 1us * (i % 37));
      if (i % 3 == 0) gosched();
    }
    (void)sleep(1ms);
  });
}

int children_of(const Context& ctx) {
  auto* state = static_cast<rt::CancelState*>(ctx.state());
  const rt::Entry entry;
  const rt::LockGuard hold(state->lock);
  int n = 0;
  for (auto* node = state->nodes.load(); node; node = node->next) ++n;
  return n;
}

// A parent that lives on keeps neither those that were cancelled nor those that were let go.
TEST(ContextRaceChildren, LeaveTheirParentWhenTheyEnd) {
  const auto parent = with_cancel(background());
  EXPECT_EQ(children_of(parent.context), 0);
  std::vector<CancelableContext> kept;
  for (int i = 0; i < 10; ++i) {
    kept.push_back(i % 2 ? with_cancel(parent.context) : with_timeout(parent.context, 1h));
    EXPECT_EQ(children_of(parent.context), 1);
    if (i % 3 == 0) kept.back() = with_cancel(background());  // let go
    kept.back().cancel();
    EXPECT_EQ(children_of(parent.context), 0);
  }
  const auto timed = with_timeout(parent.context, 1us);
  timed.context.wait();
  while (children_of(parent.context) != 0) std::this_thread::yield();
}

// What a request pays for a context that nobody needs.
TEST(ContextRaceCost, OfAnUnusedContextIsBounded) {
  const auto root = with_cancel(background());
  const auto per_turn = [](auto&& f) {
    for (int i = 0; i < 100; ++i) f();
    auto n = test::count_instructions([&] {
      for (int i = 0; i < 1000; ++i) f();
    });
    return n ? *n / 1000 : 0;
  };
  EXPECT_LT(per_turn([&] { (void)with_cancel(root.context); }), 800u);
  EXPECT_LT(per_turn([&] { (void)with_timeout(root.context, 1h); }), 1400u);
  EXPECT_LT(per_turn([&] { (void)root.context.done(); }), 60u);
}

}  // namespace
}  // namespace treadle
