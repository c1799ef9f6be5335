// pure
// SipHash-2-4 by the vectors of its authors, whose key is the bytes 0 to 15 and whose texts count
// up from 0.
#include "hash_key.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <string>

using namespace treadle::http;

namespace {

std::string counting(std::size_t size) {
  std::string text;
  for (std::size_t i = 0; i < size; ++i) text.push_back(static_cast<char>(i));
  return text;
}

}  // namespace

TEST(HashKey, AgreesWithThePublishedVectors) {
  const HashKey key{0x0706050403020100, 0x0f0e0d0c0b0a0908};
  EXPECT_EQ(keyed_hash(key, ""), 0x726fdb47dd0e0e31U);
  EXPECT_EQ(keyed_hash(key, counting(1)), 0x74f839c593dc67fdU);
  EXPECT_EQ(keyed_hash(key, counting(8)), 0x93f5f5799a932462U);
  EXPECT_EQ(keyed_hash(key, counting(15)), 0xa129ca6149be45e5U);
}

TEST(HashKey, RandomKeysDiffer) {
  const HashKey a = HashKey::random();
  const HashKey b = HashKey::random();
  EXPECT_NE(keyed_hash(a, "x"), keyed_hash(b, "x"));
}
