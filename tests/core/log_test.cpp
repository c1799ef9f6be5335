// pure: no goroutines
#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include <treadle/log.h>

#include "support/captured_stderr.h"

namespace treadle {
namespace {

using test::CapturedStderr;

TEST(LogWrite, LineHasTimeLevelAndText) {
  const CapturedStderr captured;
  log::warn("{} of {}", 3, "four");
  const auto lines = captured.lines();
  ASSERT_EQ(lines.size(), 1u);
  // 2025-01-31T12:00:00.123+00:00 warning 3 of four
  EXPECT_EQ(lines[0].substr(4, 1), "-");
  EXPECT_EQ(lines[0].substr(10, 1), "T");
  EXPECT_TRUE(lines[0].ends_with(" warning 3 of four")) << lines[0];
}

TEST(LogLevel, LinesBelowItAreDropped) {
  const CapturedStderr captured;
  log::debug("dropped at first");
  log::info("kept");
  log::set_level(log::Level::error);
  log::warn("dropped");
  log::error("kept too");
  log::set_level(log::Level::debug);
  log::debug("kept as well");
  log::set_level(log::Level::off);
  log::error("dropped");
  log::write(log::Level::off, "never a line");
  EXPECT_FALSE(log::enabled(log::Level::error));
  EXPECT_FALSE(log::enabled(log::Level::off));
  EXPECT_EQ(captured.lines().size(), 3u);
}

TEST(LogWrite, ControlCharactersCannotForgeLines) {
  const CapturedStderr captured;
  log::info(
      "GET /\r\n2025-01-31T12:00:00 error forged\x1b[31m\x7f\t\xc2\x9b"
      "1m caf\xc3\xa9");
  log::write(log::Level::info, std::string_view("a\0b", 3));
  const auto lines = captured.lines();
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_TRUE(
      lines[0].ends_with("GET /\\x0d\\x0a2025-01-31T12:00:00 error forged\\x1b[31m\\x7f"
                         "\\x09\\xc2\\x9b1m caf\xc3\xa9"))
      << lines[0];
  EXPECT_TRUE(lines[1].ends_with(" a\\x00b"));
}

TEST(LogWrite, BracesInTheTextAreText) {
  const CapturedStderr captured;
  log::write(log::Level::info, "{} %s {0}");
  ASSERT_EQ(captured.lines().size(), 1u);
  EXPECT_TRUE(captured.lines()[0].ends_with(" {} %s {0}"));
}

TEST(LogWrite, LinesOfManyThreadsStayWhole) {
  const CapturedStderr captured;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([] {
      for (int i = 0; i < 200; ++i) log::info("a line of {} parts", 5);
    });
  for (auto& t : threads) t.join();
  const auto lines = captured.lines();
  EXPECT_EQ(lines.size(), 800u);
  for (const auto& line : lines) EXPECT_TRUE(line.ends_with(" a line of 5 parts")) << line;
}

TEST(LogWrite, ClosedStandardErrorIsNoEnd) {
  const CapturedStderr captured;
  ::close(STDERR_FILENO);
  log::error("lost");
}

}  // namespace
}  // namespace treadle
