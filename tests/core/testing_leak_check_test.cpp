// testing::LeakCheck.
#include <gtest/gtest.h>

#include <optional>
#include <string>

#include <treadle/chan.h>
#include <treadle/go.h>
#include <treadle/testing.h>
#include <treadle/wait_group.h>

#include "support/goroutine.h"

namespace treadle {
namespace {

using namespace std::chrono_literals;

TEST(TestingLeakCheck, SaysNothingWhenAllHaveEnded) {
  test::run([] {
    testing::LeakCheck leaks([](const std::string& report) { ADD_FAILURE() << report; });
    WaitGroup wg;
    wg.add(100);
    for (int i = 0; i < 100; ++i) go([&wg] { wg.done(); });
    wg.wait();
  });
}

TEST(TestingLeakCheck, WaitsForThoseThatAreAboutToEnd) {
  test::run([] {
    testing::LeakCheck leaks([](const std::string& report) { ADD_FAILURE() << report; });
    go([] { (void)sleep(30ms); });
  });
}

TEST(TestingLeakCheck, NamesTheOneLeftWithItsWaitAndOrigin) {
  test::run([] {
    auto older = make_chan<int>(), newer = make_chan<int>();
    WaitGroup up;
    up.add(1);
    test::Task before([&] {
      up.done();
      (void)older.recv();
    });
    up.wait();
    testing::LeakCheck leaks({}, 1ms);
    test::Task left([&] { (void)newer.recv(); });
    left.wait_until_parked();
    const auto found = leaks.check();
    ASSERT_EQ(found.size(), 1u);
    EXPECT_EQ(found[0].state, "chan receive");
    EXPECT_NE(found[0].id, 0u);
    EXPECT_NE(std::string(found[0].created.file_name()).find("leak_check_test"), std::string::npos);
    const std::string report = testing::LeakCheck::report(found);
    EXPECT_EQ(report.find("1 goroutines were left behind:\n  goroutine "), 0u) << report;
    EXPECT_NE(report.find("[chan receive]"), std::string::npos) << report;
    older.close();
    newer.close();
  });
}

TEST(TestingLeakCheck, HandsTheReportToItsOwner) {
  test::run([] {
    std::string report;
    auto ch = make_chan<int>();
    std::optional<test::Task> left;
    {
      testing::LeakCheck leaks(
          [&](const std::string& text) {
            report = text;
            ch.close();
          },
          1ms);
      left.emplace([ch] { (void)ch.recv(); });
      left->wait_until_parked();
    }
    EXPECT_NE(report.find("chan receive"), std::string::npos) << report;
  });
}

TEST(TestingLeakCheckDeathTest, WithoutAnOwnerItIsFatal) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        testing::LeakCheck leaks({}, 200ms);
        go([] { (void)make_chan<int>().recv(); });
      },
      "left behind:\n  goroutine .*chan receive");
}

}  // namespace
}  // namespace treadle
