#include "file_etag.h"

#include <string>

namespace treadle::http::detail {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kSettled = 2 * kSecond;

// Any constant would do; changing it changes every tag there is.
constexpr SipKey kBuiltIn{0x9f2c61d07b5e48a3U, 0x13d84be6a70f95c2U};

SipKey key_of(std::string_view secret) noexcept {
  if (secret.empty()) return kBuiltIn;
  return {siphash<2, 4>(kBuiltIn, secret), siphash<2, 4>(SipKey{kBuiltIn.k1, kBuiltIn.k0}, secret)};
}

}  // namespace

std::int64_t modified_ns(const struct stat& st) noexcept {
  // File systems hold centuries, which fit; a date that does not is as old as can be told.
  constexpr std::int64_t kMost = 9'000'000'000;
  const auto seconds = static_cast<std::int64_t>(st.st_mtim.tv_sec);
  if (seconds > kMost || seconds < -kMost) return seconds > 0 ? kMost * kSecond : -kMost * kSecond;
  return seconds * kSecond + st.st_mtim.tv_nsec;
}

EntityTag::EntityTag(std::uint64_t value, bool weak) noexcept {
  constexpr std::string_view kDigits = "0123456789abcdef";
  for (const char c : weak ? std::string_view("W/\"") : std::string_view("\"")) text_[size_++] = c;
  for (int shift = 60; shift >= 0; shift -= 4) text_[size_++] = kDigits[value >> shift & 15];
  text_[size_++] = '"';
}

EntityTagger::EntityTagger(std::string_view secret) noexcept : key_(key_of(secret)) {}

bool EntityTagger::is_settled(const struct stat& st, std::int64_t now) noexcept {
  return modified_ns(st) <= now - kSettled;
}

EntityTag EntityTagger::tag(const struct stat& st, Coding coding, std::int64_t now) const noexcept {
  return {hash(st, coding), !is_settled(st, now)};
}

EntityTag EntityTagger::strong_tag(const struct stat& st, Coding coding) const noexcept {
  return {hash(st, coding), false};
}

std::uint64_t EntityTagger::hash(const struct stat& st, Coding coding) const noexcept {
  const std::array<std::uint64_t, 5> parts = {
      static_cast<std::uint64_t>(st.st_size), static_cast<std::uint64_t>(st.st_mtim.tv_sec),
      static_cast<std::uint64_t>(st.st_mtim.tv_nsec), static_cast<std::uint64_t>(st.st_ino),
      static_cast<std::uint64_t>(coding)};
  const std::string_view bytes(reinterpret_cast<const char*>(parts.data()), sizeof parts);
  return siphash<2, 4>(key_, bytes);
}

}  // namespace treadle::http::detail
