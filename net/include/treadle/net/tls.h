// TLS on OpenSSL 3: certificates, and connections that speak it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <treadle/timer.h>

namespace treadle::net {

// One certificate chain with its key, PEM.
struct TlsCertificate {
  std::string chain_file;   // the leaf first
  std::string key_file;     // empty: in chain_file
  std::string ocsp_file{};  // a DER OCSP response to staple; empty: none
};

enum class ClientAuth : std::uint8_t {
  none,     // not asked for
  request,  // asked for; verified when there is one
  require,  // the handshake fails without a verified one
};

struct TlsServerOptions {
  // Chosen by SNI among the names in the certificates; the first where none fits.
  std::vector<TlsCertificate> certificates{};
  ClientAuth client_auth = ClientAuth::none;
  std::string client_ca_file{};               // PEM; whom client certificates must come from
  std::vector<std::string> alpn{"http/1.1"};  // in order of preference
  bool tls12 = true;                          // TLS 1.2 beside 1.3
  Duration ticket_rotation = std::chrono::hours(12);
  bool ktls = false;  // hand encryption to the kernel where it can
};

}  // namespace treadle::net
