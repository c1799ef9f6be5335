// TLS on OpenSSL 3: certificates, and what a server or a client is configured with.
//
//   auto tls = net::TlsServer::create({.certificates = {{.chain_file = "site.pem"}}});
//   if (!tls) die(tls.error());                              // names the file and what is wrong
//   net::TlsConn conn(std::move(*listener.accept()), *tls);  // tls_conn.h
//   if (auto r = conn.handshake(); !r) ...
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <type_traits>
#include <vector>

#include <treadle/timer.h>

namespace treadle::net {

// What goes wrong with a TLS connection beside the errors of the connection below it.
enum class TlsErrc {
  plaintext = 1,  // the peer does not speak TLS; TlsConn::release_raw() still can answer it
  truncated,      // the stream ended without close_notify: bytes may be missing (RFC 8446 6.1)
  version,        // no version of TLS in common
  no_cipher,      // no cipher, group or signature algorithm in common
  no_protocol,    // no ALPN protocol in common
  certificate,    // the peer's certificate is missing, or was not verified
  alert,          // the peer gave up and said so; TlsConn::error_text() has its words
  protocol,       // what came is no proper TLS
};

// Never parks; any thread.
const std::error_category& tls_category() noexcept;
inline std::error_code make_error_code(TlsErrc e) noexcept {
  return {static_cast<int>(e), tls_category()};
}

// One certificate chain with its key, PEM.
struct TlsCertificate {
  std::string chain_file;   // the leaf first
  std::string key_file{};   // empty: in chain_file
  std::string ocsp_file{};  // a DER OCSP response to staple; empty: none
};

enum class ClientAuth : std::uint8_t {
  none,     // not asked for
  request,  // asked for; verified when there is one
  require,  // the handshake fails without a verified one
};

struct TlsServerOptions {
  // Chosen by SNI among the DNS names in the certificates (their common name where there are none;
  // a wildcard stands for one label); the first where none fits. Certificates with the same name
  // and keys of different kinds (RSA, ECDSA) serve it together.
  std::vector<TlsCertificate> certificates{};
  ClientAuth client_auth = ClientAuth::none;
  std::string client_ca_file{};               // PEM; whom client certificates must come from
  std::vector<std::string> alpn{"http/1.1"};  // in order of preference; empty: ALPN is ignored
  bool tls12 = true;                          // TLS 1.2 beside 1.3
  // How long a key encrypts session tickets; it decrypts them for as long again. Resumption keeps
  // what was verified, so this also bounds how long a client certificate is believed without being
  // shown again. Zero or less: no resumption.
  Duration ticket_rotation = std::chrono::hours(12);
  // Asks for encryption by the kernel. Not done by this version, whatever the kernel: create()
  // warns in the log, and encryption stays in the process.
  bool ktls = false;
};

namespace tls {
struct ServerConfig;
struct ClientConfig;
}  // namespace tls

// The certificates and settings of a server, loaded. A handle: copies share the same
// configuration, and a reload through one is seen by all. Any thread.
//
// The profile is Mozilla's "intermediate", version 5.8: TLS 1.2 and 1.3, forward secrecy and AEAD
// ciphers only, AES before ChaCha20 unless the client's order is the other. No compression,
// renegotiation or early data. Sessions are resumed by tickets, for the same host name and the same
// demands on client certificates only. Their keys live in this process: all copies share them,
// reloads keep them.
class TlsServer {
 public:
  // Reads the files. The error names the file and what is wrong with it. Certificates that have
  // expired, or are not valid yet, are accepted with a warning in the log.
  // Blocks the M on the disk, never the P.
  [[nodiscard]] static std::expected<TlsServer, std::string> create(TlsServerOptions options);

  // Reads the files anew; handshakes that begin later use what they hold now. On an error nothing
  // changes. Blocks the M on the disk, never the P; concurrent reloads wait for each other, which
  // parks the calling G.
  [[nodiscard]] std::expected<void, std::string> reload();
  // The same with new options. Another ticket_rotation also means new ticket keys.
  [[nodiscard]] std::expected<void, std::string> reload(TlsServerOptions options);

 private:
  friend class TlsConn;
  struct Impl;
  explicit TlsServer(std::shared_ptr<Impl> impl) noexcept;
  std::shared_ptr<const tls::ServerConfig> config() const;

  std::shared_ptr<Impl> impl_;
};

struct TlsClientOptions {
  std::string ca_file{};            // PEM; whom servers' certificates must come from. Empty: the
                                    // system's authorities
  std::string server_name{};        // for SNI and the check; empty: the host of the address
  std::vector<std::string> alpn{};  // offered, in order of preference; empty: none
  std::optional<TlsCertificate> certificate{};  // to show when asked for one
  bool verify = true;                           // false: any certificate will do. For tests only
};

// The settings of clients, loaded. A handle that is cheap to copy. Any thread.
class TlsClient {
 public:
  // Reads the files. The error names the file and what is wrong with it.
  // Blocks the M on the disk, never the P.
  [[nodiscard]] static std::expected<TlsClient, std::string> create(TlsClientOptions options = {});

 private:
  friend class TlsConn;
  explicit TlsClient(std::shared_ptr<const tls::ClientConfig> config) noexcept;

  std::shared_ptr<const tls::ClientConfig> config_;
};

}  // namespace treadle::net

template <>
struct std::is_error_code_enum<treadle::net::TlsErrc> : std::true_type {};
