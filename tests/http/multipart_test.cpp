// pure
// MultipartReader over a body without a connection.
#include <treadle/http/multipart.h>

#include <gtest/gtest.h>

#include <array>
#include <string>

#include <treadle/http/error.h>

#include "fake_request.h"

using namespace treadle::http;
using treadle::test::FakeRequest;

namespace {

const std::string kType = "multipart/form-data; boundary=b";

std::string field(std::string_view name, std::string_view data) {
  return "--b\r\nContent-Disposition: form-data; name=\"" + std::string(name) + "\"\r\n\r\n" +
         std::string(data) + "\r\n";
}

// "name=data|" of each part, then how it ended.
std::string read_all(FakeRequest& fake, const MultipartOptions& options = {}) {
  auto reader = MultipartReader::open(fake.request, options);
  if (!reader) return reader.error().message();
  std::string out;
  for (;;) {
    auto part = reader->next_part();
    if (!part) {
      EXPECT_EQ(reader->next_part().error(), part.error());
      return out + part.error().message();
    }
    if (*part == nullptr) return out + "end";
    out.append((*part)->name()).append("=");
    auto data = (*part)->read_all(1000);
    if (!data) {
      EXPECT_EQ((*part)->read_all(1).error(), data.error());
      return out + data.error().message();
    }
    out.append(*data).append("|");
  }
}

}  // namespace

TEST(Multipart, PartsComeWholeHoweverTheyArrive) {
  const std::string text = field("a", "1") + field("b", "\r\n--") + field("", "") + "--b--\r\n";
  for (std::size_t piece = 1; piece <= text.size(); ++piece) {
    FakeRequest fake(kType, text, piece);
    EXPECT_EQ(read_all(fake), "a=1|b=\r\n--|=|end") << piece;
    EXPECT_FALSE(fake.state.content_error());
  }
}

