// Certificates made on the spot, and a TLS peer that is plain OpenSSL: the tests of TLS lean on
// nothing of what they test.
#pragma once

#include <gtest/gtest.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <treadle/net/conn.h>
#include <treadle/net/tls.h>
#include <treadle/net/tls_conn.h>

#include "support/goroutine.h"
#include "support/temporary_tree.h"

namespace treadle::test {

enum class KeyKind { ec, rsa, ed25519 };

struct CertificateOptions {
  std::vector<std::string> names{};  // DNS names
  std::string common_name{};
  KeyKind kind = KeyKind::ec;
  long not_before = -3600;  // seconds from now
  long not_after = 86400;
  bool authority = false;
  int key = 0;  // another number, another key of the kind
};

// A certificate with its key.
struct Issued {
  std::shared_ptr<X509> certificate;
  std::shared_ptr<EVP_PKEY> key;

  std::string pem() const;
  std::string key_pem() const;
  std::string key_pem_encrypted() const;
};

// Signs by `issuer`; without one, by itself. Throws std::runtime_error.
Issued issue(const CertificateOptions& options, const Issued* issuer = nullptr);

struct OcspOptions {
  int verdict = 0;          // V_OCSP_CERTSTATUS_GOOD
  long next_update = 3600;  // seconds from now; 0: none
};
// A signed OCSP response about `about`, in DER.
std::string ocsp_response(const Issued& about, const Issued& issuer,
                          const OcspOptions& options = {});

// An authority and a certificate of it for a.example and *.w.example, in files.
class TlsFiles {
 public:
  TlsFiles();

  // Writes certificate and key as `name`.pem, both in one file; returns its path.
  std::string write(const std::string& name, const Issued& what) const;
  std::string path(const std::string& name) const { return tree.path(name); }

  TemporaryTree tree;
  Issued ca;
  Issued site;
  std::string ca_file;
  std::string site_file;
};

// A server with the site's certificate; throws std::runtime_error with create()'s error.
net::TlsServer make_tls_server(net::TlsServerOptions options);

struct PeerOptions {
  std::string server_name = "a.example";
  std::string ca_file{};  // empty: nothing is verified
  int min_version = 0;
  int max_version = 0;
  std::string ciphers{};  // of TLS 1.2
  std::string alpn{};     // as on the wire, "\x08http/1.1"
  const Issued* certificate = nullptr;
  SSL_SESSION* session = nullptr;
  bool ask_for_ocsp = false;
};

inline constexpr int kTlsVersions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
inline PeerOptions at_version(int version) {
  return {.min_version = version, .max_version = version};
}

// OpenSSL's client over a Conn. Parks where the Conn parks.
class SslPeer {
 public:
  SslPeer(net::Conn& conn, const PeerOptions& options);
  ~SslPeer();
  SslPeer(const SslPeer&) = delete;
  SslPeer& operator=(const SslPeer&) = delete;

  // False when it failed; error() has the reason.
  bool handshake();
  // At least one byte; empty at the end, at a failure, or when the stream is truncated.
  std::string read_some();
  std::string read_exactly(std::size_t n);
  bool write(std::string_view text);
  bool end();  // close_notify; no FIN
  // Sends what OpenSSL has put out by calls made on ssl() directly.
  bool flush();

  SSL* ssl() noexcept { return ssl_.get(); }
  const std::string& error() const noexcept { return error_; }
  bool clean_end() const noexcept { return clean_end_; }
  bool resumed() const { return SSL_session_reused(ssl_.get()) == 1; }
  // The newest session that can be resumed; null when there was none.
  std::shared_ptr<SSL_SESSION> session() const { return session_; }
  std::string subject() const;  // of the server's certificate
  int key_type() const;         // EVP_PKEY_RSA, EVP_PKEY_EC

 private:
  bool run(const std::function<int()>& step);
  bool feed();

  net::Conn& conn_;
  std::shared_ptr<SSL_CTX> context_;
  std::shared_ptr<SSL> ssl_;
  std::shared_ptr<SSL_SESSION> session_;
  std::string error_;
  bool clean_end_ = false;
};

// Both ends of one TLS connection over a socket pair, after the handshake.
struct TlsPair {
  std::unique_ptr<net::Conn> client_raw;
  std::unique_ptr<net::TlsConn> server;
  std::unique_ptr<SslPeer> client;
  Result<void> server_result;
  bool client_ok = false;
};
TlsPair shake_hands(const net::TlsServer& server, const PeerOptions& options = {});
// The same over connections that exist.
TlsPair shake_hands(const net::TlsServer& server, std::unique_ptr<net::Conn> server_raw,
                    std::unique_ptr<net::Conn> client_raw, const PeerOptions& options = {});

}  // namespace treadle::test
