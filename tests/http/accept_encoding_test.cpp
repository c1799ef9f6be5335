// pure
#include "accept_encoding.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

using namespace treadle::http;

namespace {

const std::vector<Coding> kAll = {Coding::br, Coding::zstd, Coding::gzip};

std::string ask(std::string_view accept, const std::vector<Coding>& available = kAll) {
  const std::string_view name = coding_name(accept_encoding::choose(accept, available));
  return std::string(name.empty() ? "identity" : name);
}

}  // namespace

TEST(AcceptEncoding, NothingAskedForIsIdentity) {
  EXPECT_EQ(ask(""), "identity");
  EXPECT_EQ(ask(" , ,"), "identity");
  EXPECT_EQ(ask("identity"), "identity");
  EXPECT_EQ(ask("deflate, compress"), "identity");
}

TEST(AcceptEncoding, TiesGoByTheOrderOfWhatIsThere) {
  EXPECT_EQ(ask("gzip, deflate, br, zstd"), "br");
  EXPECT_EQ(ask("gzip, deflate, zstd"), "zstd");
  EXPECT_EQ(ask("gzip, br", {Coding::gzip, Coding::br}), "gzip");
  EXPECT_EQ(ask("gzip, br", {Coding::gzip}), "gzip");
  EXPECT_EQ(ask("br", {Coding::gzip}), "identity");
  EXPECT_EQ(ask("br", {}), "identity");
}

TEST(AcceptEncoding, WeightsRule) {
  EXPECT_EQ(ask("br;q=0.5, gzip;q=0.8"), "gzip");
  EXPECT_EQ(ask("br;q=0.001, gzip;q=0.002, zstd;q=0.003"), "zstd");
  EXPECT_EQ(ask("br;q=1.000,gzip;q=1"), "br");
  EXPECT_EQ(ask("br;q=0, gzip"), "gzip");
  EXPECT_EQ(ask("br;q=0"), "identity");
  EXPECT_EQ(ask("br;q=0.000, gzip;q=0.0, zstd;q=0."), "identity");
  EXPECT_EQ(ask("gzip ; q=0.5 , br;Q=0.9"), "br");
}

TEST(AcceptEncoding, IdentityCompetesOnlyWhereItIsNamed) {
  EXPECT_EQ(ask("identity;q=1, gzip;q=0.5"), "identity");
  EXPECT_EQ(ask("identity, gzip"), "gzip");
  EXPECT_EQ(ask("identity;q=0.5, gzip;q=0.4"), "identity");
  EXPECT_EQ(ask("identity;q=0, gzip;q=0.1"), "gzip");
  EXPECT_EQ(ask("gzip;q=0.1"), "gzip");
}

TEST(AcceptEncoding, StarStandsForWhatIsNotNamed) {
  EXPECT_EQ(ask("*"), "br");
  EXPECT_EQ(ask("*;q=0.5, br;q=0"), "zstd");
  EXPECT_EQ(ask("gzip, *;q=0.1"), "gzip");
  EXPECT_EQ(ask("*;q=0"), "identity");
  EXPECT_EQ(ask("*;q=0, gzip"), "gzip");
  EXPECT_EQ(ask("identity, *;q=0.5"), "identity");
}

TEST(AcceptEncoding, RefusingEverythingStillGetsIdentity) {
  EXPECT_EQ(ask("identity;q=0"), "identity");
  EXPECT_EQ(ask("identity;q=0, *;q=0"), "identity");
}

TEST(AcceptEncoding, NamesIgnoreCaseAndXGzipIsGzip) {
  EXPECT_EQ(ask("GZIP"), "gzip");
  EXPECT_EQ(ask("Br"), "br");
  EXPECT_EQ(ask("x-gzip"), "gzip");
}

TEST(AcceptEncoding, MalformedMembersArePassedOver) {
  for (const char* accept :
       {"br;q=2", "br;q=1.001", "br;q=0.1234", "br;q=", "br;q", "br;", "br;level=5", "br;q=-1",
        "br;q=.5", "br;q=0,5x", "br;q=0x1", "br q=1", "brr", "b", ";q=1", "br;q=1;x=y"})
    EXPECT_EQ(ask(accept), "identity") << accept;
  EXPECT_EQ(ask("br;q=9, gzip;q=0.1"), "gzip");
}

TEST(AcceptEncoding, TheLastMentionCounts) {
  EXPECT_EQ(ask("br, br;q=0"), "identity");
  EXPECT_EQ(ask("br;q=0, br"), "br");
}
