// pure
#include <treadle/http/header.h>

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include <treadle/result.h>

using namespace treadle::http;
using treadle::Panic;

TEST(Header, LookupsIgnoreCase) {
  const std::vector<HeaderField> fields = {{"Host", "h"}, {"ACCEPT", "a"}, {"accept", "b"}};
  const HeaderView view(fields);
  EXPECT_EQ(view.get("hOST"), "h");
  EXPECT_EQ(view.get("Accept"), "a");
  EXPECT_EQ(view.get("Accep"), "");
  EXPECT_TRUE(view.has("accept"));
  EXPECT_FALSE(view.has("x"));
  EXPECT_EQ(view.count("Accept"), 2u);
  EXPECT_EQ(view.size(), 3u);
}

TEST(Header, EmptyViewHasNothing) {
  const HeaderView view;
  EXPECT_EQ(view.size(), 0u);
  EXPECT_EQ(view.begin(), view.end());
  EXPECT_EQ(view.get("a"), "");
}

TEST(Header, TokensAreFoundInLists) {
  const std::vector<HeaderField> fields = {
      {"Connection", "keep-alive,  Close\t,"}, {"connection", "upgrade"}, {"Accept", "closed"}};
  const HeaderView view(fields);
  EXPECT_TRUE(view.has_token("Connection", "close"));
  EXPECT_TRUE(view.has_token("Connection", "UPGRADE"));
  EXPECT_FALSE(view.has_token("Connection", "keep"));
  EXPECT_FALSE(view.has_token("Connection", ""));
  EXPECT_FALSE(view.has_token("Accept", "close"));
}

TEST(Header, SetReplacesEveryFieldOfThatName) {
  Headers headers;
  headers.add("Vary", "a");
  headers.add("X", "1");
  headers.add("vary", "b");
  headers.set("VARY", "c");
  ASSERT_EQ(headers.fields().size(), 2u);
  EXPECT_EQ(headers.get("Vary"), "c");
  EXPECT_EQ(headers.fields()[0].first, "Vary");
  headers.set("New", "n");
  EXPECT_EQ(headers.get("new"), "n");
}

TEST(Header, SetCopesWithAViewIntoItself) {
  Headers headers;
  headers.add("A", std::string(100, 'x') + "end");
  headers.add("A", "second");
  headers.set("A", headers.get("A")->substr(100));
  EXPECT_EQ(headers.get("A"), "end");
  headers.add("B", "0123456789");
  headers.add("B", "tail of a value that is long enough for the heap");
  headers.set("B", headers.fields().back().second);
  EXPECT_EQ(headers.get("B"), "tail of a value that is long enough for the heap");
}

TEST(Header, RemoveAndClear) {
  Headers headers;
  headers.add("A", "1");
  headers.add("a", "2");
  headers.add("B", "3");
  headers.remove("A");
  EXPECT_FALSE(headers.has("A"));
  EXPECT_TRUE(headers.has("b"));
  headers.clear();
  EXPECT_TRUE(headers.empty());
}

TEST(Header, BadNamesAndValuesPanic) {
  Headers headers;
  for (const char* name : {"", "a b", "a:", "a\r\n", "\xc3\xa9", "a\"", "(a)"}) {
    EXPECT_THROW(headers.set(name, "v"), Panic) << name;
    EXPECT_THROW(headers.add(name, "v"), Panic) << name;
  }
  for (const std::string& value :
       {std::string("a\r\nB: c"), std::string("a\n"), std::string("\r"), std::string("a\0b", 3),
        std::string("\x1b[31m"), std::string("\x7f")}) {
    EXPECT_THROW(headers.set("A", value), Panic);
    EXPECT_THROW(headers.add("A", value), Panic);
  }
  EXPECT_TRUE(headers.empty());
  headers.add("A", "tab\tand \xc3\xa9 are fine");
}
