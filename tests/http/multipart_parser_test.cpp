// pure
#include "multipart_parser.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

using namespace treadle::http;

namespace {

// What a parser says about `pieces`: "[name:value|]data" for each part, "." for the end of each,
// "!" and the error's number for a failure, "?" and it where the end comes too early.
std::string parse(std::string_view boundary, const std::vector<std::string>& pieces,
                  const MultipartLimits& limits = {}) {
  MultipartParser parser(boundary, limits);
  std::string out;
  for (const std::string& piece : pieces) {
    std::string_view rest = piece;
    while (!rest.empty()) {
      const MultipartParser::Step step = parser.next(rest);
      if (step.event == MultipartParser::Event::error)
        return out + "!" + std::to_string(static_cast<int>(parser.error()));
      if (step.event == MultipartParser::Event::part) {
        out += "[";
        for (const HeaderField& f : parser.headers())
          out.append(f.name).append(":").append(f.value).append("|");
        out += "]";
      }
      out += step.data;
      if (step.event == MultipartParser::Event::part_end) out += ".";
      rest.remove_prefix(step.consumed);
    }
  }
  const MultipartError e = parser.finish();
  if (e != MultipartError::none) out += "?" + std::to_string(static_cast<int>(e));
  return out;
}

std::vector<std::string> bytes_of(const std::string& text) {
  std::vector<std::string> all;
  for (const char c : text) all.emplace_back(1, c);
  return all;
}

// The verdict on `text`, which must be the same wherever it is split in two or in three, and byte
// by byte.
std::string parse_everywhere(std::string_view boundary, const std::string& text,
                             const MultipartLimits& limits = {}) {
  std::string whole = parse(boundary, {text}, limits);
  EXPECT_EQ(parse(boundary, bytes_of(text), limits), whole) << text;
  for (std::size_t i = 0; i <= text.size(); ++i) {
    EXPECT_EQ(parse(boundary, {text.substr(0, i), text.substr(i)}, limits), whole)
        << text << " at " << i;
    const std::size_t j = std::min(i + 3, text.size());
    EXPECT_EQ(parse(boundary, {text.substr(0, i), text.substr(i, j - i), text.substr(j)}, limits),
              whole)
        << text << " at " << i << " and " << j;
  }
  return whole;
}

std::string failure(MultipartError e) { return "!" + std::to_string(static_cast<int>(e)); }
std::string early() { return "?" + std::to_string(static_cast<int>(MultipartError::ended_early)); }

}  // namespace

TEST(MultipartParser, PartsComeWithTheirHeadsAndData) {
  EXPECT_EQ(parse_everywhere("b",
                             "--b\r\nA: 1\r\nB:\t2 \r\n\r\nhello\r\n--b\r\nC: 3\r\n\r\nworld\r\n"
                             "--b--\r\n"),
            "[A:1|B:2|]hello.[C:3|]world.");
}

TEST(MultipartParser, EmptinessEverywhereIsFine) {
  EXPECT_EQ(parse_everywhere("b", "--b--"), "");
  EXPECT_EQ(parse_everywhere("b", "--b--\r\n"), "");
  EXPECT_EQ(parse_everywhere("b", "--b\r\n\r\n\r\n--b--"), "[].");  // no head, no data
  EXPECT_EQ(parse_everywhere("b", "--b\r\nA: 1\r\n\r\n\r\n--b--"), "[A:1|].");
  EXPECT_EQ(parse_everywhere("b", "--b\r\nA: 1\r\n\r\n--b--"), "[A:1|].");  // not even a CRLF
  EXPECT_EQ(parse_everywhere("b", "--b\r\nA:\r\n\r\n\r\n\r\n--b--"), "[A:|]\r\n.");
}

TEST(MultipartParser, WhatOnlyLooksLikeADelimiterIsData) {
  for (const char* data : {"\r", "\n", "\r\n", "\r\n-", "\r\n--", "\r\n--bound", "\r\n--boundarx",
                           "\r\r\n--bound", "\r\n\r\n-", "--boundary", "\n--boundary",
                           "\r--boundary", "-", "--", "--boundar", "\r\n--\r\n--bound\r\n"}) {
    const std::string text = "--boundary\r\n\r\nx" + std::string(data) + "\r\n--boundary--";
    EXPECT_EQ(parse_everywhere("boundary", text), "[]x" + std::string(data) + ".");
  }
}

