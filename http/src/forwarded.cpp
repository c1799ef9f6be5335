#include "forwarded.h"

#include <fmt/format.h>
#include <netinet/in.h>

#include <charconv>
#include <cstring>
#include <iterator>
#include <optional>

#include "field_list.h"
#include "ip_text.h"

namespace treadle::http {
namespace {

using AddressBytes = std::array<std::uint8_t, 16>;

// The first four count for IPv4. Zeros for what has no such bytes.
AddressBytes bytes_of(const net::SocketAddress& address) noexcept {
  AddressBytes bytes{};
  if (address.family() == AF_INET) {
    sockaddr_in in{};
    std::memcpy(&in, address.native(), sizeof in);
    std::memcpy(bytes.data(), &in.sin_addr, sizeof in.sin_addr);
  } else if (address.family() == AF_INET6) {
    sockaddr_in6 in6{};
    std::memcpy(&in6, address.native(), sizeof in6);
    std::memcpy(bytes.data(), &in6.sin6_addr, sizeof in6.sin6_addr);
  }
  return bytes;
}

// `address` with all bits zero beyond the first `bits`.
AddressBytes masked(AddressBytes address, unsigned bits) noexcept {
  for (unsigned i = 0; i < address.size(); ++i) {
    const unsigned before = i * 8;
    if (bits >= before + 8) continue;
    const unsigned kept = bits > before ? bits - before : 0;
    address[i] = static_cast<std::uint8_t>(address[i] & (0xff00U >> kept));
  }
  return address;
}

// One entry of X-Forwarded-For.
std::optional<net::SocketAddress> parse_hop(std::string_view text) noexcept {
  std::string_view host = text;
  std::string_view port = "0";
  if (text.starts_with('[')) {
    const std::size_t end = text.find(']');
    if (end == std::string_view::npos) return std::nullopt;
    host = text.substr(1, end - 1);
    const std::string_view rest = text.substr(end + 1);
    if (!rest.empty() && rest.front() != ':') return std::nullopt;
    if (!rest.empty()) port = rest.substr(1);
    const auto number = parse_port(port);
    return number ? parse_ip(host, *number, IpText::v6) : std::nullopt;
  }
  const std::size_t colon = text.find(':');
  const bool one_colon = colon != std::string_view::npos && text.rfind(':') == colon;
  if (!one_colon) return parse_ip(text, 0);
  const auto number = parse_port(text.substr(colon + 1));
  return number ? parse_ip(text.substr(0, colon), *number, IpText::v4) : std::nullopt;
}

// Calls `visit` with each member of the lists in the fields called `name`, last first and empty
// ones too, until it answers false.
template <class Visit>
void for_each_from_the_end(HeaderView fields, std::string_view name, Visit visit) {
  for (const HeaderField* field = fields.end(); field != fields.begin();) {
    --field;
    if (!equal_ignore_case(field->name, name)) continue;
    std::string_view rest = field->value;
    for (bool more = true; more;) {
      const std::size_t comma = rest.rfind(',');
      more = comma != std::string_view::npos;
      if (!visit(trim_ows(more ? rest.substr(comma + 1) : rest))) return;
      if (more) rest = rest.substr(0, comma);
    }
  }
}

}  // namespace

std::expected<TrustedProxies::Network, std::string> TrustedProxies::parse_network(
    const std::string& entry) {
  const auto bad = [&entry](std::string_view why) {
    return std::unexpected(fmt::format("trusted_proxies: \"{}\" {}", entry, why));
  };
  const std::string_view text = entry;
  const std::size_t slash = text.find('/');
  const auto address = parse_ip(text.substr(0, slash), 0);
  if (!address) return bad("is neither an address, a network (10.0.0.0/8) nor \"unix\"");
  // What parse_ip() took for an IPv4 address in IPv6's clothes has a prefix that counts from there.
  const bool mapped = address->family() == AF_INET && text.find(':') != std::string_view::npos;
  Network network;
  network.family = address->family();
  network.address = bytes_of(*address);
  const unsigned width = network.family == AF_INET ? 32 : 128;
  network.bits = width;
  if (slash != std::string_view::npos) {
    const std::string_view digits = text.substr(slash + 1);
    const char* end = digits.data() + digits.size();
    const auto [stop, error] = std::from_chars(digits.data(), end, network.bits);
    const unsigned least = mapped ? 96 : 0;
    if (error != std::errc{} || stop != end || network.bits < least || network.bits > width + least)
      return bad("has a prefix length out of range");
    network.bits -= least;
  }
  if (masked(network.address, network.bits) != network.address)
    return bad("has bits set beyond its prefix");
  return network;
}

std::expected<TrustedProxies, std::string> TrustedProxies::parse(
    const std::vector<std::string>& entries) {
  TrustedProxies trusted;
  for (const std::string& entry : entries) {
    if (entry == "unix") {
      trusted.unix_ = true;
      continue;
    }
    auto network = parse_network(entry);
    if (!network) return std::unexpected(std::move(network.error()));
    trusted.networks_.push_back(*network);
  }
  return trusted;
}

bool TrustedProxies::contains(const net::SocketAddress& address) const noexcept {
  const int family = address.family();
  if (family == AF_UNIX) return unix_;
  const AddressBytes bytes = bytes_of(address);
  for (const Network& network : networks_)
    if (network.family == family && masked(bytes, network.bits) == network.address) return true;
  return false;
}

Forwarded evaluate_forwarded(const TrustedProxies& trusted, const net::SocketAddress& peer,
                             Scheme scheme, HeaderView fields) noexcept {
  Forwarded result{.client = peer, .scheme = scheme, .trusted = trusted.contains(peer)};
  if (!result.trusted) return result;
  for_each_from_the_end(fields, "X-Forwarded-For", [&](std::string_view entry) {
    const auto hop = parse_hop(entry);
    if (!hop) return false;
    result.client = *hop;
    return trusted.contains(*hop);
  });
  for_each_from_the_end(fields, "X-Forwarded-Proto", [&](std::string_view entry) {
    if (equal_ignore_case(entry, "https")) result.scheme = Scheme::https;
    if (equal_ignore_case(entry, "http")) result.scheme = Scheme::http;
    return false;
  });
  return result;
}

}  // namespace treadle::http
