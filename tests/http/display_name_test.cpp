// pure
#include "display_name.h"

#include <gtest/gtest.h>

#include <string>

using treadle::http::display_name;

TEST(DisplayName, OrdinaryNamesStay) {
  for (const char* name : {"a.txt", "Photo 1.JPG", "\xc3\xa9t\xc3\xa9.pdf", "\xe6\x97\xa5.tar.gz",
                           "\xf0\x9f\x98\x80.png", "a'b&c;d$(e)"})
    EXPECT_EQ(display_name(name), name);
}

TEST(DisplayName, PathsLoseAllButTheirLastComponent) {
  EXPECT_EQ(display_name("/etc/passwd"), "passwd");
  EXPECT_EQ(display_name("..\\..\\boot.ini"), "boot.ini");
  EXPECT_EQ(display_name("C:\\dir/x.txt"), "x.txt");
  EXPECT_EQ(display_name("C:x"), "C_x");
}

TEST(DisplayName, NothingLeftIsAFile) {
  for (const char* name : {"", ".", "..", "/", "a/", "...", " . ", "../..", "\\"})
    EXPECT_EQ(display_name(name), "file") << name;
}

TEST(DisplayName, HarmIsTakenOut) {
  using namespace std::literals;
  EXPECT_EQ(display_name("a\0b\r\n\x1b\x7f"sv), "a_b____");
  EXPECT_EQ(display_name("a<b>:\"|?*"), "a_b______");
  EXPECT_EQ(display_name(".htaccess"), "htaccess");
  EXPECT_EQ(display_name("a. ."), "a");
  EXPECT_EQ(display_name("gpj.\xe2\x80\xae"
                         "exe.txt"),
            "gpj._exe.txt");  // right-to-left override
  EXPECT_EQ(display_name("a\xc2\x85"
                         "b"),
            "a_b");  // a C1 control
  EXPECT_EQ(display_name("\xef\xbb\xbf"
                         "a"),
            "_a");
}

TEST(DisplayName, InvalidUtf8IsReplacedByteByByte) {
  EXPECT_EQ(display_name("a\xff\xfe"), "a__");
  EXPECT_EQ(display_name("a\xc3"), "a_");  // cut off
  EXPECT_EQ(display_name("\xc0\xaf"
                         "a"),
            "__a");                                     // an overlong slash
  EXPECT_EQ(display_name("\xed\xa0\x80"), "___");       // a surrogate
  EXPECT_EQ(display_name("\xf4\x90\x80\x80"), "____");  // beyond Unicode
  EXPECT_EQ(display_name("\xe0\x80\x80"), "___");
}

TEST(DisplayName, LongNamesAreCutBetweenCharacters) {
  EXPECT_EQ(display_name(std::string(300, 'a')), std::string(200, 'a'));
  std::string wide;
  for (int i = 0; i < 100; ++i) wide += "\xe6\x97\xa5";
  EXPECT_EQ(display_name(wide), wide.substr(0, 198));
}