TEST(MultipartParser, DataThatBeginsLikeADelimiterIsKept) {
  for (const char* data : {"-", "--", "--bound", "--boundarx", "-\r\n--bound", "\r\n--bound"}) {
    const std::string text = "--boundary\r\n\r\n" + std::string(data) + "\r\n--boundary--";
    EXPECT_EQ(parse_everywhere("boundary", text), "[]" + std::string(data) + ".");
  }
}

TEST(MultipartParser, NestedMultipartIsData) {
  const std::string inner =
      "--inner\r\nContent-Type: text/plain\r\n\r\nx\r\n--inner\r\n\r\ny\r\n--inner--\r\n";
  EXPECT_EQ(parse_everywhere("outer", "--outer\r\n\r\n" + inner + "\r\n--outer--"),
            "[]" + inner + ".");
}

TEST(MultipartParser, LinesThatGoOnBehindTheBoundaryAreRefused) {
  const std::string bad = failure(MultipartError::bad_delimiter);
  EXPECT_EQ(parse_everywhere("b", "--bx\r\n\r\n"), bad);
  EXPECT_EQ(parse_everywhere("b", "--b\r\n\r\ny\r\n--b2\r\n"), "[]y." + bad);
  EXPECT_EQ(parse_everywhere("b", "--b-\r\n"), bad);
  EXPECT_EQ(parse_everywhere("b", "--b--x"), bad);
  EXPECT_EQ(parse_everywhere("b", "--b x\r\n"), bad);
  EXPECT_EQ(parse_everywhere("b", "--b\rx"), bad);
  EXPECT_EQ(parse_everywhere("b", "--b--\rx"), bad);
}

TEST(MultipartParser, BareLineFeedsAreRefused) {
  EXPECT_EQ(parse_everywhere("b", "--b\nA: 1\n\nx\n--b--\n"),
            failure(MultipartError::bad_delimiter));
  EXPECT_EQ(parse_everywhere("b", "--b\r\nA: 1\n\r\nx"), failure(MultipartError::bad_head));
  EXPECT_EQ(parse_everywhere("b", "--b\r\nA: 1\r\n\nx"), failure(MultipartError::bad_head));
  EXPECT_EQ(parse_everywhere("b", "--b--\n"), failure(MultipartError::bad_delimiter));
}

TEST(MultipartParser, MalformedHeadsAreRefused) {
  for (const char* head : {"A\r\n", ": 1\r\n", " A: 1\r\n", "A : 1\r\n", "A: 1\r\n B\r\n",
                           "A: 1\rB\r\n", "A: \x01\r\n", "A\xc3: 1\r\n", "A: 1\r\r\n", "\tA\r\n"}) {
    EXPECT_EQ(parse_everywhere("b", "--b\r\n" + std::string(head) + "\r\nx"),
              failure(MultipartError::bad_head))
        << head;
  }
  const std::string zero("--b\r\nA: \0\r\n\r\n", 14);
  EXPECT_EQ(parse_everywhere("b", zero), failure(MultipartError::bad_head));
  EXPECT_EQ(parse_everywhere("b", "--b\r\nA: \xc3\xa9\r\n\r\n\r\n--b--"), "[A:\xc3\xa9|].");
}

TEST(MultipartParser, WhiteSpaceMayFollowADelimiter) {
  EXPECT_EQ(parse_everywhere("b", "--b \t\r\n\r\nx\r\n--b-- \t\r\n"), "[]x.");
  EXPECT_EQ(parse("b", {"--b" + std::string(2000, ' ')}), failure(MultipartError::padding));
  EXPECT_EQ(parse("b", {"--b--" + std::string(2000, ' ')}), failure(MultipartError::padding));
}

TEST(MultipartParser, PreambleAndEpilogueAreSkippedAndBounded) {
  EXPECT_EQ(
      parse_everywhere("b", "ignored\r\n--bound\r\r\n--b\r\n\r\nx\r\n--b--\r\nalso\r\n--b\r\n"),
      failure(MultipartError::bad_delimiter));
  EXPECT_EQ(
      parse_everywhere("bb", "ignored\r\n--b\r\r\n--bb\r\n\r\nx\r\n--bb--\r\nalso\r\n--bb\r\n"),
      "[]x.");
  EXPECT_EQ(parse_everywhere("b", "x--b\r\n\r\n"), early());
  const std::string most(MultipartParser::kMaxPadding, 'x');
  EXPECT_EQ(parse("b", {most, "\r\n--b--\r\n", most}), "");
  EXPECT_EQ(parse("b", {most + "x"}), failure(MultipartError::padding));
  EXPECT_EQ(parse("b", {most, "\r\n--c"}), failure(MultipartError::padding));
  EXPECT_EQ(parse("b", {"--b--\r\n", most, "x"}), failure(MultipartError::padding));
}

