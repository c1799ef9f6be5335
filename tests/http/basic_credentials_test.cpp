// pure
// Credentials of the Basic scheme.
#include "basic_credentials.h"

#include <gtest/gtest.h>

#include <string>

using namespace treadle::http;

namespace {

// "user|password", or "-" for what is malformed.
std::string credentials_in(std::string_view authorization) {
  const auto c = parse_basic_credentials(authorization);
  return c ? c->user + "|" + c->password : "-";
}

}  // namespace

TEST(BasicCredentials, NamesEndAtTheFirstColon) {
  EXPECT_EQ(credentials_in("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), "Aladdin|open sesame");
  EXPECT_EQ(credentials_in("basic  YTpiOmM="), "a|b:c");
  EXPECT_EQ(credentials_in("BASIC Og=="), "|");
  EXPECT_EQ(credentials_in("Basic dGVzdDoxMjPCow=="), "test|123\xc2\xa3");
}

TEST(BasicCredentials, MalformedOnesAreNone) {
  for (const char* bad :
       {"", "Basic", "Basic ", "Bearer YTpi", "Basicx YTpi", "Basic YTpi=", "Basic YTpiYw",
        "Basic YTpiYx==", "Basic ====", "Basic YT pi", "Basic YWI=", "Basic YQo6Yg==",
        "Basic YTpiAA==", "Basic YTp/Yg==", "Basic YTp-Yg==", "Basic =YTp", "Basic YTpiYQ=a"})
    EXPECT_EQ(credentials_in(bad), "-") << bad;
}

TEST(BasicCredentials, OnlyEqualTextsAreEqual) {
  EXPECT_TRUE(equal_in_constant_time("", ""));
  EXPECT_TRUE(equal_in_constant_time("abc", "abc"));
  for (const auto& [given, secret] : {std::pair("abc", "abd"),
                                      {"abc", "ab"},
                                      {"ab", "abc"},
                                      {"", "a"},
                                      {"a", ""},
                                      {"abcabc", "abc"},
                                      {"aaaa", "aa"}})
    EXPECT_FALSE(equal_in_constant_time(given, secret)) << given << " " << secret;
  EXPECT_FALSE(equal_in_constant_time(std::string_view("\0", 1), ""));
}
