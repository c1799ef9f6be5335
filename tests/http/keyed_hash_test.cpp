// pure
#include "keyed_hash.h"

#include <gtest/gtest.h>

#include <string>

namespace treadle::http::detail {
namespace {

// Appendix A of the SipHash paper: key 00 01 .. 0f, input 00 01 .. 0e.
TEST(KeyedHash, AgreesWithItsPaper) {
  const HashKey key{0x0706050403020100, 0x0f0e0d0c0b0a0908};
  std::string input;
  for (char c = 0; c < 15; ++c) input.push_back(c);
  EXPECT_EQ(keyed_hash(key, input), 0xa129ca6149be45e5U);
}

TEST(KeyedHash, EveryByteAndTheLengthCount) {
  const HashKey key{1, 2};
  EXPECT_NE(keyed_hash(key, ""), keyed_hash(key, std::string(1, '\0')));
  EXPECT_NE(keyed_hash(key, "abcdefgh"), keyed_hash(key, "abcdefgi"));
  EXPECT_NE(keyed_hash(key, "abcdefgh"), keyed_hash(key, std::string("abcdefgh\0", 9)));
  EXPECT_NE(keyed_hash(key, "x"), keyed_hash({1, 3}, "x"));
}

TEST(KeyedHash, RandomKeysDiffer) {
  const HashKey a = HashKey::random();
  const HashKey b = HashKey::random();
  EXPECT_FALSE(a.first == b.first && a.second == b.second);
}

}  // namespace
}  // namespace treadle::http::detail
