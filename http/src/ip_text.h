// IP addresses and ports as other programs write them, strictly: no names, no zones, no octal.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include <treadle/net/addr.h>

namespace treadle::http {

// Which texts an address may be.
enum class IpText : std::uint8_t { v4, v6, either };

// "192.0.2.7" or "2001:db8::7", without brackets. ::ffff:192.0.2.7 becomes the IPv4 address.
std::optional<net::SocketAddress> parse_ip(std::string_view text, std::uint16_t port,
                                           IpText kind = IpText::either) noexcept;

// Decimal, 0 to 65535, without leading zeros.
std::optional<std::uint16_t> parse_port(std::string_view text) noexcept;

}  // namespace treadle::http
