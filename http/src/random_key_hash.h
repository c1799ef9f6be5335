// A hash for tables whose keys clients choose: nobody outside can make them collide.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace treadle::http {

struct SipKey {
  std::uint64_t k0 = 0;
  std::uint64_t k1 = 0;

  // A new one from the kernel. Never parks; any thread.
  static SipKey random() noexcept;
};

namespace detail {

// The four words of SipHash's state (Aumasson and Bernstein, 2012, section 2).
class SipState {
 public:
  constexpr explicit SipState(const SipKey& key) noexcept
      : v0_(key.k0 ^ 0x736f6d6570736575U),
        v1_(key.k1 ^ 0x646f72616e646f6dU),
        v2_(key.k0 ^ 0x6c7967656e657261U),
        v3_(key.k1 ^ 0x7465646279746573U) {}

  template <int kRounds>
  constexpr void add(std::uint64_t word) noexcept {
    v3_ ^= word;
    rounds<kRounds>();
    v0_ ^= word;
  }
  template <int kRounds>
  constexpr std::uint64_t finish() noexcept {
    v2_ ^= 0xff;
    rounds<kRounds>();
    return v0_ ^ v1_ ^ v2_ ^ v3_;
  }

 private:
  template <int kRounds>
  constexpr void rounds() noexcept {
    for (int i = 0; i < kRounds; ++i) {
      v0_ += v1_;
      v2_ += v3_;
      v1_ = std::rotl(v1_, 13) ^ v0_;
      v3_ = std::rotl(v3_, 16) ^ v2_;
      v0_ = std::rotl(v0_, 32);
      v2_ += v1_;
      v0_ += v3_;
      v1_ = std::rotl(v1_, 17) ^ v2_;
      v3_ = std::rotl(v3_, 21) ^ v0_;
      v2_ = std::rotl(v2_, 32);
    }
  }

  std::uint64_t v0_, v1_, v2_, v3_;
};

}  // namespace detail

// SipHash with `kEach` rounds for each word and `kLast` at the end: 2 and 4 in the paper, 1 and 3
// where only hash tables depend on it. Pure.
template <int kEach, int kLast>
std::uint64_t siphash(const SipKey& key, std::string_view bytes) noexcept {
  static_assert(std::endian::native == std::endian::little);
  detail::SipState state(key);
  std::uint64_t last = std::uint64_t{bytes.size()} << 56;
  std::uint64_t word = 0;
  for (; bytes.size() >= sizeof word; bytes.remove_prefix(sizeof word)) {
    std::memcpy(&word, bytes.data(), sizeof word);
    state.add<kEach>(word);
  }
  for (std::size_t i = 0; i < bytes.size(); ++i)
    last |= std::uint64_t{static_cast<unsigned char>(bytes[i])} << (8 * i);
  state.add<kEach>(last);
  return state.finish<kLast>();
}

// The process's own key, drawn from the kernel at the first call. Never parks; any thread.
const SipKey& process_sip_key() noexcept;

// For std::unordered_map and its like, with std::equal_to<> as the other half:
//
//   std::unordered_map<std::string, Bucket, RandomKeyHash, std::equal_to<>> buckets;
//
// Some 15 ns for a short key.
struct RandomKeyHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view key) const noexcept {
    return siphash<1, 3>(process_sip_key(), key);
  }
};

}  // namespace treadle::http
