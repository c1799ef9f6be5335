// pure
// A head that comes again means what it meant before, and only that very head does.
#include "repeated_head.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "parser.h"

namespace treadle::http {
namespace {

constexpr std::string_view kHead =
    "GET /a/b?c=d HTTP/1.1\r\nHost: example.org\r\nCookie: s=0123456789\r\nX-Empty:\r\n\r\n";

std::string describe(const RequestHead& head) {
  std::string text;
  for (const std::string_view part : {head.method, head.target, head.path, head.query, head.host,
                                      std::string_view(head.keep_alive ? "keep" : "close")})
    text.append(part).append("|");
  text.append(std::to_string(head.minor_version));
  for (const HeaderField& field : head.headers)
    text.append(" [").append(field.name).append("=").append(field.value).append("]");
  return text;
}

struct Parsed {
  ParseStatus status = ParseStatus::need_more;
  std::size_t consumed = 0;
  std::string head;
  bool operator==(const Parsed&) const = default;
};

Parsed parse(RequestParser& parser, std::string_view bytes, const ParserLimits& limits = {}) {
  RequestHead head;
  const auto r = parser.parse_head(bytes, limits, head);
  return {r.status, r.consumed, r.status == ParseStatus::complete ? describe(head) : std::string()};
}

// One that remembers kHead.
void teach(RequestParser& parser) {
  for (int i = 0; i < 3; ++i) ASSERT_EQ(parse(parser, kHead).status, ParseStatus::complete);
}

TEST(RepeatedHead, IsRememberedFromItsSecondTimeOn) {
  RepeatedHead repeated;
  RequestParser parser;
  RequestHead head;
  ASSERT_EQ(parser.parse_head(kHead, {}, head).status, ParseStatus::complete);
  RequestHead recalled;
  repeated.note(kHead, {}, head);
  EXPECT_FALSE(repeated.recall(kHead, {}, recalled));
  repeated.note(kHead, {}, head);
  std::string elsewhere = std::string(kHead) + "GET /next";
  ASSERT_TRUE(repeated.recall(elsewhere, {}, recalled));
  EXPECT_EQ(repeated.size(), kHead.size());
  // Whatever becomes of the bytes.
  std::fill(elsewhere.begin(), elsewhere.end(), '?');
  EXPECT_EQ(describe(recalled), describe(head));
}

TEST(RepeatedHead, TheSameNumberMeansTheSameHead) {
  RequestParser parser;
  RequestHead head;
  const auto read = [&](std::string_view bytes) {
    EXPECT_EQ(parser.parse_head(bytes, {}, head).status, ParseStatus::complete);
    return head.memo;
  };
  EXPECT_EQ(read(kHead), 0U);
  EXPECT_EQ(read(kHead), 0U);
  const std::uint64_t first = read(kHead);
  EXPECT_NE(first, 0U);
  const std::string_view target = head.target;
  EXPECT_EQ(read(kHead), first);
  EXPECT_EQ(head.target.data(), target.data());
  head.clear();
  EXPECT_EQ(read(kHead), first);
  EXPECT_EQ(describe(head).substr(0, 14), "GET|/a/b?c=d|/");

  std::string other(kHead);
  other[other.find("example")] = 'E';
  EXPECT_EQ(read(other), 0U);
  const std::uint64_t second = read(other);
  EXPECT_NE(second, 0U);
  EXPECT_NE(second, first);
  // Forgotten, and learnt anew under another number.
  EXPECT_EQ(read(kHead), 0U);
  EXPECT_GT(read(kHead), second);
}

// Every byte counts: whatever it is changed to, a parser that remembers says what a new one says.
TEST(RepeatedHead, AnotherByteIsAnotherHead) {
  for (std::size_t at = 0; at < kHead.size(); ++at) {
    for (const char other : {'\0', '\n', '\r', ' ', ':', 'A', 'z', '1', '\x7f', '\xff'}) {
      std::string changed(kHead);
      changed[at] = other;
      RequestParser fresh;
      RequestParser taught;
      teach(taught);
      ASSERT_EQ(parse(taught, changed), parse(fresh, changed)) << at << ' ' << int{other};
    }
  }
}

TEST(RepeatedHead, PartOfItIsNotIt) {
  for (std::size_t size = 0; size < kHead.size(); ++size) {
    RequestParser taught;
    teach(taught);
    ASSERT_EQ(parse(taught, kHead.substr(0, size)).status, ParseStatus::need_more) << size;
    ASSERT_EQ(parse(taught, kHead).consumed, kHead.size()) << size;
  }
}

TEST(RepeatedHead, TighterLimitsRefuseIt) {
  RequestParser taught;
  teach(taught);
  EXPECT_EQ(parse(taught, kHead, {.headers = 2}).status, ParseStatus::error);
  RequestParser again;
  teach(again);
  EXPECT_EQ(parse(again, kHead, {.head = kHead.size() - 1}).status, ParseStatus::error);
}

TEST(RepeatedHead, TheBodyBehindItIsReadEachTime) {
  const std::string post = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n";
  RequestParser parser;
  RequestHead head;
  for (int i = 0; i < 5; ++i) {
    ASSERT_EQ(parser.parse_head(post, {}, head).status, ParseStatus::complete);
    EXPECT_EQ(head.memo != 0, i >= 2) << i;
    EXPECT_EQ(head.content_length, 3U);
    EXPECT_EQ(head.body, BodyKind::length);
    EXPECT_EQ(parser.parse_body("a", {}).status, ParseStatus::need_more);
    EXPECT_EQ(parser.parse_body("bcdef", {}).data, "bc");
    EXPECT_EQ(parser.parse_body("def", {}).consumed, 0U);
  }
}

TEST(RepeatedHead, ChunkedOnesAreParsedEachTime) {
  const std::string post = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
  RequestParser parser;
  RequestHead head;
  for (int i = 0; i < 5; ++i) {
    ASSERT_EQ(parser.parse_head(post, {}, head).status, ParseStatus::complete);
    EXPECT_EQ(head.memo, 0U);
    EXPECT_EQ(parser.parse_body("3\r\nabc", {}).data, "abc");
    EXPECT_EQ(parser.parse_body("\r\n0\r\n\r\n", {}).status, ParseStatus::complete);
  }
}

TEST(RepeatedHead, LongOnesAreNotKept) {
  const std::string head = "GET / HTTP/1.1\r\nHost: h\r\nX: " + std::string(2000, 'x') + "\r\n\r\n";
  RequestParser parser;
  RequestHead read;
  ASSERT_EQ(parser.parse_head(head, {}, read).status, ParseStatus::complete);
  RepeatedHead repeated;
  for (int i = 0; i < 3; ++i) repeated.note(head, {}, read);
  EXPECT_FALSE(repeated.recall(head, {}, read));
}

TEST(RepeatedHead, TheShortestIsCompared) {
  const std::string_view shortest = "GET / HTTP/1.0\r\n\r\n";
  RequestParser parser;
  for (int i = 0; i < 4; ++i) EXPECT_EQ(parse(parser, shortest).consumed, shortest.size());
  EXPECT_EQ(parse(parser, "PUT / HTTP/1.0\r\n\r\n").head.substr(0, 4), "PUT|");
}

}  // namespace
}  // namespace treadle::http
