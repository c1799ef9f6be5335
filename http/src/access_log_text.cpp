#include "access_log_text.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>

namespace treadle::http::detail {
namespace {

constexpr std::string_view kHex = "0123456789abcdef";

// Where a byte cannot stand for itself.
enum Unsafe : std::uint8_t {
  kInQuotes = 1,  // and in JSON strings
  kInWords = 2,   // fields that end with a space
};

constexpr std::array<std::uint8_t, 256> kUnsafe = [] {
  std::array<std::uint8_t, 256> table{};
  for (std::size_t c = 0; c < table.size(); ++c) {
    if (c < 0x20 || c > 0x7e || c == '"' || c == '\\') table[c] = kInQuotes | kInWords;
    if (c == ' ') table[c] = kInWords;
  }
  return table;
}();

// Whether any of eight bytes needs an escape, by arithmetic on all of them at once. A byte below
// `least` borrows into its top bit, as does a zero where one has been subtracted; what is beyond
// ASCII has that bit set from the start. A borrow that runs on into the next byte comes from one
// that is unsafe itself, so the answer for the eight is exact.
bool any_unsafe(std::uint64_t eight, Unsafe where) noexcept {
  constexpr std::uint64_t kOnes = 0x0101010101010101;
  constexpr std::uint64_t kTops = kOnes * 0x80;
  const std::uint64_t least = kOnes * (where == kInWords ? 0x21 : 0x20);
  const std::uint64_t quotes = eight ^ (kOnes * '"');
  const std::uint64_t backslashes = eight ^ (kOnes * '\\');
  const std::uint64_t low = (eight - least) | (quotes - kOnes) | (backslashes - kOnes);
  return (((low | (eight + kOnes)) & ~eight) | eight) & kTops;
}

// How many bytes at the front of `text` need no escape.
std::size_t plain(std::string_view text, Unsafe where) noexcept {
  std::size_t n = 0;
  for (std::uint64_t eight = 0; n + sizeof eight <= text.size(); n += sizeof eight) {
    std::memcpy(&eight, text.data() + n, sizeof eight);
    if (any_unsafe(eight, where)) break;
  }
  while (n < text.size() && (kUnsafe[static_cast<unsigned char>(text[n])] & where) == 0) ++n;
  return n;
}

void append_hex_escaped(LogLine& out, std::string_view text, Unsafe where) {
  for (;;) {
    const std::size_t run = plain(text, where);
    append(out, text.substr(0, run));
    if (run == text.size()) return;
    const auto byte = static_cast<unsigned char>(text[run]);
    const char escape[] = {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
    append(out, {escape, sizeof escape});
    text.remove_prefix(run + 1);
  }
}

constexpr bool is_continuation(char c) noexcept {
  return (static_cast<unsigned char>(c) & 0xc0) == 0x80;
}

struct Decoded {
  std::uint32_t code = 0xfffd;
  std::size_t size = 1;  // bytes it takes
};

// The first character of `text`, which is not empty; U+FFFD for a byte that begins none: overlong
// forms, surrogates and what is beyond U+10FFFF are no characters (RFC 3629 3).
Decoded decode_utf8(std::string_view text) noexcept {
  const auto first = static_cast<unsigned char>(text[0]);
  if (first < 0x80) return {.code = first, .size = 1};
  const std::size_t size = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < size) return {};
  std::uint32_t code = first & (0x7fU >> size);
  for (std::size_t i = 1; i < size; ++i) {
    if (!is_continuation(text[i])) return {};
    code = code << 6 | (static_cast<unsigned char>(text[i]) & 0x3fU);
  }
  constexpr std::array<std::uint32_t, 5> kLeast = {0, 0, 0x80, 0x800, 0x10000};
  if (code < kLeast[size] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) return {};
  return {.code = code, .size = size};
}

void append_unit(LogLine& out, std::uint32_t unit) {
  const char escape[] = {
      '\\',           'u', kHex[unit >> 12 & 15], kHex[unit >> 8 & 15], kHex[unit >> 4 & 15],
      kHex[unit & 15]};
  append(out, {escape, sizeof escape});
}

void append_json_character(LogLine& out, std::uint32_t code) {
  if (code == '"' || code == '\\') {
    out.push_back('\\');
    out.push_back(static_cast<char>(code));
  } else if (code < 0x10000) {
    append_unit(out, code);
  } else {
    append_unit(out, 0xd800 + ((code - 0x10000) >> 10));
    append_unit(out, 0xdc00 + ((code - 0x10000) & 0x3ff));
  }
}

void append_group(LogLine& out, unsigned group) {
  std::array<char, 4> digits;
  std::size_t n = digits.size();
  do {
    digits[--n] = kHex[group & 15];
    group >>= 4;
  } while (group != 0);
  append(out, {digits.data() + n, digits.size() - n});
}

// As RFC 5952 wants it and inet_ntop does it, which takes as long as all the rest of a line. It is
// asked for what it writes in its own ways, addresses that begin with zeros.
void append_ipv6(LogLine& out, const in6_addr& address) {
  std::array<unsigned, 8> groups;
  for (std::size_t i = 0; i < groups.size(); ++i)
    groups[i] = unsigned{address.s6_addr[2 * i]} << 8 | address.s6_addr[2 * i + 1];
  if (groups[0] == 0) {
    char text[INET6_ADDRSTRLEN] = "";
    ::inet_ntop(AF_INET6, &address, text, sizeof text);
    return append(out, text);
  }
  // The first of the longest runs of at least two zeros.
  std::size_t zeros = groups.size();
  std::size_t most = 1;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    std::size_t end = i;
    while (end < groups.size() && groups[end] == 0) ++end;
    if (end - i <= most) continue;
    zeros = i;
    most = end - i;
  }
  append_group(out, groups[0]);
  for (std::size_t i = 1; i < groups.size(); ++i) {
    if (i == zeros) {
      append(out, "::");
      i += most - 1;
    } else {
      if (i != zeros + most || zeros == groups.size()) out.push_back(':');
      append_group(out, groups[i]);
    }
  }
}

template <class Native>
Native native(const net::SocketAddress& address) noexcept {
  Native n{};
  std::memcpy(&n, address.native(), sizeof n);
  return n;
}

}  // namespace

