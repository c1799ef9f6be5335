// Socket addresses.
#pragma once

#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include <treadle/result.h>

namespace treadle::net {

// An IPv4, IPv6 or Unix socket address. A value type. Each connection keeps some, so it is no
// larger than IPv6 asks for: the others share what they need beyond that.
class SocketAddress {
 public:
  SocketAddress() noexcept = default;  // unspecified
  // Copies only: what is moved from would have a size and no bytes.
  SocketAddress(const SocketAddress&) noexcept = default;
  SocketAddress& operator=(const SocketAddress&) noexcept = default;
  ~SocketAddress() = default;

  // Parses "1.2.3.4:80", "[::1]:80", ":80" (every address; IPv6 with IPv4 where the system has
  // it) or "unix:/path". Names are not looked up: dial_tcp() does that. `invalid` when the text is
  // none of these or the port is not in 0 to 65535. Never parks.
  static Result<SocketAddress> parse(std::string_view text);
  // What the system reported. An IPv4 address mapped into IPv6 (::ffff:1.2.3.4) becomes the IPv4
  // address; one that does not fit, or for
  // which there is no memory, is unspecified. Never parks.
  static SocketAddress from_native(const sockaddr* address, socklen_t length) noexcept;

  const sockaddr* native() const noexcept { return reinterpret_cast<const sockaddr*>(bytes()); }
  socklen_t native_size() const noexcept { return size_; }
  int family() const noexcept { return size_ ? native()->sa_family : AF_UNSPEC; }
  std::uint16_t port() const noexcept;  // 0 for a Unix address
  // The address without the port: "1.2.3.4", "::1"; the path of a Unix address.
  std::string host() const;
  // What parse() takes: "1.2.3.4:80", "[::1]:80", "unix:/path".
  std::string to_string() const;

  friend bool operator==(const SocketAddress& a, const SocketAddress& b) noexcept;

 private:
  using Large = std::array<std::byte, 128>;
  const std::byte* bytes() const noexcept { return large_ ? large_->data() : small_.data(); }

  alignas(8) std::array<std::byte, 28> small_{};  // as large as sockaddr_in6
  socklen_t size_ = 0;
  std::shared_ptr<const Large> large_;  // in place of small_
};

}  // namespace treadle::net
