// pure
#include "conditional.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

using namespace treadle::http;

namespace {

constexpr std::int64_t kNow = 1750000000;
constexpr std::int64_t kModified = 784111777;
constexpr const char* kSame = "Sun, 06 Nov 1994 08:49:37 GMT";
constexpr const char* kBefore = "Sun, 06 Nov 1994 08:49:36 GMT";
constexpr const char* kAfter = "Sun, 06 Nov 1994 08:49:38 GMT";
constexpr Validators kCurrent{.etag = "\"v1\"", .last_modified = kModified};

using Fields = std::vector<HeaderField>;

Precondition evaluate(const Fields& fields, std::string_view method = "GET",
                      const Validators& current = kCurrent) {
  return evaluate_preconditions(method, HeaderView(fields), current, kNow);
}

bool range_holds(const Fields& fields, const Validators& current = kCurrent) {
  return if_range_holds(HeaderView(fields), current, kNow);
}

}  // namespace

TEST(Conditional, WithoutConditionsItProceeds) { EXPECT_EQ(evaluate({}), Precondition::proceed); }

TEST(Conditional, IfNoneMatchComparesWeakly) {
  EXPECT_EQ(evaluate({{"If-None-Match", "\"v1\""}}), Precondition::not_modified);
  EXPECT_EQ(evaluate({{"If-None-Match", "W/\"v1\""}}), Precondition::not_modified);
  EXPECT_EQ(evaluate({{"if-none-match", "\"a\", \"b,c\" ,\"v1\""}}), Precondition::not_modified);
  EXPECT_EQ(evaluate({{"If-None-Match", "\"a\""}, {"If-None-Match", "\"v1\""}}),
            Precondition::not_modified);
  EXPECT_EQ(evaluate({{"If-None-Match", "*"}}), Precondition::not_modified);
  EXPECT_EQ(evaluate({{"If-None-Match", "\"v2\""}}), Precondition::proceed);
  EXPECT_EQ(evaluate({{"If-None-Match", "\"a,\"v1\""}}), Precondition::proceed);
  EXPECT_EQ(evaluate({{"If-None-Match", "v1"}}), Precondition::proceed);
  EXPECT_EQ(evaluate({{"If-None-Match", "w/\"v1\""}}), Precondition::proceed);
}

TEST(Conditional, IfNoneMatchFailsWritesWith412) {
  EXPECT_EQ(evaluate({{"If-None-Match", "\"v1\""}}, "PUT"), Precondition::failed);
  EXPECT_EQ(evaluate({{"If-None-Match", "*"}}, "PUT"), Precondition::failed);
  EXPECT_EQ(evaluate({{"If-None-Match", "*"}}, "PUT", {.exists = false}), Precondition::proceed);
  EXPECT_EQ(evaluate({{"If-None-Match", "\"v1\""}}, "HEAD"), Precondition::not_modified);
}

TEST(Conditional, IfMatchComparesStrongly) {
  EXPECT_EQ(evaluate({{"If-Match", "\"v1\""}}), Precondition::proceed);
  EXPECT_EQ(evaluate({{"If-Match", "\"a\",\"v1\""}}), Precondition::proceed);
  EXPECT_EQ(evaluate({{"If-Match", "*"}}), Precondition::proceed);
  EXPECT_EQ(evaluate({{"If-Match", "W/\"v1\""}}), Precondition::failed);
  EXPECT_EQ(evaluate({{"If-Match", "\"v2\""}}), Precondition::failed);
  EXPECT_EQ(evaluate({{"If-Match", "v1"}}), Precondition::failed);
  EXPECT_EQ(evaluate({{"If-Match", ""}}), Precondition::failed);
  EXPECT_EQ(evaluate({{"If-Match", "*"}}, "PUT", {.exists = false}), Precondition::failed);
  EXPECT_EQ(evaluate({{"If-Match", "W/\"v1\""}}, "GET", {.etag = "W/\"v1\""}),
            Precondition::failed);
}

TEST(Conditional, IfModifiedSinceIsForReadsOnly) {
  EXPECT_EQ(evaluate({{"If-Modified-Since", kSame}}), Precondition::not_modified);
  EXPECT_EQ(evaluate({{"If-Modified-Since", kAfter}}, "HEAD"), Precondition::not_modified);
  EXPECT_EQ(evaluate({{"If-Modified-Since", kBefore}}), Precondition::proceed);
  EXPECT_EQ(evaluate({{"If-Modified-Since", kSame}}, "POST"), Precondition::proceed);
  EXPECT_EQ(evaluate({{"If-Modified-Since", "yesterday"}}), Precondition::proceed);
  EXPECT_EQ(evaluate({{"If-Modified-Since", kSame}, {"If-Modified-Since", kSame}}),
            Precondition::proceed);
  EXPECT_EQ(evaluate({{"If-Modified-Since", kSame}}, "GET", {.etag = "\"v1\""}),
            Precondition::proceed);
}