void append_seconds(LogLine& out, Duration d) {
  const auto us = static_cast<std::uint64_t>(std::max<Duration::rep>(d.count(), 0)) / 1000;
  append_number(out, us / 1'000'000);
  std::array<char, 7> decimals{'.'};
  auto rest = static_cast<std::uint32_t>(us % 1'000'000);
  for (std::size_t i = decimals.size() - 1; i > 0; --i, rest /= 10)
    decimals[i] = static_cast<char>('0' + rest % 10);
  append(out, {decimals.data(), decimals.size()});
}

void append_escaped(LogLine& out, std::string_view text, std::size_t most) {
  if (text.empty()) return append(out, "-");
  append_hex_escaped(out, text.substr(0, most), kInQuotes);
}

void append_word(LogLine& out, std::string_view text, std::size_t most) {
  if (text.empty()) return append(out, "-");
  append_hex_escaped(out, text.substr(0, most), kInWords);
}

void append_json_escaped(LogLine& out, std::string_view text, std::size_t most) {
  if (text.size() > most) {
    // A character has three continuation bytes at most.
    std::size_t end = most;
    while (end > 0 && most - end < 3 && is_continuation(text[end])) --end;
    text = text.substr(0, is_continuation(text[end]) ? most : end);
  }
  for (;;) {
    const std::size_t run = plain(text, kInQuotes);
    append(out, text.substr(0, run));
    if (run == text.size()) return;
    const Decoded next = decode_utf8(text.substr(run));
    append_json_character(out, next.code);
    text.remove_prefix(run + next.size);
  }
}

void append_host(LogLine& out, const net::SocketAddress& address) {
  switch (address.family()) {
    case AF_INET: {
      // By hand, as IPv6 is.
      std::array<unsigned char, 4> bytes;
      const auto in = native<sockaddr_in>(address);
      std::memcpy(bytes.data(), &in.sin_addr, bytes.size());
      for (std::size_t i = 0; i < bytes.size(); ++i) {
        if (i > 0) out.push_back('.');
        append_number(out, static_cast<unsigned>(bytes[i]));
      }
      return;
    }
    case AF_INET6: {
      const auto in6 = native<sockaddr_in6>(address);
      append_ipv6(out, in6.sin6_addr);
      if (in6.sin6_scope_id == 0) return;
      out.push_back('%');
      return append_number(out, in6.sin6_scope_id);
    }
    case AF_UNIX: append(out, "unix:"); return append_hex_escaped(out, address.host(), kInWords);
    default: return append(out, "-");
  }
}

void append_address(LogLine& out, const net::SocketAddress& address) {
  const int family = address.family();
  if (family == AF_INET6) out.push_back('[');
  append_host(out, address);
  if (family == AF_INET6) out.push_back(']');
  if (family != AF_INET && family != AF_INET6) return;
  out.push_back(':');
  append_number(out, address.port());
}

std::array<std::string_view, 2> without_userinfo(std::string_view url) noexcept {
  const bool origin_form = url.starts_with('/') && !url.starts_with("//");
  if (origin_form || url.find('@') == std::string_view::npos) return {url, {}};
  const std::size_t path_end = std::min(url.find_first_of("?#"), url.size());
  const std::size_t slashes = url.substr(0, path_end).find("//");
  const std::size_t host = slashes == std::string_view::npos ? 0 : slashes + 2;
  const std::size_t host_end = std::min(url.find('/', host), path_end);
  const std::size_t at = url.substr(0, host_end).rfind('@');
  if (at == std::string_view::npos || at < host) return {url, {}};
  return {url.substr(0, host), url.substr(at + 1)};
}

}  // namespace treadle::http::detail
