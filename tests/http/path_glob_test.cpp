// pure
#include "path_glob.h"

#include <gtest/gtest.h>

#include <random>
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

// What a pattern means, word for word; takes as long as it likes.
bool matches_plainly(std::string_view pattern, std::string_view text) {
  if (pattern.empty()) return text.empty();
  if (pattern.starts_with("**"))
    return matches_plainly(pattern.substr(2), text) ||
           (!text.empty() && matches_plainly(pattern, text.substr(1)));
  if (pattern[0] == '*')
    return matches_plainly(pattern.substr(1), text) ||
           (!text.empty() && text[0] != '/' && matches_plainly(pattern, text.substr(1)));
  if (text.empty()) return false;
  if (pattern[0] == '?' ? text[0] == '/' : pattern[0] != text[0]) return false;
  return matches_plainly(pattern.substr(1), text.substr(1));
}

TEST(PathGlob, MeansWhatItSaysForAllSortsOfPatterns) {
  std::mt19937 random(1);
  const auto draw = [&](std::string_view from, std::size_t most) {
    std::string out(random() % (most + 1), ' ');
    for (char& c : out) c = from[random() % from.size()];
    return out;
  };
  int matched = 0;
  for (int i = 0; i < 20'000; ++i) {
    // Three stars in a row are one run of two and one of one: no other meaning.
    const std::string pattern = "/" + draw("ab/?**", 7);
    const std::string path = draw("ab/", 7);
    const bool expected = matches_plainly(std::string_view(pattern).substr(1), path);
    ASSERT_EQ(glob_matches(pattern, path), expected) << pattern << " and " << path;
    matched += expected ? 1 : 0;
  }
  EXPECT_GT(matched, 1000);
}

// A matcher that goes back at each star would take longer than the universe has.
TEST(PathGlob, ManyStarsTakeNoTime) {
  std::string pattern;
  for (int i = 0; i < 40; ++i) pattern += "*a";
  EXPECT_FALSE(glob_matches(pattern, std::string(4000, 'a') + "b"));
  EXPECT_TRUE(glob_matches(pattern, std::string(4000, 'a')));
}
