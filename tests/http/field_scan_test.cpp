// pure
// The raw checks alone: llhttp and the checks behind would refuse much of this as well.
#include "field_scan.h"

#include <gtest/gtest.h>

#include <string>

using treadle::http::FieldScan;
using treadle::http::ParseStatus;

namespace {

// The reason it is refused for; "ok size" or "more".
std::string scan(std::string_view text, std::size_t max_bytes = 1000, std::size_t max_fields = 10) {
  FieldScan scan;
  const FieldScan::Result result = scan.scan(text, max_bytes, max_fields);
  switch (result.status) {
    case ParseStatus::complete: return "ok " + std::to_string(result.size);
    case ParseStatus::error: return std::to_string(result.error.status) + " " + result.error.reason;
    case ParseStatus::need_more: break;
  }
  return "more";
}

}  // namespace

TEST(FieldScan, SectionEndsWithItsEmptyLine) {
  EXPECT_EQ(scan("\r\n"), "ok 2");
  EXPECT_EQ(scan("A: b\r\n\r\nGET"), "ok 8");
  EXPECT_EQ(scan(""), "more");
  EXPECT_EQ(scan("A: b\r\n\r"), "more");
}

TEST(FieldScan, ItRemembersHowFarItGot) {
  const std::string text = "A: b\r\nCC: dd\r\n\r\n";
  FieldScan scan;
  for (std::size_t n = 0; n < text.size(); ++n) {
    ASSERT_EQ(scan.scan(text.substr(0, n), 1000, 10).status, ParseStatus::need_more) << n;
  }
  EXPECT_EQ(scan.scan(text, 1000, 10).size, text.size());
  EXPECT_EQ(scan.fields(), 2u);
}

TEST(FieldScan, LinesThatAreNoFieldsAreRefused) {
  EXPECT_EQ(scan("A: b\r\n c\r\n"), "400 folded header line");
  EXPECT_EQ(scan("\tA: b\r\n"), "400 folded header line");
  EXPECT_EQ(scan(": b\r\n"), "400 header field without a name");
}

TEST(FieldScan, LineFeedsNeedTheirReturn) {
  EXPECT_EQ(scan("A: b\n"), "400 line feed without its return");
  EXPECT_EQ(scan("\n"), "400 line feed without its return");
  EXPECT_EQ(scan("A: b\r\n\n"), "400 line feed without its return");
}

TEST(FieldScan, StrayControlsAreFoundAtEveryPlace) {
  // Around the width of a vector and that of its counters.
  for (const std::size_t size : {1u, 15u, 16u, 17u, 31u, 40u, 300u, 4079u, 4080u, 4081u, 9000u}) {
    const std::string clean = "A: " + std::string(size, 'b') + "\r\n\r\n";
    EXPECT_EQ(scan(clean, 10000), "ok " + std::to_string(clean.size()));
    for (std::size_t at = 0; at < 3 + size; at += size < 50 ? 1 : 97) {
      for (const char c : {'\0', '\r', '\x01', '\x1f', '\x7f'}) {
        std::string text = clean;
        text[at] = c;
        EXPECT_EQ(scan(text, 10000), "400 control character in a header line") << size << " " << at;
      }
      std::string text = clean;
      text[at] = '\xff';
      if (at > 1) text[at - 1] = '\t';
      EXPECT_EQ(scan(text, 10000), scan(clean, 10000));
    }
  }
}

TEST(FieldScan, LimitsComeFirst) {
  EXPECT_EQ(scan("A: b\r\n\r\n", 8), "ok 8");
  EXPECT_EQ(scan("A: b\r\n\r\n", 7), "431 header section too large");
  EXPECT_EQ(scan("A: bbbbb", 7), "431 header section too large");
  EXPECT_EQ(scan(" A: bbbb\r\n", 7), "431 header section too large");
  EXPECT_EQ(scan("A: b\r\nC: d\r\n\r\n", 100, 2), "ok 14");
  EXPECT_EQ(scan("A: b\r\nC: d\r\n", 100, 1), "431 too many header fields");
}
