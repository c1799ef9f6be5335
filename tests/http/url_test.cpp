// pure
#include "url.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

using namespace treadle::http;
using Status = DecodedPath::Status;

namespace {

std::vector<std::string> segments_of(std::string_view path) {
  DecodedPath decoded;
  decoded.assign(path);
  return {decoded.segments().begin(), decoded.segments().end()};
}

Status target_status(std::string_view path) {
  DecodedPath decoded;
  return decoded.assign(path);
}

using Strings = std::vector<std::string>;

}  // namespace

TEST(Url, PathsSplitBeforeTheyAreDecoded) {
  EXPECT_EQ(segments_of("/"), Strings{});
  EXPECT_EQ(segments_of("/a"), Strings{"a"});
  EXPECT_EQ(segments_of("/a/b%2Fc/d"), (Strings{"a", "b/c", "d"}));
  EXPECT_EQ(segments_of("/a%20b/%e2%82%ac/"), (Strings{"a b", "\xe2\x82\xac"}));
}

TEST(Url, EscapesAreDecodedOnce) {
  EXPECT_EQ(segments_of("/%252e%252e/%2541"), (Strings{"%2e%2e", "%41"}));
}

TEST(Url, TrailingSlashIsNoted) {
  DecodedPath path;
  path.assign("/a/");
  EXPECT_TRUE(path.trailing_slash());
  path.assign("/a");
  EXPECT_FALSE(path.trailing_slash());
  path.assign("/");
  EXPECT_TRUE(path.trailing_slash());
  path.assign("/a%2f");
  EXPECT_FALSE(path.trailing_slash());
}

TEST(Url, RestJoinsSegmentsFromAnIndexOn) {
  DecodedPath path;
  path.assign("/files/a%20b/c/");
  EXPECT_EQ(path.text(), "/files/a b/c/");
  EXPECT_EQ(path.rest(0), "files/a b/c/");
  EXPECT_EQ(path.rest(1), "a b/c/");
  EXPECT_EQ(path.rest(2), "c/");
  EXPECT_EQ(path.rest(3), "");
  path.assign("/files/x/y");
  EXPECT_EQ(path.rest(1), "x/y");
}

TEST(Url, EmptyAndDotSegmentsAreUnclean) {
  for (const char* path : {"//", "/a//b", "//a", "/a//", "/.", "/..", "/a/./b", "/a/../b", "/a/..",
                           "/%2e", "/%2E%2e/a", "/.%2e", "/a/%2e"}) {
    EXPECT_EQ(target_status(path), Status::unclean) << path;
  }
  for (const char* path : {"/", "/a", "/a/b/", "/...", "/.a", "/a.", "/..a", "/%2f", "/%2f%2f",
                           "/a%2f..%2fb", "/%252e"}) {
    EXPECT_EQ(target_status(path), Status::clean) << path;
  }
}

TEST(Url, PathsThatCannotBeDecodedAreBad) {
  for (const char* path : {"", "a", "*", "/%", "/%4", "/%zz", "/a%00b", "/%00", "/%4g", "/a/%"}) {
    EXPECT_EQ(target_status(path), Status::bad) << path;
  }
  EXPECT_EQ(target_status(std::string_view("/a\0b", 4)), Status::bad);
  EXPECT_EQ(segments_of("/a/%00"), Strings{});
}

TEST(Url, PathKeepsWorkingAfterABadOne) {
  DecodedPath path;
  path.assign("/long%20enough%20to%20be%20on%20the%20heap");
  EXPECT_EQ(path.assign("/%zz"), Status::bad);
  EXPECT_EQ(path.assign("/ok"), Status::clean);
  EXPECT_EQ(path.rest(0), "ok");
}

