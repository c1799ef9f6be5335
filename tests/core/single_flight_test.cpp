#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <treadle/chan.h>
#include <treadle/go.h>
#include <treadle/single_flight.h>
#include <treadle/wait_group.h>

#include "support/goroutine.h"

namespace treadle {
namespace {

using test::Task;
using Flights = SingleFlight<std::string, int>;

TEST(SingleFlightCall, AloneIsNotShared) {
  SingleFlight<std::string, std::string> flights;
  const auto r = flights.call("key", [] { return "value"; });
  EXPECT_EQ(r.value, "value");
  EXPECT_FALSE(r.shared);
}

TEST(SingleFlightCall, SharedByThoseWhoAskMeanwhile) {
  test::run([] {
    Flights flights;
    auto go_on = make_chan<int>();
    std::atomic<int> calls{0}, shared{0};
    const auto ask = [&] {
      const auto r = flights.call("key", [&] {
        ++calls;
        return *go_on.recv();
      });
      EXPECT_EQ(r.value, 7);
      shared += r.shared;
    };
    std::vector<std::unique_ptr<Task>> tasks;
    for (int i = 0; i < 10; ++i) {
      tasks.push_back(std::make_unique<Task>(ask));
      tasks.back()->wait_until_parked();
    }
    go_on.send(7);
    for (auto& t : tasks) t->join();
    EXPECT_EQ(calls, 1);
    EXPECT_EQ(shared, 10);
    EXPECT_EQ(flights.call("key", [] { return 8; }).value, 8);  // nothing was kept
  });
}

TEST(SingleFlightCall, KeysDoNotDisturbEachOther) {
  test::run([] {
    SingleFlight<int, int> flights;
    auto go_on = make_chan<int>();
    Task slow([&] { EXPECT_EQ(flights.call(1, [&] { return *go_on.recv(); }).value, 1); });
    slow.wait_until_parked();
    EXPECT_EQ(flights.call(2, [] { return 2; }).value, 2);
    EXPECT_EQ(flights.call(3, [&] { return flights.call(4, [] { return 4; }).value; }).value, 4);
    go_on.send(1);
  });
}

TEST(SingleFlightException, ReachesAllWhoShare) {
  test::run([] {
    Flights flights;
    auto go_on = make_chan<int>();
    std::atomic<int> caught{0};
    std::vector<std::unique_ptr<Task>> tasks;
    for (int i = 0; i < 5; ++i) {
      tasks.push_back(std::make_unique<Task>([&] {
        try {
          flights.call("key", [&]() -> int {
            go_on.recv();
            throw std::runtime_error("no value");
          });
        } catch (const std::runtime_error& e) {
          EXPECT_STREQ(e.what(), "no value");
          ++caught;
        }
      }));
      tasks.back()->wait_until_parked();
    }
    go_on.send(1);
    for (auto& t : tasks) t->join();
    EXPECT_EQ(caught, 5);
    EXPECT_EQ(flights.call("key", [] { return 1; }).value, 1);
  });
}

TEST(SingleFlightError, IsAValueLikeAnyOther) {
  SingleFlight<int, Result<int>> flights;
  EXPECT_EQ(flights.call(1, []() -> Result<int> { return fail(Errc::eof); }).value.error(),
            Errc::eof);
}

TEST(SingleFlightForget, LetsTheNextCallBeMadeAnew) {
  test::run([] {
    Flights flights;
    auto go_on = make_chan<int>();
    Task first([&] { EXPECT_EQ(flights.call("key", [&] { return *go_on.recv(); }).value, 1); });
    first.wait_until_parked();
    Task follower([&] {
      const auto r = flights.call("key", [] { return 0; });
      EXPECT_EQ(r.value, 1);
      EXPECT_TRUE(r.shared);
    });
    follower.wait_until_parked();
    flights.forget("key");
    auto go_on2 = make_chan<int>();
    Task second([&] { EXPECT_EQ(flights.call("key", [&] { return *go_on2.recv(); }).value, 2); });
    second.wait_until_parked();
    go_on.send(1);
    first.join();
    follower.join();
    // The first one's end has not taken the second one's entry away.
    Task third([&] { EXPECT_EQ(flights.call("key", [] { return 0; }).value, 2); });
    third.wait_until_parked();
    go_on2.send(2);
  });
}

TEST(SingleFlightContext, EndsOneCallersWaitOnly) {
  test::run([] {
    Flights flights;
    auto go_on = make_chan<int>();
    auto [ctx, cancel] = with_cancel(background());
    Task leader(
        [&] { EXPECT_EQ(flights.call("key", ctx, [&] { return *go_on.recv(); })->value, 5); });
    leader.wait_until_parked();
    Task impatient(
        [&] { EXPECT_EQ(flights.call("key", ctx, [] { return 0; }).error(), Errc::canceled); });
    impatient.wait_until_parked();
    Task patient([&] { EXPECT_EQ(flights.call("key", [] { return 0; }).value, 5); });
    patient.wait_until_parked();
    cancel();
    impatient.join();
    EXPECT_FALSE(patient.done());
    go_on.send(5);
  });
}

TEST(SingleFlightMixed, OutcomesBelongToTheirCalls) {
  test::run([] {
    SingleFlight<int, std::shared_ptr<int>> flights;
    std::atomic<int> calls{0}, asked{0};
    const auto ask = [&](int seed) {
      for (int i = 0; i < 200; ++i) {
        const int key = (seed + i) % 3;
        const auto r = flights.call(key, [&] {
          ++calls;
          gosched();
          return std::make_shared<int>(key);
        });
        EXPECT_EQ(*r.value, key);
        ++asked;
        if (i % 10 == 0) flights.forget(key);
      }
    };
    WaitGroup wg;
    for (int i = 0; i < 6; ++i) wg.go([&, i] { ask(i); });
    std::thread plain([&] { ask(1); });
    wg.wait();
    plain.join();
    EXPECT_EQ(asked, 7 * 200);
    EXPECT_LE(calls, asked);
  });
}

}  // namespace
}  // namespace treadle
