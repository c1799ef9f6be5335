// Socket addresses: text to bytes and back.
#include <treadle/net/addr.h>

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <limits>
#include <new>
#include <utility>

namespace treadle::net {
namespace {

constexpr std::string_view kUnixPrefix = "unix:";

template <class T>
T read_as(const std::byte* from) noexcept {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

// Digits only: no sign, no space, no service name.
Result<std::uint16_t> parse_port(std::string_view text) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || text.size() > 5 || error != std::errc{} || end != text.data() + text.size() ||
      value > std::numeric_limits<std::uint16_t>::max())
    return fail(Errc::invalid);
  return static_cast<std::uint16_t>(value);
}

Result<SocketAddress> parse_ipv4(std::string_view host, std::uint16_t port) {
  sockaddr_in in{};
  in.sin_family = AF_INET;
  in.sin_port = htons(port);
  if (inet_pton(AF_INET, std::string(host).c_str(), &in.sin_addr) != 1) return fail(Errc::invalid);
  return SocketAddress::from_native(reinterpret_cast<const sockaddr*>(&in), sizeof in);
}

// `host` may carry a zone: "fe80::1%eth0" or "fe80::1%2".
Result<SocketAddress> parse_ipv6(std::string_view host, std::uint16_t port) {
  sockaddr_in6 in{};
  in.sin6_family = AF_INET6;
  in.sin6_port = htons(port);
  const std::size_t percent = host.find('%');
  if (percent != std::string_view::npos) {
    const std::string zone(host.substr(percent + 1));
    unsigned index = 0;
    const auto [end, error] = std::from_chars(zone.data(), zone.data() + zone.size(), index);
    if (error != std::errc{} || end != zone.data() + zone.size())
      index = if_nametoindex(zone.c_str());
    if (index == 0) return fail(Errc::invalid);
    in.sin6_scope_id = index;
  }
  if (inet_pton(AF_INET6, std::string(host.substr(0, percent)).c_str(), &in.sin6_addr) != 1)
    return fail(Errc::invalid);
  return SocketAddress::from_native(reinterpret_cast<const sockaddr*>(&in), sizeof in);
}

// "@name" is a name in Linux's abstract space, which begins with a zero byte.
Result<SocketAddress> parse_unix(std::string_view path) {
  sockaddr_un un{};
  un.sun_family = AF_UNIX;
  const bool abstract = path.starts_with('@');
  const std::size_t room = sizeof un.sun_path - (abstract ? 0 : 1);
  if (path.empty() || path == "@" || path.size() > room) return fail(Errc::invalid);
  std::memcpy(un.sun_path, path.data(), path.size());
  if (abstract) un.sun_path[0] = '\0';
  const std::size_t length = offsetof(sockaddr_un, sun_path) + path.size() + (abstract ? 0 : 1);
  return SocketAddress::from_native(reinterpret_cast<const sockaddr*>(&un),
                                    static_cast<socklen_t>(length));
}

}  // namespace

Result<SocketAddress> SocketAddress::parse(std::string_view text) {
  // A zero byte would end the text early for the system's functions.
  if (text.find('\0') != std::string_view::npos) return fail(Errc::invalid);
  if (text.starts_with(kUnixPrefix)) return parse_unix(text.substr(kUnixPrefix.size()));
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return fail(Errc::invalid);
  const std::string_view host = text.substr(0, colon);
  const auto port = parse_port(text.substr(colon + 1));
  if (!port) return fail(port.error());
  if (host.empty()) return parse_ipv6("::", *port);
  if (host.starts_with('[') && host.ends_with(']'))
    return parse_ipv6(host.substr(1, host.size() - 2), *port);
  return parse_ipv4(host, *port);
}

SocketAddress SocketAddress::from_native(const sockaddr* address, socklen_t length) noexcept {
  SocketAddress out;
  if (address == nullptr || length < sizeof(sa_family_t) || length > sizeof(Large)) return out;
  if (length <= out.small_.size()) {
    std::memcpy(out.small_.data(), address, length);
  } else {
    try {
      auto large = std::make_shared<Large>();
      std::memcpy(large->data(), address, length);
      out.large_ = std::move(large);
    } catch (const std::bad_alloc&) {
      return out;
    }
  }
  out.size_ = length;
  if (out.family() != AF_INET6 || length < sizeof(sockaddr_in6)) return out;

  // A socket for both families reports IPv4 peers as ::ffff:1.2.3.4. They are IPv4 addresses to
  // everybody else: logs, rules, a second dial.
  const auto in6 = read_as<sockaddr_in6>(out.bytes());
  if (!IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr)) return out;
  sockaddr_in in{};
  in.sin_family = AF_INET;
  in.sin_port = in6.sin6_port;
  std::memcpy(&in.sin_addr, &in6.sin6_addr.s6_addr[12], sizeof in.sin_addr);
  out.large_.reset();
  out.small_.fill(std::byte{0});
  std::memcpy(out.small_.data(), &in, sizeof in);
  out.size_ = sizeof in;
  return out;
}

std::uint16_t SocketAddress::port() const noexcept {
  switch (family()) {
    case AF_INET: return ntohs(read_as<sockaddr_in>(bytes()).sin_port);
    case AF_INET6: return ntohs(read_as<sockaddr_in6>(bytes()).sin6_port);
    default: return 0;
  }
}

std::string SocketAddress::host() const {
  char text[INET6_ADDRSTRLEN] = "";
  switch (family()) {
    case AF_INET: {
      const auto in = read_as<sockaddr_in>(bytes());
      inet_ntop(AF_INET, &in.sin_addr, text, sizeof text);
      return text;
    }
    case AF_INET6: {
      const auto in = read_as<sockaddr_in6>(bytes());
      inet_ntop(AF_INET6, &in.sin6_addr, text, sizeof text);
      std::string out = text;
      if (in.sin6_scope_id != 0) out += '%' + std::to_string(in.sin6_scope_id);
      return out;
    }
    case AF_UNIX: {
      const auto* path = reinterpret_cast<const char*>(bytes());
      std::string out(path + offsetof(sockaddr_un, sun_path), path + size_);
      if (out.starts_with('\0')) return '@' + out.substr(1);
      return out.substr(0, out.find('\0'));
    }
    default: return {};
  }
}

std::string SocketAddress::to_string() const {
  switch (family()) {
    case AF_INET: return host() + ':' + std::to_string(port());
    case AF_INET6: return '[' + host() + "]:" + std::to_string(port());
    case AF_UNIX: return std::string(kUnixPrefix) + host();
    default: return {};
  }
}

bool operator==(const SocketAddress& a, const SocketAddress& b) noexcept {
  if (a.family() != b.family() || a.port() != b.port()) return false;
  switch (a.family()) {
    case AF_INET:
      return read_as<sockaddr_in>(a.bytes()).sin_addr.s_addr ==
             read_as<sockaddr_in>(b.bytes()).sin_addr.s_addr;
    case AF_INET6: {
      const auto in_a = read_as<sockaddr_in6>(a.bytes());
      const auto in_b = read_as<sockaddr_in6>(b.bytes());
      return in_a.sin6_scope_id == in_b.sin6_scope_id &&
             std::memcmp(&in_a.sin6_addr, &in_b.sin6_addr, sizeof in_a.sin6_addr) == 0;
    }
    default: return a.size_ == b.size_ && std::equal(a.bytes(), a.bytes() + a.size_, b.bytes());
  }
}

}  // namespace treadle::net
