// select over a list whose length is known only at run time.
#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <treadle/go.h>
#include <treadle/select.h>

#include "support/goroutine.h"

namespace treadle {
namespace {

using test::Task;
using namespace std::chrono_literals;

TEST(SelectAny, ReturnsTheIndexAndRunsTheHandler) {
  test::run([] {
    for (std::size_t n : {1u, 2u, 16u, 17u, 300u}) {
      std::vector<Chan<std::size_t>> channels(n);
      std::vector<SelectCase> cases;
      std::size_t got = n;
      for (auto& ch : channels) {
        ch = make_chan<std::size_t>(1);
        cases.emplace_back(on_recv(ch, [&got](std::size_t v) { got = v; }));
      }
      for (std::size_t i = 0; i < n; i += 7) {
        channels[i].send(i);
        EXPECT_EQ(select_any(cases), i);
        EXPECT_EQ(got, i);
      }
      Task later([&] { EXPECT_EQ(select_any(cases), n - 1); });
      later.wait_until_parked();
      channels[n - 1].send(n - 1);
      later.join();
      for (auto& ch : channels) EXPECT_TRUE(ch.try_send(0));  // into the buffer: nobody is left
    }
  });
}

TEST(SelectAny, EmptyCasesAreNeverReady) {
  test::run([] {
    std::vector<SelectCase> cases(3);
    cases[1] = on_timeout(1us);
    EXPECT_EQ(select_any(cases), 1u);
    cases[2] = on_default();
    EXPECT_EQ(select_any(cases), 2u);
  });
}

TEST(SelectAny, ASendIsSpentOnceItsValueHasGone) {
  test::run([] {
    auto ch = make_chan<std::string>(10);
    std::vector<SelectCase> cases;
    const std::string text(100, 'x');
    cases.emplace_back(on_send(ch, std::string(text)));
    cases.emplace_back(on_timeout(100us));
    EXPECT_EQ(select_any(cases), 0u);
    EXPECT_EQ(select_any(cases), 1u);
    EXPECT_EQ(ch.size(), 1u);
    cases[0] = on_send(ch, text);
    EXPECT_EQ(select_any(cases), 0u);
    EXPECT_EQ(ch.recv(), text);
    EXPECT_EQ(ch.recv(), text);
  });
}

// What the cases were made of may be gone by the time of the call.
TEST(SelectAny, CasesOwnWhatTheyNeed) {
  test::run([] {
    std::vector<SelectCase> cases;
    auto out = make_chan<std::unique_ptr<int>>(1);
    Chan<int> in = make_chan<int>(1);
    {
      auto value = std::make_unique<int>(1);
      auto handler = [sent = std::make_unique<int>(0)] { ++*sent; };
      cases.emplace_back(on_send(out, std::move(value), std::move(handler)));
      Chan<int> copy = in;
      cases.emplace_back(on_recv(copy));
      auto [ctx, cancel] = with_timeout(background(), 200us);
      cases.emplace_back(on_done(ctx));
    }
    EXPECT_LE(select_any(cases), 2u);
    in = {};
    for (bool done = false; !done;) done = select_any(cases) == 2;
  });
}

TEST(SelectAny, NotTakenValuesDieWithTheList) {
  struct Counted {
    explicit Counted(int& n) : alive(&n) { ++n; }
    Counted(Counted&& o) noexcept : alive(o.alive) { ++*alive; }
    Counted& operator=(Counted&&) = delete;
    ~Counted() { --*alive; }
    int* alive;
  };
  int alive = 0;
  test::run([&] {
    auto full = make_chan<Counted>(), room = make_chan<Counted>(1);
    std::vector<SelectCase> cases;
    cases.emplace_back(on_send(full, Counted(alive)));
    cases.emplace_back(on_send(room, Counted(alive)));
    EXPECT_EQ(select_any(cases), 1u);
    EXPECT_EQ(alive, 3);  // one waits in the channel; what it was moved from stays with its case
    cases.clear();
    EXPECT_EQ(alive, 1);
  });
  EXPECT_EQ(alive, 0);
}

TEST(SelectAny, MisuseSaysWhatIsWrong) {
  const auto message = [](std::vector<SelectCase> cases) -> std::string {
    try {
      select_any(cases);
    } catch (const Panic& p) {
      return p.what();
    }
    return "no panic";
  };
  EXPECT_EQ(message(std::vector<SelectCase>(65'537)),
            "treadle::select_any: 65537 cases, more than 65536");
  std::vector<SelectCase> defaults;
  defaults.emplace_back(on_default());
  defaults.emplace_back(on_default());
  EXPECT_EQ(message(std::move(defaults)), "treadle::select_any: 2 cases are on_default()");
  auto closed = make_chan<int>();
  closed.close();
  std::vector<SelectCase> cases;
  cases.emplace_back(on_recv(Chan<int>()));
  cases.emplace_back(on_send(closed, 1));
  EXPECT_EQ(message(std::move(cases)), "treadle::select: case 1 sends on a closed channel");
}

TEST(SelectAny, MergesManyInputsUntilAllAreClosed) {
  test::run([] {
    constexpr int kInputs = 20, kEach = 50;
    std::vector<Chan<int>> inputs(kInputs);
    std::vector<SelectCase> cases(kInputs);
    int open = kInputs, sum = 0;
    bool ended = false;
    for (std::size_t i = 0; i < kInputs; ++i) {
      inputs[i] = make_chan<int>(i % 3);
      go([ch = inputs[i]] {
        for (int k = 1; k <= kEach; ++k) ch.send(k);
        ch.close();
      });
      cases[i] = on_recv(inputs[i], [&](std::optional<int> v) {
        ended = !v;
        if (v) sum += *v;
      });
    }
    while (open > 0) {
      const std::size_t i = select_any(cases);
      if (!ended) continue;
      cases[i] = {};
      --open;
    }
    EXPECT_EQ(sum, kInputs * kEach * (kEach + 1) / 2);
  });
}

TEST(SelectAny, TakesAsManyCasesAsItPromises) {
  test::run([] {
    auto quiet = make_chan<int>(), loud = make_chan<int>();
    std::vector<SelectCase> cases(65'536);
    for (auto& c : cases) c = on_recv(quiet);
    cases[40'000] = on_recv(loud);
    Task waiting([&] { EXPECT_EQ(select_any(cases), 40'000u); });
    waiting.wait_until_parked();
    loud.send(1);
  });
}

}  // namespace
}  // namespace treadle
