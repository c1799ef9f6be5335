// The PROXY protocol, versions 1 and 2: what a load balancer says about its client before anything
// else (proxy-protocol.txt of HAProxy, sections 2.1 and 2.2).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>

#include <treadle/net/addr.h>
#include <treadle/net/conn.h>
#include <treadle/result.h>

#include "parser.h"

namespace treadle::http {

// Why a header is refused.
enum class ProxyErrc {
  missing = 1,  // it does not begin as one
  line_length,
  line_end,
  protocol,
  fields,
  address,
  port,
  version,
  command,
  family,
  length,
  too_long,
  tlv,
  checksum,
};
const std::error_category& proxy_category() noexcept;
inline std::error_code make_error_code(ProxyErrc e) noexcept {
  return {static_cast<int>(e), proxy_category()};
}

struct ProxyHeader {
  int version = 0;
  // False when the balancer speaks for itself (LOCAL, a health check) or does not know (UNKNOWN,
  // UNSPEC): then the connection's own addresses hold, and nothing below is set.
  bool proxied = false;
  net::SocketAddress source;       // the client
  net::SocketAddress destination;  // what it connected to
  // Whether the client spoke TLS with the balancer, and how, where that says so (version 2). The
  // texts are the balancer's, of whatever bytes.
  bool tls = false;
  std::string tls_version;
  std::string tls_cipher;
};

struct ProxyParse {
  ParseStatus status = ParseStatus::need_more;
  // complete: the header's bytes. need_more: so many more belong to it for sure, at least one.
  std::size_t size = 0;
  std::error_code error;  // a ProxyErrc
  ProxyHeader header;
};

// A longer version 2 header, addresses and all, is refused.
inline constexpr std::size_t kProxyLimit = 4096;

// Reads the header that `bytes` begin with. Strict: what deviates is an error as soon as that can
// be seen; extensions of version 2 that it does not know are skipped, and a checksum among them is
// verified. UDP over version 2 counts as TCP does: it is how HTTP/3 is handed on. Pure.
ProxyParse parse_proxy_header(std::string_view bytes);

// Reads a header and not a byte more. The caller has set the read deadline.
// Parks the calling G. Errors: a ProxyErrc; eof when the peer ends the stream before (a mere look
// whether the port is open does that, too); those of Conn::read().
[[nodiscard]] Result<ProxyHeader> read_proxy_header(net::Conn& conn);

}  // namespace treadle::http

template <>
struct std::is_error_code_enum<treadle::http::ProxyErrc> : std::true_type {};