TEST(Conditional, IfUnmodifiedSinceFailsWhenItChanged) {
  EXPECT_EQ(evaluate({{"If-Unmodified-Since", kSame}}), Precondition::proceed);
  EXPECT_EQ(evaluate({{"If-Unmodified-Since", kBefore}}), Precondition::failed);
  EXPECT_EQ(evaluate({{"If-Unmodified-Since", kBefore}}, "PUT"), Precondition::failed);
  EXPECT_EQ(evaluate({{"If-Unmodified-Since", "?"}}), Precondition::proceed);
}

TEST(Conditional, EtagConditionsRuleOverDates) {
  EXPECT_EQ(evaluate({{"If-None-Match", "\"v2\""}, {"If-Modified-Since", kAfter}}),
            Precondition::proceed);
  EXPECT_EQ(evaluate({{"If-Match", "\"v1\""}, {"If-Unmodified-Since", kBefore}}),
            Precondition::proceed);
}

TEST(Conditional, MatchIsJudgedBeforeNoneMatch) {
  EXPECT_EQ(evaluate({{"If-Match", "\"v2\""}, {"If-None-Match", "\"v1\""}}), Precondition::failed);
  EXPECT_EQ(evaluate({{"If-Match", "\"v1\""}, {"If-None-Match", "\"v1\""}}),
            Precondition::not_modified);
  EXPECT_EQ(evaluate({{"If-Unmodified-Since", kBefore}, {"If-Modified-Since", kAfter}}),
            Precondition::failed);
}

TEST(Conditional, IfRangeWantsTheExactValidator) {
  EXPECT_TRUE(range_holds({}));
  EXPECT_TRUE(range_holds({{"If-Range", "\"v1\""}}));
  EXPECT_TRUE(range_holds({{"If-Range", kSame}}));
  EXPECT_FALSE(range_holds({{"If-Range", "\"v2\""}}));
  EXPECT_FALSE(range_holds({{"If-Range", "W/\"v1\""}}));
  EXPECT_FALSE(range_holds({{"If-Range", "W/\"v1\""}}, {.etag = "W/\"v1\""}));
  EXPECT_FALSE(range_holds({{"If-Range", kBefore}}));
  EXPECT_FALSE(range_holds({{"If-Range", kAfter}}));
  EXPECT_FALSE(range_holds({{"If-Range", ""}}));
  EXPECT_FALSE(range_holds({{"If-Range", "*"}}));
  EXPECT_FALSE(range_holds({{"If-Range", "\"v1\", \"v2\""}}));
  EXPECT_FALSE(range_holds({{"If-Range", "\"v1\""}, {"If-Range", "\"v1\""}}));
}

TEST(Conditional, IfRangeTrustsADateOnlyOnceItHasSettled) {
  const Validators current{.etag = "\"v1\"", .last_modified = kModified};
  const std::vector<HeaderField> fields = {{"If-Range", kSame}};
  EXPECT_FALSE(if_range_holds(HeaderView(fields), current, kModified));
  EXPECT_FALSE(if_range_holds(HeaderView(fields), current, kModified + 1));
  EXPECT_TRUE(if_range_holds(HeaderView(fields), current, kModified + 2));
  EXPECT_FALSE(if_range_holds(HeaderView(fields), current, kModified - 10));
}

TEST(Conditional, EtagsCompareAsTheStandardSays) {
  EXPECT_TRUE(etag_strong_equal("\"1\"", "\"1\""));
  EXPECT_FALSE(etag_strong_equal("W/\"1\"", "W/\"1\""));
  EXPECT_FALSE(etag_strong_equal("W/\"1\"", "\"1\""));
  EXPECT_TRUE(etag_weak_equal("W/\"1\"", "\"1\""));
  EXPECT_TRUE(etag_weak_equal("\"1\"", "\"1\""));
  EXPECT_FALSE(etag_weak_equal("W/\"1\"", "W/\"2\""));
  EXPECT_FALSE(etag_weak_equal("", ""));
  EXPECT_FALSE(etag_weak_equal("1", "1"));
  EXPECT_FALSE(etag_strong_equal("\"a\"b\"", "\"a\"b\""));
}
