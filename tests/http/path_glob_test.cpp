// pure
#include "path_glob.h"

#include <gtest/gtest.h>

#include <string>

using treadle::http::glob_matches;

TEST(PathGlob, WithoutASlashTheLastSegmentCounts) {
  EXPECT_TRUE(glob_matches("*.css", "a.css"));
  EXPECT_TRUE(glob_matches("*.css", "deep/down/a.css"));
  EXPECT_TRUE(glob_matches("*.css", ".css"));
  EXPECT_FALSE(glob_matches("*.css", "a.css.map"));
  EXPECT_FALSE(glob_matches("*.css", "a.CSS"));
  EXPECT_FALSE(glob_matches("*.css", "x.css/index.html"));
  EXPECT_TRUE(glob_matches("index.html", "sub/index.html"));
  EXPECT_TRUE(glob_matches("*", "any/thing"));
  EXPECT_TRUE(glob_matches("**", "any/thing"));
  EXPECT_TRUE(glob_matches("app-*.js", "js/app-3f9.js"));
  EXPECT_TRUE(glob_matches("a?c", "abc"));
  EXPECT_FALSE(glob_matches("a?c", "ac"));
}

TEST(PathGlob, WithASlashTheWholePathCounts) {
  EXPECT_TRUE(glob_matches("/assets/*", "assets/a.js"));
  EXPECT_TRUE(glob_matches("assets/*", "assets/a.js"));
  EXPECT_FALSE(glob_matches("/assets/*", "assets/deep/a.js"));
  EXPECT_FALSE(glob_matches("/assets/*", "my/assets/a.js"));
  EXPECT_TRUE(glob_matches("/assets/**", "assets/deep/a.js"));
  EXPECT_TRUE(glob_matches("/**/*.js", "a/b/c.js"));
  EXPECT_TRUE(glob_matches("/**.js", "a/b/c.js"));
  EXPECT_FALSE(glob_matches("/**/*.js", "c.js"));
  EXPECT_FALSE(glob_matches("/a?b", "a/b"));
  EXPECT_TRUE(glob_matches("/***", "a/b"));
  EXPECT_TRUE(glob_matches("/x", "x"));
}

TEST(PathGlob, EmptyMatchesEmptyOnly) {
  EXPECT_TRUE(glob_matches("", ""));
  EXPECT_FALSE(glob_matches("", "a"));
  EXPECT_TRUE(glob_matches("/", ""));
  EXPECT_TRUE(glob_matches("*", ""));
  EXPECT_FALSE(glob_matches("?", ""));
}

TEST(PathGlob, OtherBytesAreThemselves) {
  EXPECT_TRUE(glob_matches("[a]+.(x)", "[a]+.(x)"));
  EXPECT_FALSE(glob_matches("[a]", "a"));
  EXPECT_TRUE(glob_matches("\xff*", "\xff\xfe"));
}

// A matcher that goes back at each star would take longer than the universe has.
TEST(PathGlob, ManyStarsTakeNoTime) {
  std::string pattern;
  for (int i = 0; i < 40; ++i) pattern += "*a";
  EXPECT_FALSE(glob_matches(pattern, std::string(4000, 'a') + "b"));
  EXPECT_TRUE(glob_matches(pattern, std::string(4000, 'a')));
}
