// pure: durations and sizes as people write them.
#include "values.h"

#include <gtest/gtest.h>

#include <chrono>

namespace treadle::apps {
namespace {

using namespace std::chrono_literals;

TEST(ValuesDuration, UnitsAddUp) {
  EXPECT_EQ(parse_duration("30s"), 30s);
  EXPECT_EQ(parse_duration("250ms"), 250ms);
  EXPECT_EQ(parse_duration("1m30s"), 90s);
  EXPECT_EQ(parse_duration("1.5h"), 90min);
  EXPECT_EQ(parse_duration("5us"), 5us);
  EXPECT_EQ(parse_duration("7ns"), 7ns);
  EXPECT_EQ(parse_duration("0"), 0s);
  EXPECT_EQ(parse_duration("0s"), 0s);
}

TEST(ValuesDuration, AnythingElseIsRefused) {
  for (const char* text : {"", "30", "s", "-1s", "+1s", "1 s", " 1s", "1s ", "1sec", "1..5s", ".s",
                           "1s2", "inf", "nan s", "1e3s"})
    EXPECT_FALSE(parse_duration(text)) << text;
}

TEST(ValuesDuration, TooLongIsRefusedNotWrapped) {
  EXPECT_TRUE(parse_duration("2562047h"));
  EXPECT_FALSE(parse_duration("2562048h"));
  EXPECT_FALSE(parse_duration("2562047h2562047h"));
  EXPECT_FALSE(parse_duration("99999999999999999999ns"));
  EXPECT_FALSE(parse_duration("9999999999999.5h"));
}

TEST(ValuesSize, DecimalAndBinaryUnitsDiffer) {
  EXPECT_EQ(parse_size("4096"), 4096u);
  EXPECT_EQ(parse_size("4096B"), 4096u);
  EXPECT_EQ(parse_size("64KiB"), 65536u);
  EXPECT_EQ(parse_size("10MB"), 10'000'000u);
  EXPECT_EQ(parse_size("1.5GiB"), 1536u << 20);
  EXPECT_EQ(parse_size("0"), 0u);
}

TEST(ValuesSize, AnythingElseIsRefused) {
  for (const char* text : {"", "KB", "-1", "+1", "1 KB", "10mb", "1K", "1e6", "0x10", ".",
                           "99999999999999999999", "99999999999GiB", "0.5", "1.5B", "0.0001KiB"})
    EXPECT_FALSE(parse_size(text)) << text;
}

TEST(ValuesFormat, IsReadBackAsTheSameValue) {
  for (Duration d : {Duration(0s), Duration(1ns), Duration(90s), Duration(36h), Duration(1500ms)})
    EXPECT_EQ(parse_duration(format_duration(d)), d) << format_duration(d);
  for (std::size_t n : {0ul, 1ul, 1000ul, 1024ul, 10'000'000ul, 10'485'760ul, 123'457ul})
    EXPECT_EQ(parse_size(format_size(n)), n) << format_size(n);
  EXPECT_EQ(format_size(100), "100");
  EXPECT_EQ(format_duration(75s), "75s");
}

TEST(ValuesInt, RangeIsInclusive) {
  EXPECT_EQ(parse_int("0", 0, 1024), 0);
  EXPECT_EQ(parse_int("1024", 0, 1024), 1024);
  for (const char* text : {"", "-1", "1025", "+1", "1 ", " 1", "1x", "99999999999"})
    EXPECT_FALSE(parse_int(text, 0, 1024)) << text;
}

TEST(ValuesText, ControlCharactersAreRefused) {
  std::string variable = "before";
  EXPECT_FALSE(text_value(variable).assign("a\r\nb"));
  EXPECT_EQ(variable, "before");
  EXPECT_TRUE(text_value(variable).assign("after"));
  EXPECT_EQ(variable, "after");
}

}  // namespace
}  // namespace treadle::apps
