#include "keyed_hash.h"

#include <sys/random.h>
#include <time.h>

#include <bit>
#include <cerrno>
#include <cstddef>
#include <cstring>

namespace treadle::http::detail {
namespace {

// The state of SipHash (Aumasson and Bernstein, 2012): add, rotate, xor.
struct Sip {
  std::uint64_t a, b, c, d;

  explicit Sip(const HashKey& key) noexcept
      : a(key.first ^ 0x736f6d6570736575U),
        b(key.second ^ 0x646f72616e646f6dU),
        c(key.first ^ 0x6c7967656e657261U),
        d(key.second ^ 0x7465646279746573U) {}

  void round() noexcept {
    a += b;
    c += d;
    b = std::rotl(b, 13) ^ a;
    d = std::rotl(d, 16) ^ c;
    a = std::rotl(a, 32);
    c += b;
    a += d;
    b = std::rotl(b, 17) ^ c;
    d = std::rotl(d, 21) ^ a;
    c = std::rotl(c, 32);
  }
  void take(std::uint64_t word) noexcept {
    d ^= word;
    round();
    round();
    a ^= word;
  }
};

// Up to eight bytes, the first one lowest, on machines of either byte order.
std::uint64_t load(const char* bytes, std::size_t count) noexcept {
  std::uint64_t word = 0;
  for (std::size_t i = 0; i < count; ++i)
    word |= static_cast<std::uint64_t>(static_cast<unsigned char>(bytes[i])) << (8 * i);
  return word;
}

}  // namespace

HashKey HashKey::random() noexcept {
  HashKey key;
  // Sixteen bytes come whole, unless a signal comes while the kernel has no entropy yet.
  ssize_t got = 0;
  do got = ::getrandom(&key, sizeof key, 0);
  while (got < 0 && errno == EINTR);
  if (got != static_cast<ssize_t>(sizeof key)) {
    // A sandbox that refuses the call: something that a stranger can at least not see.
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    key.first = static_cast<std::uint64_t>(now.tv_nsec) * 0x9e3779b97f4a7c15U;
    key.second = static_cast<std::uint64_t>(now.tv_sec) ^ std::bit_cast<std::uintptr_t>(&key);
  }
  return key;
}

std::uint64_t keyed_hash(const HashKey& key, std::string_view bytes) noexcept {
  Sip sip(key);
  const std::size_t whole = bytes.size() / 8 * 8;
  for (std::size_t i = 0; i < whole; i += 8) sip.take(load(bytes.data() + i, 8));
  sip.take(load(bytes.data() + whole, bytes.size() - whole) |
           static_cast<std::uint64_t>(bytes.size()) << 56);
  sip.c ^= 0xff;
  for (int i = 0; i < 4; ++i) sip.round();
  return sip.a ^ sip.b ^ sip.c ^ sip.d;
}

}  // namespace treadle::http::detail
