#include "proxy_protocol.h"

#include <netinet/in.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <span>
#include <utility>

#include "crc32c.h"
#include "ip_text.h"

namespace treadle::http {
namespace {

constexpr std::string_view kTextStart = "PROXY ";
constexpr std::size_t kShortestLine = 15;  // "PROXY UNKNOWN" and CR LF
constexpr std::size_t kLongestLine = 107;
constexpr std::string_view kSignature("\r\n\r\n\0\r\nQUIT\n", 12);
constexpr std::size_t kFixedPart = 16;

class ProxyCategory final : public std::error_category {
 public:
  constexpr ProxyCategory() noexcept = default;
  const char* name() const noexcept override { return "treadle-proxy"; }
  std::string message(int code) const override {
    switch (static_cast<ProxyErrc>(code)) {
      case ProxyErrc::missing: return "no PROXY header";
      case ProxyErrc::line_length: return "PROXY header: line longer than 107 bytes";
      case ProxyErrc::line_end: return "PROXY header: line does not end with CR LF";
      case ProxyErrc::protocol: return "PROXY header: neither TCP4, TCP6 nor UNKNOWN";
      case ProxyErrc::fields: return "PROXY header: not four fields with a space before each";
      case ProxyErrc::address: return "PROXY header: malformed address";
      case ProxyErrc::port: return "PROXY header: malformed port";
      case ProxyErrc::version: return "PROXY header: version is neither 1 nor 2";
      case ProxyErrc::command: return "PROXY header: unknown command";
      case ProxyErrc::family: return "PROXY header: unknown address family or transport";
      case ProxyErrc::length: return "PROXY header: too short for its addresses";
      case ProxyErrc::too_long: return "PROXY header: longer than 4096 bytes";
      case ProxyErrc::tlv: return "PROXY header: malformed extension";
      case ProxyErrc::checksum: return "PROXY header: wrong checksum";
    }
    return "PROXY header: error " + std::to_string(code);
  }
};

// Never destroyed, so that errors can be compared while static objects die.
union Immortal {
  constexpr Immortal() noexcept : category() {}
  ~Immortal() {}
  ProxyCategory category;
};
constinit Immortal immortal;

ProxyParse failed(std::error_code e) {
  ProxyParse p;
  p.status = ParseStatus::error;
  p.error = e;
  return p;
}

ProxyParse wanting(std::size_t more) {
  ProxyParse p;
  p.size = more;
  return p;
}

ProxyParse complete(std::size_t size, ProxyHeader header) {
  ProxyParse p;
  p.status = ParseStatus::complete;
  p.size = size;
  p.header = std::move(header);
  return p;
}

// Version 1: a line of text.

struct LineKind {
  std::string_view start;
  IpText addresses;
  std::size_t shortest_address;
};
constexpr std::array<LineKind, 2> kLineKinds = {
    {{"PROXY TCP4 ", IpText::v4, 7}, {"PROXY TCP6 ", IpText::v6, 2}}};
constexpr std::string_view kUnknown = "PROXY UNKNOWN";

// How many bytes must follow for sure, up to and with CR LF, where `fields` have come: of two
// addresses and two ports, each after a single space.
std::size_t least_rest(std::string_view fields, const LineKind& kind) noexcept {
  const std::array<std::size_t, 4> shortest = {kind.shortest_address, kind.shortest_address, 1, 1};
  const auto whole = static_cast<std::size_t>(std::ranges::count(fields, ' '));
  const std::size_t begun = fields.size() - (fields.rfind(' ') + 1);
  std::size_t rest = 2;
  if (whole < shortest.size() && begun < shortest[whole]) rest += shortest[whole] - begun;
  for (std::size_t i = whole + 1; i < shortest.size(); ++i) rest += 1 + shortest[i];
  return rest;
}

// What can be said about a line of which at most CR has come of its end.
ProxyParse begun_line(std::string_view line) {
  if (line.size() < kShortestLine) return wanting(kShortestLine - line.size());
  const auto* kind = std::ranges::find_if(
      kLineKinds, [line](const LineKind& k) { return line.starts_with(k.start); });
  const bool known = kind != kLineKinds.end();
  if (!known && !line.starts_with(kUnknown)) return failed(ProxyErrc::protocol);
  if (line.ends_with('\r')) return wanting(1);
  if (line.size() + 2 > kLongestLine) return failed(ProxyErrc::line_length);
  return wanting(known ? least_rest(line.substr(kind->start.size()), *kind) : 2);
}

// The line without its CR LF.
ProxyParse whole_line(std::string_view line) {
  ProxyHeader header;
  header.version = 1;
  const std::size_t size = line.size() + 2;
  if (line == kUnknown || (line.starts_with(kUnknown) && line[kUnknown.size()] == ' '))
    return complete(size, std::move(header));
  const auto* kind = std::ranges::find_if(
      kLineKinds, [line](const LineKind& k) { return line.starts_with(k.start); });
  if (kind == kLineKinds.end()) return failed(ProxyErrc::protocol);
  line.remove_prefix(kind->start.size());

  std::array<std::string_view, 4> fields;
  for (std::size_t i = 0; i < fields.size(); ++i) {
    const bool last = i + 1 == fields.size();
    const std::size_t space = line.find(' ');
    if (last != (space == std::string_view::npos)) return failed(ProxyErrc::fields);
    fields[i] = line.substr(0, space);
    if (!last) line.remove_prefix(space + 1);
  }
  const auto source_port = parse_port(fields[2]);
  const auto destination_port = parse_port(fields[3]);
  if (!source_port || !destination_port) return failed(ProxyErrc::port);
  const auto source = parse_ip(fields[0], *source_port, kind->addresses);
  const auto destination = parse_ip(fields[1], *destination_port, kind->addresses);
  if (!source || !destination) return failed(ProxyErrc::address);
  header.proxied = true;
  header.source = *source;
  header.destination = *destination;
  return complete(size, std::move(header));
}

ProxyParse parse_line(std::string_view bytes) {
  const std::string_view window = bytes.substr(0, kLongestLine);
  const std::size_t end = window.find_first_of("\r\n");
  if (end == std::string_view::npos) return begun_line(window);
  if (window[end] == '\n') return failed(ProxyErrc::line_end);
  if (end + 1 == kLongestLine) return failed(ProxyErrc::line_length);
  if (end + 1 == window.size()) return begun_line(window);
  if (window[end + 1] != '\n') return failed(ProxyErrc::line_end);
  return whole_line(window.substr(0, end));
}

// Version 2: numbers in network byte order.

class Bytes {
 public:
  explicit Bytes(std::string_view bytes) noexcept : rest_(bytes) {}
  std::size_t size() const noexcept { return rest_.size(); }
  std::string_view take(std::size_t n) noexcept {
    const std::string_view out = rest_.substr(0, n);
    rest_.remove_prefix(out.size());
    return out;
  }
  std::uint32_t number(std::size_t size) noexcept {
    std::uint32_t n = 0;
    for (const char c : take(size)) n = n << 8 | static_cast<unsigned char>(c);
    return n;
  }

