// pure
#include <treadle/http/status.h>

#include <gtest/gtest.h>

using namespace treadle::http;

TEST(Status, RegisteredCodesHaveTheirPhrase) {
  EXPECT_EQ(reason_phrase(100), "Continue");
  EXPECT_EQ(reason_phrase(status::kOk), "OK");
  EXPECT_EQ(reason_phrase(status::kContentTooLarge), "Content Too Large");
  EXPECT_EQ(reason_phrase(status::kHeaderFieldsTooLarge), "Request Header Fields Too Large");
  EXPECT_EQ(reason_phrase(511), "Network Authentication Required");
}

TEST(Status, UnknownCodesHaveNone) {
  for (const int status : {-1, 0, 99, 299, 418, 599, 600, 999})
    EXPECT_EQ(reason_phrase(status), "");
}

TEST(Status, InterimAndEmptyAnswersHaveNoBody) {
  for (const int status : {100, 103, 199, 204, 304}) EXPECT_TRUE(status_has_no_body(status));
  for (const int status : {200, 201, 205, 206, 301, 303, 400, 500})
    EXPECT_FALSE(status_has_no_body(status));
}
