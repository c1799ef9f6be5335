// pure
// Accept-Encoding, and which media types are worth compressing.
#include "content_coding.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

using namespace treadle::http;

namespace {

// The name of the coding chosen for these fields, with "!" where identity is refused.
std::string chosen(const std::vector<std::string_view>& values,
                   std::span<const Coding> ours = kCodings) {
  std::vector<HeaderField> fields{{"Accept", "gzip"}};
  for (const std::string_view value : values) fields.push_back({"accept-encoding", value});
  const CodingChoice choice = choose_coding(HeaderView(fields), ours);
  const bool coded = choice.coding != Coding::identity;
  return std::string(coded ? coding_name(choice.coding) : "identity") +
         (choice.identity_refused ? "!" : "");
}

}  // namespace

TEST(ContentCoding, OfEqualOnesOurOrderDecides) {
  EXPECT_EQ(chosen({"gzip, deflate, br, zstd"}), "br");
  EXPECT_EQ(chosen({"gzip, zstd"}), "zstd");
  EXPECT_EQ(chosen({"deflate, gzip"}), "gzip");
  EXPECT_EQ(chosen({"gzip", "br"}), "br");
  EXPECT_EQ(chosen({"GZip"}), "gzip");
  EXPECT_EQ(chosen({"x-gzip"}), "gzip");
  const std::vector<Coding> gzip_only{Coding::gzip};
  EXPECT_EQ(chosen({"br, gzip;q=0.1"}, gzip_only), "gzip");
  EXPECT_EQ(chosen({"br"}, gzip_only), "identity");
}

TEST(ContentCoding, WeightsComeFirst) {
  EXPECT_EQ(chosen({"br;q=0.5, gzip;q=0.8, zstd;q=0.799"}), "gzip");
  EXPECT_EQ(chosen({"br;q=0, gzip"}), "gzip");
  EXPECT_EQ(chosen({"br ; q=0.001"}), "br");
  EXPECT_EQ(chosen({"gzip;Q=1.000, br;q=0.999"}), "gzip");
  EXPECT_EQ(chosen({"*"}), "br");
  EXPECT_EQ(chosen({"*;q=0.1, gzip;q=0.2"}), "gzip");
  EXPECT_EQ(chosen({"*, br;q=0"}), "zstd");
}

TEST(ContentCoding, SilenceMeansIdentity) {
  EXPECT_EQ(chosen({}), "identity");
  EXPECT_EQ(chosen({""}), "identity");
  EXPECT_EQ(chosen({"deflate"}), "identity");
  EXPECT_EQ(chosen({"gzip;q=0"}), "identity");
}

TEST(ContentCoding, IdentityMayBePreferredOrRefused) {
  EXPECT_EQ(chosen({"identity, gzip;q=0.5"}), "identity");
  EXPECT_EQ(chosen({"identity;q=0.5, gzip;q=0.5"}), "gzip");
  EXPECT_EQ(chosen({"identity;q=0"}), "identity!");
  EXPECT_EQ(chosen({"identity;q=0, gzip"}), "gzip!");
  EXPECT_EQ(chosen({"*;q=0"}), "identity!");
  EXPECT_EQ(chosen({"*;q=0, gzip;q=0.1"}), "gzip!");
  EXPECT_EQ(chosen({"*;q=0, identity"}), "identity");
}

TEST(ContentCoding, MalformedMembersAreNotThere) {
  for (const char* bad :
       {"gzip;q=2", "gzip;q=1.001", "gzip;q=.5", "gzip;q=0.1234", "gzip;q=-1",
        "gzip;q=", "gzip;level=1", "gzip;", "gz ip", "gzip;q=0,5x;q", "gzip;q=1x"})
    EXPECT_EQ(chosen({bad}), "identity") << bad;
  EXPECT_EQ(chosen({",, ;q=1, gzip ,"}), "gzip");
}

TEST(ContentCoding, TextAndItsKindAreWorthIt) {
  for (const char* type : {"text/html", "Text/Plain; charset=utf-8", "application/json",
                           "application/problem+json;x=y", "image/svg+xml", "text/event-stream",
                           "application/atom+xml", "application/wasm", "font/ttf"})
    EXPECT_TRUE(is_compressible(type)) << type;
  for (const char* type : {"", "image/png", "video/mp4", "application/octet-stream",
                           "application/zip", "font/woff2", "+json", "texts/plain", "text"})
    EXPECT_FALSE(is_compressible(type)) << type;
}