TEST(MultipartParser, EveryEarlyEndIsSeen) {
  const std::string text = "--b\r\nA: 1\r\n\r\nhello\r\n--b--";
  for (std::size_t n = 0; n < text.size(); ++n) {
    const std::string verdict = parse("b", {text.substr(0, n)});
    EXPECT_TRUE(verdict.ends_with(early())) << n << ": " << verdict;
  }
  EXPECT_EQ(parse("b", {text}), "[A:1|]hello.");
}

TEST(MultipartParser, HeadsAreBounded) {
  const MultipartLimits limits{.part_head = 20, .fields = 2};
  const std::string too_large = failure(MultipartError::head_too_large);
  EXPECT_EQ(parse_everywhere("b", "--b\r\nA: 45678901234567\r\n\r\n\r\n--b--", limits), too_large);
  EXPECT_EQ(parse_everywhere("b", "--b\r\nA: 4567890123456\r\n\r\n\r\n--b--", limits),
            "[A:4567890123456|].");
  EXPECT_EQ(parse_everywhere("b", "--b\r\nA:\r\nB:\r\nC:\r\n\r\n", limits), too_large);
  EXPECT_EQ(parse("b", {"--b\r\n" + std::string(1'000'000, 'x')}), too_large);
}

TEST(MultipartParser, ErrorsStick) {
  MultipartParser parser("b", {});
  std::string_view text = "--b\nx";
  while (parser.error() == MultipartError::none) text.remove_prefix(parser.next(text).consumed);
  EXPECT_EQ(parser.next("--b--").event, MultipartParser::Event::error);
  EXPECT_EQ(parser.finish(), MultipartError::bad_delimiter);
}

TEST(MultipartParser, BoundariesAreOfTheRightCharactersAndLength) {
  for (const char* good : {"a", "----WebKitFormBoundaryX", "a b", "'()+_,-./:=?"})
    EXPECT_TRUE(is_multipart_boundary(good)) << good;
  EXPECT_TRUE(is_multipart_boundary(std::string(70, 'x')));
  EXPECT_FALSE(is_multipart_boundary(std::string(71, 'x')));
  for (const char* bad : {"", " ", "a ", "a\r", "a\n", "a\"", "a;", "{a}", "\xc3\xa9", "a\t"})
    EXPECT_FALSE(is_multipart_boundary(bad)) << bad;
}

// A search that begins anew one byte behind each failed match would look at every byte some seventy
// times here.
TEST(MultipartParser, TenMegabytesOfNearBoundariesAreLinearWork) {
  const std::string boundary(70, '-');
  for (const std::string& unit :
       {"\r\n" + std::string(71, '-') + "x", std::string("\r"), std::string("\r\n"),
        std::string("\r\n-"), std::string("-"), "\r\n" + std::string(71, '-') + "\r"}) {
    std::string data;
    while (data.size() < 10'000'000) data += unit;
    for (const std::size_t piece : {data.size(), std::size_t{16'384}, std::size_t{1}}) {
      if (piece == 1) data.resize(1'000'000);
      MultipartParser parser(boundary, {});
      const std::string text = "--" + boundary + "\r\n\r\nx" + data;
      std::size_t got = 0;
      std::size_t steps = 0;
      for (std::size_t at = 0; at < text.size(); at += piece) {
        std::string_view rest = std::string_view(text).substr(at, piece);
        while (!rest.empty()) {
          const MultipartParser::Step step = parser.next(rest);
          ASSERT_NE(step.event, MultipartParser::Event::error);
          got += step.data.size();
          rest.remove_prefix(step.consumed);
          ++steps;
        }
      }
      EXPECT_GE(got + boundary.size() + 4, data.size());
      EXPECT_LE(parser.work(), 3 * text.size() + 1000) << unit.size() << " by " << piece;
      EXPECT_LE(steps, 3 * (text.size() / piece) + 20 + (piece == 1 ? text.size() : 0));
    }
  }
}