 private:
  std::string_view rest_;
};

struct Tlv {
  unsigned type = 0;
  std::string_view value;
};
constexpr unsigned kCrc32c = 0x03;
constexpr unsigned kSsl = 0x20;
constexpr unsigned kSslVersion = 0x21;
constexpr unsigned kSslCipher = 0x23;

// The next one; nothing when what is left is none.
std::optional<Tlv> next_tlv(Bytes& from) noexcept {
  if (from.size() < 3) return std::nullopt;
  Tlv tlv;
  tlv.type = from.number(1);
  const std::size_t size = from.number(2);
  if (from.size() < size) return std::nullopt;
  tlv.value = from.take(size);
  return tlv;
}

bool read_ssl(std::string_view value, ProxyHeader& header) {
  Bytes from(value);
  if (from.size() < 5) return false;
  header.tls = (from.number(1) & 1) != 0;
  from.take(4);  // whether a client certificate was verified
  while (from.size() > 0) {
    const auto tlv = next_tlv(from);
    if (!tlv) return false;
    if (tlv->type == kSslVersion) header.tls_version = tlv->value;
    if (tlv->type == kSslCipher) header.tls_cipher = tlv->value;
  }
  return true;
}

// The checksum of the whole header, with zeros where itself stands.
std::uint32_t checksum_of(std::string_view whole, std::string_view own) noexcept {
  const auto at = static_cast<std::size_t>(own.data() - whole.data());
  constexpr std::string_view kZeros("\0\0\0\0", 4);
  Crc32c crc;
  crc.add(whole.substr(0, at));
  crc.add(kZeros);
  crc.add(whole.substr(at + own.size()));
  return crc.value();
}

// `whole` is the header, `from` what follows its addresses.
std::error_code read_tlvs(std::string_view whole, Bytes from, ProxyHeader& header) {
  while (from.size() > 0) {
    const auto tlv = next_tlv(from);
    if (!tlv) return ProxyErrc::tlv;
    if (tlv->type == kSsl && !read_ssl(tlv->value, header)) return ProxyErrc::tlv;
    if (tlv->type != kCrc32c) continue;
    if (tlv->value.size() != 4) return ProxyErrc::tlv;
    if (Bytes(tlv->value).number(4) != checksum_of(whole, tlv->value)) return ProxyErrc::checksum;
  }
  return {};
}

net::SocketAddress ipv4(std::string_view bytes, std::uint32_t port) noexcept {
  sockaddr_in in{};
  in.sin_family = AF_INET;
  in.sin_port = htons(static_cast<std::uint16_t>(port));
  bytes.copy(reinterpret_cast<char*>(&in.sin_addr), sizeof in.sin_addr);
  return net::SocketAddress::from_native(reinterpret_cast<const sockaddr*>(&in), sizeof in);
}

net::SocketAddress ipv6(std::string_view bytes, std::uint32_t port) noexcept {
  sockaddr_in6 in6{};
  in6.sin6_family = AF_INET6;
  in6.sin6_port = htons(static_cast<std::uint16_t>(port));
  bytes.copy(reinterpret_cast<char*>(&in6.sin6_addr), sizeof in6.sin6_addr);
  return net::SocketAddress::from_native(reinterpret_cast<const sockaddr*>(&in6), sizeof in6);
}

// A path ends at its first zero byte; a name in the abstract space begins with one, and ends before
// the zeros that fill the field up.
net::SocketAddress unix_path(std::string_view field) noexcept {
  const std::size_t used = field.front() == '\0' ? field.find_last_not_of('\0') + 1
                                                 : std::min(field.find('\0'), field.size());
  sockaddr_un un{};
  un.sun_family = AF_UNIX;
  field.copy(un.sun_path, used);
  return net::SocketAddress::from_native(
      reinterpret_cast<const sockaddr*>(&un),
      static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + used));
}

enum Family : std::uint8_t { kUnspecified, kIpv4, kIpv6, kUnix };
constexpr std::array<std::size_t, 4> kAddressSize = {0, 4, 16, 108};

void read_addresses(Bytes& from, Family family, ProxyHeader& header) noexcept {
  const std::string_view source = from.take(kAddressSize[family]);
  const std::string_view destination = from.take(kAddressSize[family]);
  if (family == kUnix) {
    header.source = unix_path(source);
    header.destination = unix_path(destination);
    return;
  }
  const auto make = family == kIpv4 ? ipv4 : ipv6;
  header.source = make(source, from.number(2));
  header.destination = make(destination, from.number(2));
}

ProxyParse parse_binary(std::string_view bytes) {
  if (bytes.size() < kFixedPart) return wanting(kFixedPart - bytes.size());
  Bytes fixed(bytes.substr(kSignature.size()));
  const unsigned version_and_command = fixed.number(1);
  const unsigned family_and_transport = fixed.number(1);
  const std::size_t size = kFixedPart + fixed.number(2);
  const unsigned command = version_and_command & 15;
  if (version_and_command >> 4 != 2) return failed(ProxyErrc::version);
  if (command > 1) return failed(ProxyErrc::command);
  if (size > kProxyLimit) return failed(ProxyErrc::too_long);
  const unsigned family = family_and_transport >> 4;
  const unsigned transport = family_and_transport & 15;
  ProxyHeader header;
  header.version = 2;
  // Of a header by which the balancer speaks for itself everything else is to be ignored.
  header.proxied = command == 1 && family != kUnspecified && transport != 0;
  if (command == 1) {
    if (family >= kAddressSize.size() || transport > 2) return failed(ProxyErrc::family);
    const std::size_t ports = family == kUnix ? 0 : 4;
    if (header.proxied && size < kFixedPart + 2 * kAddressSize[family] + ports)
      return failed(ProxyErrc::length);
  }
  if (bytes.size() < size) return wanting(size - bytes.size());
  if (header.proxied) {
    const std::string_view whole = bytes.substr(0, size);
    Bytes from(whole.substr(kFixedPart));
    read_addresses(from, static_cast<Family>(family), header);
    if (const std::error_code e = read_tlvs(whole, from, header)) return failed(e);
  }
  return complete(size, std::move(header));
}

// Whether `bytes` begin as `start` does, as far as they go.
bool agrees(std::string_view bytes, std::string_view start) noexcept {
  const std::size_t n = std::min(bytes.size(), start.size());
  return bytes.substr(0, n) == start.substr(0, n);
}

}  // namespace

const std::error_category& proxy_category() noexcept { return immortal.category; }

ProxyParse parse_proxy_header(std::string_view bytes) {
  if (bytes.empty()) return wanting(kShortestLine);
  if (agrees(bytes, kTextStart)) return parse_line(bytes);
  if (agrees(bytes, kSignature)) return parse_binary(bytes);
  return failed(ProxyErrc::missing);
}

Result<ProxyHeader> read_proxy_header(net::Conn& conn) {
  std::string bytes;
  for (;;) {
    ProxyParse parse = parse_proxy_header(bytes);
    if (parse.status == ParseStatus::error) return fail(parse.error);
    if (parse.status == ParseStatus::complete) return std::move(parse.header);
    const std::size_t have = bytes.size();
    bytes.resize(have + parse.size);
    const Result<std::size_t> n = conn.read(std::as_writable_bytes(std::span(bytes).subspan(have)));
    if (!n) return fail(n.error());
    if (*n == 0) return fail(treadle::Errc::eof);
    bytes.resize(have + *n);
  }
}

}  // namespace treadle::http
