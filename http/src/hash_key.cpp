#include "hash_key.h"

#include <sys/random.h>

#include <treadle/timer.h>

#include <bit>
#include <cstddef>

namespace treadle::http {
namespace {

struct Sip {
  std::uint64_t v0, v1, v2, v3;

  void round() noexcept {
    v0 += v1;
    v2 += v3;
    v1 = std::rotl(v1, 13) ^ v0;
    v3 = std::rotl(v3, 16) ^ v2;
    v0 = std::rotl(v0, 32) + v3;
    v2 += v1;
    v3 = std::rotl(v3, 21) ^ v0;
    v1 = std::rotl(v1, 17) ^ v2;
    v2 = std::rotl(v2, 32);
  }
  void take(std::uint64_t word) noexcept {
    v3 ^= word;
    round();
    round();
    v0 ^= word;
  }
};

// Up to eight bytes, the first one lowest.
std::uint64_t word_of(std::string_view bytes) noexcept {
  std::uint64_t word = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i)
    word |= std::uint64_t{static_cast<unsigned char>(bytes[i])} << (8 * i);
  return word;
}

}  // namespace

HashKey HashKey::random() noexcept {
  HashKey key;
  // Sixteen bytes come whole or not at all; only a kernel without entropy at boot refuses them.
  if (::getrandom(&key, sizeof key, 0) != static_cast<ssize_t>(sizeof key))
    key.k0 = static_cast<std::uint64_t>(Clock::now().time_since_epoch().count());
  return key;
}

std::uint64_t keyed_hash(const HashKey& key, std::string_view text) noexcept {
  Sip s{key.k0 ^ 0x736f6d6570736575U, key.k1 ^ 0x646f72616e646f6dU, key.k0 ^ 0x6c7967656e657261U,
        key.k1 ^ 0x7465646279746573U};
  const std::uint64_t length = std::uint64_t{text.size()} << 56;
  while (text.size() >= 8) {
    s.take(word_of(text.substr(0, 8)));
    text.remove_prefix(8);
  }
  s.take(word_of(text) | length);
  s.v2 ^= 0xff;
  for (int i = 0; i < 4; ++i) s.round();
  return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

}  // namespace treadle::http
