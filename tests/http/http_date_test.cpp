// pure
#include "http_date.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>

using namespace treadle::http;

namespace {
constexpr std::int64_t kExample = 784111777;    // of RFC 9110 5.6.7
constexpr std::int64_t kJune2025 = 1750000000;  // June 2025
}  // namespace

TEST(HttpDate, FormatIsFixdate) {
  EXPECT_EQ(HttpDate(kExample).view(), "Sun, 06 Nov 1994 08:49:37 GMT");
  EXPECT_EQ(HttpDate(0).view(), "Thu, 01 Jan 1970 00:00:00 GMT");
  EXPECT_EQ(HttpDate(-1).view(), "Wed, 31 Dec 1969 23:59:59 GMT");
  EXPECT_EQ(HttpDate(951782400).view(), "Tue, 29 Feb 2000 00:00:00 GMT");
  EXPECT_EQ(HttpDate(4102444800).view(), "Fri, 01 Jan 2100 00:00:00 GMT");
}

TEST(HttpDate, FormatStaysWithinFourDigitYears) {
  EXPECT_EQ(HttpDate(std::numeric_limits<std::int64_t>::max()).view(),
            "Fri, 31 Dec 9999 23:59:59 GMT");
  EXPECT_EQ(HttpDate(std::numeric_limits<std::int64_t>::min()).view(),
            "Sat, 01 Jan 0000 00:00:00 GMT");
}

TEST(HttpDate, AllThreeFormsAreRead) {
  EXPECT_EQ(parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT", kJune2025), kExample);
  EXPECT_EQ(parse_http_date("Sunday, 06-Nov-94 08:49:37 GMT", kJune2025), kExample);
  EXPECT_EQ(parse_http_date("Sun Nov  6 08:49:37 1994", kJune2025), kExample);
  EXPECT_EQ(parse_http_date("Wed Nov 16 08:49:37 1994", kJune2025), kExample + 10 * 86400);
}

TEST(HttpDate, WhatIsFormattedIsRead) {
  for (std::int64_t t = -62167219200; t < 253402300800; t += 86399 * 97) {
    ASSERT_EQ(parse_http_date(HttpDate(t).view(), kJune2025), t);
  }
}

TEST(HttpDate, OtherTextIsNoDate) {
  for (const char* text : {"",
                           "x",
                           "Sun",
                           "Sun,",
                           "0",
                           "784111777",
                           "Sun, 06 Nov 1994 08:49:37",
                           "Sun, 06 Nov 1994 08:49:37 UTC",
                           "Sun, 06 Nov 1994 08:49:37 GMT ",
                           " Sun, 06 Nov 1994 08:49:37 GMT",
                           "Sun, 6 Nov 1994 08:49:37 GMT",
                           "Sun, 06 Nov 94 08:49:37 GMT",
                           "sun, 06 Nov 1994 08:49:37 GMT",
                           "Sun, 06 nov 1994 08:49:37 GMT",
                           "Sun, 06 Nov 1994 8:49:37 GMT",
                           "Sun, 06 Nov 1994 24:00:00 GMT",
                           "Sun, 06 Nov 1994 08:60:00 GMT",
                           "Sun, 06 Nov 1994 08:49:61 GMT",
                           "Sun, 00 Nov 1994 08:49:37 GMT",
                           "Sun, 31 Nov 1994 08:49:37 GMT",
                           "Sun, 29 Feb 1995 08:49:37 GMT",
                           "Sun, 06 Nov -994 08:49:37 GMT",
                           "Xyz, 06 Nov 1994 08:49:37 GMT",
                           "Sun, 06-Nov-94 08:49:37 GMT",
                           "Sunday, 06-Nov-1994 08:49:37 GMT",
                           "Sun Nov 06 08:49:37 1994 GMT",
                           "Sun Nov 6 08:49:37 1994",
                           "2024-01-01T00:00:00Z"}) {
    EXPECT_EQ(parse_http_date(text, kJune2025), std::nullopt) << text;
  }
}

TEST(HttpDate, LeapSecondIsTheNextSecond) {
  EXPECT_EQ(parse_http_date("Sat, 31 Dec 2016 23:59:60 GMT", kJune2025), 1483228800);
}

TEST(HttpDate, TwoDigitYearsAreAtMostFiftyYearsAhead) {
  const auto year = [](const char* digits, std::int64_t now) {
    const std::string text = "Monday, 01-Jun-" + std::string(digits) + " 00:00:00 GMT";
    const auto time = parse_http_date(text, now);
    return time ? std::string(HttpDate(*time).view()).substr(12, 4) : "none";
  };
  EXPECT_EQ(year("25", kJune2025), "2025");
  EXPECT_EQ(year("74", kJune2025), "2074");
  EXPECT_EQ(year("75", kJune2025), "2075");  // 1 June is not past 15 June + 50 years
  EXPECT_EQ(year("76", kJune2025), "1976");
  EXPECT_EQ(year("99", kJune2025), "1999");
  EXPECT_EQ(year("00", kJune2025), "2000");
  EXPECT_EQ(year("75", kJune2025 - 30 * 86400), "1975");  // 16 May: now it is
}
