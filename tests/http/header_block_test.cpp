// pure: memory only.
#include "header_block.h"

#include <gtest/gtest.h>

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
