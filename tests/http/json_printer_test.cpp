// pure
// The text is the library's own, byte for byte.
#include "json_printer.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>

namespace treadle::http::detail {
namespace {

using nlohmann::json;

std::string printed(const json& value, std::size_t depth = 200) {
  JsonPrinter printer;
  if (printer.print(value, depth) != JsonPrinter::Outcome::printed) return "refused";
  return std::string(printer.text());
}

TEST(JsonPrinter, PrintsAsTheLibraryDoes) {
  const json values[] = {nullptr,
                         true,
                         false,
                         0,
                         -1,
                         std::numeric_limits<std::int64_t>::min(),
                         std::numeric_limits<std::uint64_t>::max(),
                         0.0,
                         -0.0,
                         1.5e300,
                         3.0,
                         std::numeric_limits<double>::infinity(),
                         "",
                         json::array(),
                         json::object(),
                         json::array({json::array(), json::object(), 1, "x"}),
                         {{"b", {1, 2, {{"c", nullptr}}}}, {"a", "z"}, {"", {""}}},
                         json::binary({1, 2, 3}),
                         json(json::value_t::discarded)};
  for (const json& value : values) EXPECT_EQ(printed(value), value.dump());
}

// Each character, at each place of the sixteen that are looked at in one go.
TEST(JsonPrinter, EscapesAsTheLibraryDoes) {
  for (int c = 0; c < 128; ++c) {
    for (std::size_t size : {0U, 1U, 14U, 15U, 16U, 17U, 40U}) {
      for (std::size_t at = 0; at <= size; at += size < 4 ? 1 : size / 4) {
        std::string text(size, 'a');
        text.insert(at, 1, static_cast<char>(c));
        ASSERT_EQ(printed(text), json(text).dump()) << c;
        ASSERT_EQ(printed({{text, text}}), json({{text, text}}).dump()) << c;
      }
    }
  }
  for (const char* text : {"\xc3\xa4", "a \xe2\x82\xac b", "\xf0\x9f\x98\x80", "\x7f", "a\\\"b"})
    EXPECT_EQ(printed(text), json(text).dump());
}

TEST(JsonPrinter, WhatIsNotUtf8IsRefused) {
  JsonPrinter printer;
  for (const char* text : {"\xff", "a\xc3", "\xed\xa0\x80", "0123456789abcdef\x80"}) {
    EXPECT_EQ(printer.print(text, 9), JsonPrinter::Outcome::not_utf8) << text;
    EXPECT_EQ(printer.print({{text, 1}}, 9), JsonPrinter::Outcome::not_utf8) << text;
  }
  EXPECT_EQ(printer.print("fine", 9), JsonPrinter::Outcome::printed);
  EXPECT_EQ(printer.text(), "\"fine\"");
}

TEST(JsonPrinter, DepthIsLimited) {
  json value = 1;
  EXPECT_EQ(printed(value, 0), "1");
  for (std::size_t depth = 1; depth < 6; ++depth) {
    value = depth % 2 == 0 ? json::array({value}) : json{{"k", value}};
    EXPECT_EQ(printed(value, depth), value.dump());
    EXPECT_EQ(printed(value, depth - 1), "refused");
  }
  EXPECT_EQ(printed(json::array(), 0), "refused");
}

}  // namespace
}  // namespace treadle::http::detail
