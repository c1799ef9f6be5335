#include "ip_text.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <array>
#include <charconv>

#include "chars.h"

namespace treadle::http {
namespace {

template <class Native>
net::SocketAddress from(const Native& native) noexcept {
  return net::SocketAddress::from_native(reinterpret_cast<const sockaddr*>(&native), sizeof native);
}

}  // namespace

std::optional<net::SocketAddress> parse_ip(std::string_view text, std::uint16_t port,
                                           IpText kind) noexcept {
  // A zero byte would end the text early for inet_pton.
  std::array<char, INET6_ADDRSTRLEN> buffer{};
  if (text.size() >= buffer.size()) return std::nullopt;
  bool colon = false;
  for (const char c : text) {
    if (chars::hex_value(c) < 0 && c != '.' && c != ':') return std::nullopt;
    colon = colon || c == ':';
  }
  text.copy(buffer.data(), text.size());
  if (colon && kind != IpText::v4) {
    sockaddr_in6 in6{};
    in6.sin6_family = AF_INET6;
    in6.sin6_port = htons(port);
    if (::inet_pton(AF_INET6, buffer.data(), &in6.sin6_addr) == 1) return from(in6);
  }
  if (!colon && kind != IpText::v6) {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_port = htons(port);
    if (::inet_pton(AF_INET, buffer.data(), &in.sin_addr) == 1) return from(in);
  }
  return std::nullopt;
}

std::optional<std::uint16_t> parse_port(std::string_view text) noexcept {
  std::uint16_t port = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, port);
  if (error != std::errc{} || stop != end) return std::nullopt;
  if (text.size() > 1 && text.front() == '0') return std::nullopt;
  return port;
}

}  // namespace treadle::http
