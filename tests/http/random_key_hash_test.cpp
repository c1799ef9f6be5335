// pure
#include "random_key_hash.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <unordered_map>
#include <unordered_set>

using treadle::http::process_sip_key;
using treadle::http::RandomKeyHash;
using treadle::http::siphash;
using treadle::http::SipKey;

namespace {

// The key and the messages of the paper's appendix A: 00 01 02 ...
constexpr SipKey kPaperKey{.k0 = 0x0706050403020100U, .k1 = 0x0f0e0d0c0b0a0908U};

std::string counting(std::size_t size) {
  std::string text;
  for (std::size_t i = 0; i < size; ++i) text.push_back(static_cast<char>(i));
  return text;
}

}  // namespace

TEST(RandomKeyHash, SipHash24GivesThePapersValues) {
  EXPECT_EQ((siphash<2, 4>(kPaperKey, counting(15))), 0xa129ca6149be45e5U);
  EXPECT_EQ((siphash<2, 4>(kPaperKey, "")), 0x726fdb47dd0e0e31U);
  EXPECT_EQ((siphash<2, 4>(kPaperKey, counting(63))), 0x958a324ceb064572U);
}

// What Python 3.11's hash() of bytes gives with a key of zeros.
TEST(RandomKeyHash, SipHash13AgreesWithAnother) {
  EXPECT_EQ((siphash<1, 3>({}, "a")), 0x407448d2b89b1813U);
  EXPECT_EQ((siphash<1, 3>({}, "abcdefgh")), 0x3f7b849c0b8e35eaU);
  EXPECT_EQ((siphash<1, 3>({}, "hello, world, again")), 0x8872882f47172129U);
}

TEST(RandomKeyHash, KeyIsDrawnOnceAndIsNotZero) {
  EXPECT_EQ(&process_sip_key(), &process_sip_key());
  EXPECT_NE(process_sip_key().k0, 0U);
  EXPECT_NE(process_sip_key().k0, process_sip_key().k1);
  EXPECT_NE(RandomKeyHash{}("a"), (siphash<1, 3>({}, "a")));
}

TEST(RandomKeyHash, EveryByteCounts) {
  const RandomKeyHash hash;
  const std::string text = counting(40);
  std::unordered_set<std::size_t> seen;
  for (std::size_t size = 0; size <= text.size(); ++size) {
    EXPECT_TRUE(seen.insert(hash(text.substr(0, size))).second) << size;
    std::string changed = text;
    if (size == text.size()) break;
    changed[size] = static_cast<char>(changed[size] ^ 0x80);
    EXPECT_TRUE(seen.insert(hash(changed)).second) << size;
  }
}

TEST(RandomKeyHash, MapsFindByView) {
  std::unordered_map<std::string, int, RandomKeyHash, std::equal_to<>> map;
  map["key"] = 1;
  EXPECT_EQ(map.find(std::string_view("key"))->second, 1);
}