TEST(Multipart, UnreadPartsArePassedOver) {
  FakeRequest fake(kType, field("a", std::string(100'000, 'x')) + field("b", "2") + "--b--", 999);
  auto reader = MultipartReader::open(fake.request);
  ASSERT_TRUE(reader.has_value());
  ASSERT_TRUE(reader->next_part().has_value());
  auto second = reader->next_part();
  ASSERT_TRUE(second.has_value() && *second != nullptr);
  EXPECT_EQ((*second)->name(), "b");
  std::array<std::byte, 1> one;
  EXPECT_EQ((*second)->read(one), 1u);
  auto end = reader->next_part();
  ASSERT_TRUE(end.has_value());
  EXPECT_EQ(*end, nullptr);
  EXPECT_EQ(*reader->next_part(), nullptr);
}

TEST(Multipart, PartTellsWhatItsHeadSays) {
  FakeRequest fake(kType,
                   "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"/x/../y z.png\""
                   "\r\nContent-Type: image/png\r\nX-More: 1\r\n\r\n\r\n--b--");
  auto reader = MultipartReader::open(fake.request);
  ASSERT_TRUE(reader.has_value());
  auto next = reader->next_part();
  ASSERT_TRUE(next.has_value() && *next != nullptr);
  const MultipartPart& part = **next;
  EXPECT_EQ(part.name(), "f");
  EXPECT_EQ(part.filename(), "/x/../y z.png");
  EXPECT_EQ(part.display_name(), "y z.png");
  EXPECT_EQ(part.content_type(), "image/png");
  EXPECT_EQ(part.headers().get("x-more"), "1");
}

TEST(Multipart, BodyIsReadNoFasterThanItsParts) {
  FakeRequest fake(kType, field("a", std::string(1'000'000, 'x')) + "--b--");
  auto reader = MultipartReader::open(fake.request);
  ASSERT_TRUE(reader.has_value());
  EXPECT_EQ(fake.body.reads, 0u);
  auto part = reader->next_part();
  ASSERT_TRUE(part.has_value() && *part != nullptr);
  EXPECT_EQ(fake.body.reads, 1u);
  std::array<std::byte, 1000> some;
  std::size_t got = 0;
  while (got < 500'000) {
    auto n = (*part)->read(some);
    ASSERT_TRUE(n.has_value() && *n > 0);
    got += *n;
    ASSERT_LE(fake.body.given(), got + 17'000);
  }
}

TEST(Multipart, OtherContentTypesAreUnsupported) {
  for (const char* type : {"", "text/plain", "multipart/mixed; boundary=b", "multipart/form-data x",
                           "application/x-www-form-urlencoded"}) {
    FakeRequest fake(type, "--b--");
    EXPECT_EQ(MultipartReader::open(fake.request).error(),
              treadle::http::Errc::unsupported_media_type)
        << type;
    EXPECT_EQ(fake.state.content_error(), treadle::http::Errc::unsupported_media_type);
  }
  FakeRequest twice(kType, "--b--");
  twice.state.head.headers.push_back({"Content-Type", kType});
  EXPECT_EQ(MultipartReader::open(twice.request).error(),
            treadle::http::Errc::unsupported_media_type);
}

TEST(Multipart, BoundaryMustBeThereOnceAndProper) {
  const std::string base = "multipart/form-data";
  for (const std::string& rest :
       {std::string(), std::string("; boundary="), std::string("; boundary=\"\""),
        std::string("; boundary=a; boundary=a"), std::string("; boundary=\"a "), std::string("; x"),
        std::string("; boundary={a}"), "; boundary=" + std::string(71, 'a')}) {
    FakeRequest fake(base + rest, "--a--");
    EXPECT_EQ(MultipartReader::open(fake.request).error(), treadle::http::Errc::malformed_form)
        << rest;
  }
  FakeRequest quoted(base + "; charset=utf-8; BOUNDARY=\"a b\"", "--a b--");
  EXPECT_EQ(read_all(quoted), "end");
}

TEST(Multipart, MalformedBodiesAreRefused) {
  const std::string malformed = make_error_code(treadle::http::Errc::malformed_form).message();
  for (const std::string& text :
       {std::string(), std::string("x"), field("a", "1"), field("a", "1") + "--b",
        std::string("--b\r\n\r\nx\r\n--b--"), field("a", "1") + "--bx",
        std::string("--b\r\nContent-Disposition: form-data\r\n\r\n\r\n--b--"),
        field("a", "1") + "--b--\r\n" + std::string(5000, 'x'), std::string(5000, 'x')}) {
    FakeRequest fake(kType, text, 7);
    EXPECT_TRUE(read_all(fake).ends_with(malformed)) << text;
    EXPECT_EQ(fake.state.content_error(), treadle::http::Errc::malformed_form);
  }
}

TEST(Multipart, LimitsAreTheServersUnlessGiven) {
  const std::string text = field("a", "1") + field("b", "2") + "--b--";
  const std::string too_large = make_error_code(treadle::http::Errc::form_too_large).message();
  FakeRequest parts(kType, text);
  parts.limits.form_pairs = 1;
  EXPECT_EQ(read_all(parts), "a=1|" + too_large);
  EXPECT_EQ(parts.state.content_error(), treadle::http::Errc::form_too_large);
  FakeRequest head(kType, text);
  head.limits.part_head = 20;
  EXPECT_EQ(read_all(head), too_large);
  FakeRequest own(kType, text);
  own.limits.form_pairs = 1;
  EXPECT_EQ(read_all(own, {.parts = 2}), "a=1|b=2|end");
  FakeRequest own_head(kType, text);
  EXPECT_EQ(read_all(own_head, {.part_head = 20}), too_large);
  FakeRequest data(kType, field("a", std::string(1001, 'x')) + "--b--");
  EXPECT_EQ(read_all(data), "a=" + too_large);
}

TEST(Multipart, BodysFailureComesThrough) {
  FakeRequest fake(kType, field("a", "1"));
  fake.body.ends_with = make_error_code(treadle::http::Errc::body_too_large);
  EXPECT_EQ(read_all(fake), "a=" + make_error_code(treadle::http::Errc::body_too_large).message());
  EXPECT_EQ(fake.state.content_error(), treadle::http::Errc::body_too_large);
}

TEST(Multipart, EncodedPartsAreUnsupported) {
  FakeRequest fake(kType,
                   "--b\r\nContent-Disposition: form-data; name=a\r\n"
                   "Content-Transfer-Encoding: base64\r\n\r\nMQ==\r\n--b--");
  EXPECT_EQ(read_all(fake), make_error_code(treadle::http::Errc::unsupported_media_type).message());
}
