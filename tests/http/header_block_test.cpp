// pure: memory only.
#include "header_block.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include <treadle/result.h>

namespace treadle::http::detail {
namespace {

TEST(HeaderBlock, FieldsStandAsTheyWillBeSent) {
  HeaderBlock b;
  b.add("A", "1");
  b.add("B", "");
  b.add("a", "2");
  EXPECT_EQ(b.text(), "A: 1\r\nB: \r\na: 2\r\n");
  EXPECT_EQ(b.get("a"), "1");
  EXPECT_EQ(b.get("b"), "");
  EXPECT_FALSE(b.get("c"));
}

TEST(HeaderBlock, SetReplacesEveryFieldOfThatName) {
  HeaderBlock b;
  for (std::string_view name : {"X", "A", "x", "B", "X"}) b.add(name, "old");
  b.set("x", "new");
  EXPECT_EQ(b.text(), "A: old\r\nB: old\r\nx: new\r\n");
  EXPECT_EQ(b.get("B"), "old");
  b.remove("A");
  b.remove("none");
  EXPECT_EQ(b.text(), "B: old\r\nx: new\r\n");
  EXPECT_EQ(b.get("X"), "new");
  b.clear();
  EXPECT_EQ(b.text(), "");
  EXPECT_FALSE(b.get("X"));
}

// What stood before clear() is never in force by itself, and in the way of nothing.
TEST(HeaderBlock, FieldsOfBeforeClearComeBackOnlyWhereTheyAreSet) {
  HeaderBlock b;
  const auto fill = [&](std::string_view a, std::string_view c) {
    b.clear();
    b.set("A", a);
    b.add("B", "2");
    b.set("C", c);
    return std::string(b.text());
  };
  EXPECT_EQ(fill("1", "3"), "A: 1\r\nB: 2\r\nC: 3\r\n");
  EXPECT_EQ(fill("1", "3"), "A: 1\r\nB: 2\r\nC: 3\r\n");
  EXPECT_EQ(fill("1", "4"), "A: 1\r\nB: 2\r\nC: 4\r\n");
  EXPECT_EQ(fill("0", "4"), "A: 0\r\nB: 2\r\nC: 4\r\n");
  EXPECT_EQ(fill("longer", "4"), "A: longer\r\nB: 2\r\nC: 4\r\n");
  b.clear();
  EXPECT_EQ(b.text(), "");
  EXPECT_FALSE(b.has("A"));
  b.set("a", "longer");  // its own name, not the one of before
  EXPECT_EQ(b.text(), "a: longer\r\n");
  EXPECT_FALSE(b.has("B"));
  b.remove("B");
  EXPECT_EQ(b.text(), "a: longer\r\n");
  b.clear();
  b.set("a", "longer");
  b.set("A", "x");
  b.add("a", "longer");
  EXPECT_EQ(b.text(), "A: x\r\na: longer\r\n");
  b.clear();
  b.add("A", "x");
  b.set("a", "longer");
  EXPECT_EQ(b.text(), "a: longer\r\n");
}

TEST(HeaderBlock, MarkTellsWhetherTheTextIsTheSame) {
  HeaderBlock b;
  b.add("A", "1");
  b.add("B", "2");
  EXPECT_FALSE(b.as_marked());
  b.mark();
  EXPECT_TRUE(b.as_marked());
  b.clear();
  EXPECT_FALSE(b.as_marked());
  b.add("A", "1");
  EXPECT_FALSE(b.as_marked());
  b.set("B", "2");
  EXPECT_TRUE(b.as_marked());
  b.add("C", "3");
  EXPECT_FALSE(b.as_marked());
  b.clear();
  b.add("A", "1");
  b.add("B", "2");
  EXPECT_FALSE(b.as_marked());  // with C behind it
  b.mark();
  b.remove("none");
  EXPECT_TRUE(b.as_marked());
  b.remove("A");
  EXPECT_FALSE(b.as_marked());
  b.clear();
  b.mark();
  EXPECT_TRUE(b.as_marked());
  EXPECT_EQ(b.text(), "");
}

TEST(HeaderBlock, NothingThatCouldForgeAFieldGetsIn) {
  HeaderBlock b;
  b.add("Kept", "yes");
  for (std::string_view name : {"", "a b", "a:", "a\r", "\xc3\xa4", "a\n"})
    EXPECT_THROW(b.add(name, "x"), Panic) << name;
  for (std::string_view value : std::vector<std::string_view>{"a\r\nb", "\n", "\r", {"\0", 1}})
    EXPECT_THROW(b.set("Kept", value), Panic);
  EXPECT_EQ(b.text(), "Kept: yes\r\n");
}

}  // namespace
}  // namespace treadle::http::detail
