// pure
#include "file_etag.h"

#include <gtest/gtest.h>

#include <string>

namespace treadle::http::detail {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

struct stat file(std::int64_t size, std::int64_t ns, ino_t inode) {
  struct stat st{};
  st.st_size = size;
  st.st_mtim = {ns / kSecond, ns % kSecond};
  st.st_ino = inode;
  return st;
}

std::string tag(const struct stat& st, Coding coding = Coding::identity,
                std::string_view secret = {}, std::int64_t now = 1'000'000 * kSecond) {
  return std::string(EntityTagger(secret).tag(st, coding, now).view());
}

TEST(FileEtag, IsSixteenHexDigitsInQuotes) {
  const std::string t = tag(file(1, 2, 3));
  EXPECT_EQ(t.size(), 18U);
  EXPECT_EQ(t.find_first_not_of("0123456789abcdef", 1), 17U);
  EXPECT_EQ(t.front(), '"');
  EXPECT_EQ(t.back(), '"');
}

TEST(FileEtag, EachPropertyChangesIt) {
  const std::string t = tag(file(100, 5 * kSecond + 7, 42));
  EXPECT_EQ(tag(file(100, 5 * kSecond + 7, 42)), t);
  EXPECT_NE(tag(file(101, 5 * kSecond + 7, 42)), t);
  EXPECT_NE(tag(file(100, 5 * kSecond + 8, 42)), t);
  EXPECT_NE(tag(file(100, 6 * kSecond + 7, 42)), t);
  EXPECT_NE(tag(file(100, 5 * kSecond + 7, 43)), t);
  EXPECT_NE(tag(file(100, 5 * kSecond + 7, 42), Coding::gzip), t);
  EXPECT_NE(tag(file(100, 5 * kSecond + 7, 42), Coding::br),
            tag(file(100, 5 * kSecond + 7, 42), Coding::gzip));
}

// Other builds and other processes must say the same, or every cache is emptied by an update.
TEST(FileEtag, IsTheSameInEveryProcess) {
  EXPECT_EQ(tag(file(100, 5 * kSecond + 7, 42)), "\"a31786f193176831\"");
}

TEST(FileEtag, SecretChangesItAndDoesSoAlike) {
  const struct stat st = file(100, 5 * kSecond, 42);
  EXPECT_NE(tag(st, Coding::identity, "a"), tag(st));
  EXPECT_NE(tag(st, Coding::identity, "a"), tag(st, Coding::identity, "b"));
  EXPECT_EQ(tag(st, Coding::identity, "a"), tag(st, Coding::identity, "a"));
}

TEST(FileEtag, StrongOneIsThatOfASettledFile) {
  const EntityTagger tagger("secret");
  const struct stat st = file(100, 50 * kSecond + 500, 42);
  const std::int64_t settled = 52 * kSecond + 500;
  EXPECT_TRUE(EntityTagger::is_settled(st, settled));
  EXPECT_FALSE(EntityTagger::is_settled(st, settled - 1));
  for (const Coding coding : {Coding::identity, Coding::gzip}) {
    const EntityTag strong = tagger.strong_tag(st, coding);
    EXPECT_EQ(strong.view(), tagger.tag(st, coding, settled).view());
    EXPECT_EQ("W/" + std::string(strong.view()), tagger.tag(st, coding, settled - 1).view());
  }
}

TEST(FileEtag, IsWeakForTwoSeconds) {
  const struct stat st = file(100, 50 * kSecond + 500, 42);
  const auto at = [&](std::int64_t now) { return tag(st, Coding::identity, {}, now); };
  const std::string strong = at(52 * kSecond + 500);
  EXPECT_EQ(strong.front(), '"');
  EXPECT_EQ(at(52 * kSecond + 499), "W/" + strong);
  EXPECT_EQ(at(50 * kSecond + 500), "W/" + strong);
  EXPECT_EQ(at(1 * kSecond), "W/" + strong) << "modified in the future";
}

TEST(FileEtag, TimesFarOffDoNotWrap) {
  struct stat st = file(1, 0, 1);
  st.st_mtim.tv_sec = INT64_MAX;
  EXPECT_GT(modified_ns(st), 0);
  EXPECT_TRUE(tag(st).starts_with("W/"));
  st.st_mtim.tv_sec = INT64_MIN;
  EXPECT_LT(modified_ns(st), 0);
  EXPECT_FALSE(tag(st).starts_with("W/"));
}

}  // namespace
}  // namespace treadle::http::detail
