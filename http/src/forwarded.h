// What proxies say about the client they forward for, and whom of them to believe.
#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include <treadle/http/header.h>
#include <treadle/net/addr.h>

namespace treadle::http {

// Addresses and networks whose word is taken. Constant once parsed, so any thread may ask.
class TrustedProxies {
 public:
  TrustedProxies() noexcept = default;  // nobody

  // Each entry is an address ("::1"), a network ("10.0.0.0/8") or "unix", which stands for every
  // peer on a Unix socket. The error is a sentence that names the entry: one that is none of these,
  // or a network with bits set beyond its prefix, which is more often a slip than meant.
  static std::expected<TrustedProxies, std::string> parse(const std::vector<std::string>& entries);

  // An IPv4 address mapped into IPv6 is the IPv4 address, here and in the entries: "::/0" trusts
  // no IPv4 peer.
  bool contains(const net::SocketAddress& address) const noexcept;
  bool empty() const noexcept { return networks_.empty() && !unix_; }

 private:
  struct Network {
    int family = 0;
    unsigned bits = 0;
    std::array<std::uint8_t, 16> address{};
  };
  static std::expected<Network, std::string> parse_network(const std::string& entry);

  std::vector<Network> networks_;
  bool unix_ = false;
};

enum class Scheme : std::uint8_t { http, https };

// Who is behind a request, as far as that can be believed.
struct Forwarded {
  // The client. Its port is 0 where a proxy named it without one.
  net::SocketAddress client;
  // How the client spoke to the first proxy, or to us.
  Scheme scheme = Scheme::http;
  // Whether the peer is a trusted proxy, so that its X-Request-Id may be believed, too.
  bool trusted = false;
};

// Judges X-Forwarded-For and X-Forwarded-Proto in `fields`. A peer that is not trusted is the
// client itself, whatever it says. Else the list of addresses, all fields of that name together, is
// walked from its end: each trusted hop's word is taken for the one before it, and the first that
// is not trusted is the client. An entry that is no address stops the walk, and the hop that named
// it counts as the client. Entries are addresses, with a port or without: "192.0.2.7",
// "192.0.2.7:80", "2001:db8::7", "[2001:db8::7]", "[2001:db8::7]:80".
// The scheme is the last that is named, by the nearest proxy, so that a client cannot add one to
// what a proxy appends to; anything but http and https leaves our own, `scheme`. X-Forwarded-Host
// is not believed at all: proxies hand the client's Host on. Pure; no allocation.
Forwarded evaluate_forwarded(const TrustedProxies& trusted, const net::SocketAddress& peer,
                             Scheme scheme, HeaderView fields) noexcept;

}  // namespace treadle::http