TEST(Url, CleanPathDropsDotsAndEmptySegments) {
  const std::vector<std::pair<const char*, const char*>> cases = {
      {"/", "/"},
      {"//", "/"},
      {"///a", "/a"},
      {"/a//b", "/a/b"},
      {"/a/./b", "/a/b"},
      {"/a/../b", "/b"},
      {"/../../a", "/a"},
      {"/a/b/..", "/a/"},
      {"/a/b/.", "/a/b/"},
      {"/a/b/../", "/a/"},
      {"/a/..", "/"},
      {"/..", "/"},
      {"/%2e%2E/a/%2e/b", "/a/b"},
      {"/a/%2e%2e/%2e%2e/etc/passwd", "/etc/passwd"},
      {"//evil.example/", "/evil.example/"},
      {"/.//evil.example", "/evil.example"},
      {"/a/..//evil.example", "/evil.example"},
      {"/%2e//evil.example", "/evil.example"},
      {"/\\evil.example", "/%5Cevil.example"},
      {"/..\\a", "/..%5Ca"},
      {"/a%2f..%2fb/./c", "/a%2f..%2fb/c"},
      {"/%5cevil/./x", "/%5cevil/x"},
      {"/.../..a/", "/.../..a/"},
      {"/a\r\nb", "/a%0D%0Ab"},
  };
  for (const auto& [path, clean] : cases) {
    EXPECT_EQ(clean_path(path), clean) << path;
    EXPECT_EQ(clean_path(clean), clean) << "twice: " << path;
    EXPECT_EQ(target_status(clean_path(path)), Status::clean) << path;
  }
}

TEST(Url, PercentDecodeRefusesBadEscapes) {
  EXPECT_EQ(percent_decode("a%20b+c%2f"), "a b+c/");
  EXPECT_EQ(percent_decode(""), "");
  EXPECT_EQ(percent_decode("%00"), std::string(1, '\0'));
  EXPECT_EQ(percent_decode("%"), std::nullopt);
  EXPECT_EQ(percent_decode("%a"), std::nullopt);
  EXPECT_EQ(percent_decode("%ag"), std::nullopt);
}

TEST(Url, PercentEncodeKeepsUnreservedOnly) {
  EXPECT_EQ(percent_encode("a-._~Z9"), "a-._~Z9");
  EXPECT_EQ(percent_encode("a/b c\"<\xc3\xa9%"), "a%2Fb%20c%22%3C%C3%A9%25");
}

TEST(Url, QueryPairsComeInOrder) {
  const auto pairs = parse_query("a=1&b=&c&&=d&a=2%263&x+y=%2B+z&e=f=g", 10);
  ASSERT_TRUE(pairs.has_value());
  std::string all;
  for (const auto& [name, value] : *pairs) all += "[" + name + "=" + value + "]";
  EXPECT_EQ(all, "[a=1][b=][c=][=d][a=2&3][x y=+ z][e=f=g]");
}

TEST(Url, QueryLimitsAndEscapesAreErrors) {
  EXPECT_EQ(parse_query("a&b&c", 2).error(), QueryError::too_many);
  EXPECT_TRUE(parse_query("a&b&&", 2).has_value());
  EXPECT_EQ(parse_query("a=%", 2).error(), QueryError::bad_escape);
  EXPECT_EQ(parse_query("%g0", 2).error(), QueryError::bad_escape);
  EXPECT_TRUE(parse_query("", 0).value().empty());
}

TEST(Url, QueryValueIsTheFirstOfItsName) {
  EXPECT_EQ(query_value("a=1&ms=50&ms=60", "ms"), "50");
  EXPECT_EQ(query_value("%6ds=5%30", "ms"), "50");
  EXPECT_EQ(query_value("x+y=1", "x y"), "1");
  EXPECT_EQ(query_value("flag", "flag"), "");
  EXPECT_EQ(query_value("", "ms"), std::nullopt);
  EXPECT_EQ(query_value("mss=1&m=2", "ms"), std::nullopt);
  EXPECT_EQ(query_value("ms=%", "ms"), std::nullopt);
}
