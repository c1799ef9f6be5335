#include "request_id.h"

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "chars.h"
#include "random_bytes.h"

namespace treadle::http {
namespace {

struct Secret {
  std::uint64_t prefix = 0;
  std::array<std::uint64_t, 2> keys{};
};

const Secret& secret() noexcept {
  static const Secret drawn = [] {
    Secret s;
    fill_random(&s, sizeof s);
    return s;
  }();
  return drawn;
}

// A permutation of the numbers below 2^64: each step can be undone. The multipliers are those of
// splitmix64's finaliser, by which every bit of the input reaches every bit of the result.
std::uint64_t permute(std::uint64_t x, const std::array<std::uint64_t, 2>& keys) noexcept {
  x ^= keys[0];
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
  x ^= keys[1];
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
  return x ^ (x >> 31);
}

void put_hex(char* to, std::uint64_t number) noexcept {
  for (int shift = 60; shift >= 0; shift -= 4) *to++ = "0123456789abcdef"[number >> shift & 15];
}

}  // namespace

RequestId RequestId::make() noexcept {
  static std::atomic<std::uint64_t> count{0};  // nothing else hangs on its order
  const Secret& s = secret();
  RequestId id;
  put_hex(id.text_.data(), s.prefix);
  put_hex(id.text_.data() + kSize / 2,
          permute(count.fetch_add(1, std::memory_order_relaxed), s.keys));
  return id;
}

bool valid_request_id(std::string_view id) noexcept {
  return !id.empty() && id.size() <= kLongestRequestId && std::ranges::all_of(id, [](char c) {
    return chars::is_alpha(c) || chars::is_digit(c) || c == '.' || c == '_' || c == '-';
  });
}

void choose_request_id(std::string& id, std::string_view came) {
  id.assign(valid_request_id(came) ? came : RequestId::make().view());
}

}  // namespace treadle::http
