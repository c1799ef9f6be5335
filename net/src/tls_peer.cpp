// What a TLS connection says about its peer and what was agreed on; and dialing.
#include <openssl/pem.h>

#include <mutex>

#include <treadle/net/tcp.h>
#include <treadle/net/tls_conn.h>

#include "tls_names.h"
#include "tls_stream.h"

namespace treadle::net {
namespace {

using tls::FreedBy;
using OutBio = std::unique_ptr<BIO, FreedBy<BIO_free_all>>;

// The peer's certificate where it was asked for and verified, else null. Belongs to the SSL.
X509* verified_certificate(const SSL* ssl) noexcept {
  if ((SSL_get_verify_mode(ssl) & SSL_VERIFY_PEER) == 0) return nullptr;
  return SSL_get_verify_result(ssl) == X509_V_OK ? SSL_get0_peer_certificate(ssl) : nullptr;
}

}  // namespace

std::string TlsConn::error_text() const {
  const std::lock_guard lock(mutex_);
  return stream_->error_text();
}

std::string_view TlsConn::version() const {
  const std::lock_guard lock(mutex_);
  return SSL_get_version(stream_->ssl());
}

std::string_view TlsConn::cipher() const {
  const std::lock_guard lock(mutex_);
  return SSL_get_cipher_name(stream_->ssl());
}

std::string TlsConn::alpn() const {
  const std::lock_guard lock(mutex_);
  const unsigned char* name = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(stream_->ssl(), &name, &size);
  return {reinterpret_cast<const char*>(name), size};
}

const std::string& TlsConn::server_name() const noexcept { return stream_->server_name(); }

bool TlsConn::resumed() const {
  const std::lock_guard lock(mutex_);
  return SSL_session_reused(stream_->ssl()) == 1;
}

bool TlsConn::name_matches(std::string_view host) const {
  return server_name().empty() || tls::normal_name(host) == server_name();
}

std::string TlsConn::peer_subject() const {
  const std::lock_guard lock(mutex_);
  X509* certificate = verified_certificate(stream_->ssl());
  const OutBio out(BIO_new(BIO_s_mem()));
  if (certificate == nullptr || !out) return {};
  tls::forget_errors();
  X509_NAME_print_ex(out.get(), X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253);
  return tls::contents(out.get());
}

std::string TlsConn::peer_certificate() const {
  const std::lock_guard lock(mutex_);
  X509* certificate = verified_certificate(stream_->ssl());
  const OutBio out(BIO_new(BIO_s_mem()));
  if (certificate == nullptr || !out) return {};
  tls::forget_errors();
  PEM_write_bio_X509(out.get(), certificate);
  return tls::contents(out.get());
}

Result<std::unique_ptr<TlsConn>> dial_tls(std::string_view address, const TlsClient& client) {
  auto raw = dial_tcp(address);
  if (!raw) return fail(raw.error());
  std::string_view host = address.substr(0, address.rfind(':'));
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  if (host.empty()) host = "localhost";  // where dial_tcp() takes ":443" to
  auto conn = std::make_unique<TlsConn>(std::move(*raw), client, host);
  if (auto r = conn->handshake(); !r) return fail(r.error());
  return conn;
}

}  // namespace treadle::net
