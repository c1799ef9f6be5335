// What OpenSSL calls during a handshake. No exception may leave these functions, and none of them
// parks.
#include <algorithm>
#include <new>

#include "tls_config.h"
#include "tls_names.h"
#include "tls_stream.h"

namespace treadle::net::tls {
namespace {

const ServerConfig& config_of(void* argument) noexcept {
  return *static_cast<const ServerConfig*>(argument);
}

std::string_view view(const unsigned char* data, std::size_t size) noexcept {
  return {reinterpret_cast<const char*>(data), size};
}

// Chooses the certificates by the name that the client asks for. Here, and not in the callback that
// is named after SNI: that one comes after OpenSSL has decided whether to resume a session, too
// late to say which sessions may be.
int on_client_hello(SSL* ssl, int* alert, void* argument) noexcept try {
  const ServerConfig& config = config_of(argument);
  const unsigned char* data = nullptr;
  std::size_t size = 0;
  std::string host;
  if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &data, &size) == 1)
    host = name_in_extension(view(data, size));
  const Site site = config.site_for(host);
  if (SSL_set_SSL_CTX(ssl, site.context) == nullptr ||
      SSL_set_session_id_context(ssl, site.scope.data(), site.scope.size()) != 1) {
    *alert = SSL_AD_INTERNAL_ERROR;
    return SSL_CLIENT_HELLO_ERROR;
  }
  TlsStream::of(ssl).set_server_name(std::move(host));
  return SSL_CLIENT_HELLO_SUCCESS;
} catch (const std::bad_alloc&) {
  *alert = SSL_AD_INTERNAL_ERROR;
  return SSL_CLIENT_HELLO_ERROR;
}

// The choice has been made; this tells the client that its name was understood (RFC 6066 3).
int on_server_name(SSL* ssl, int* /*alert*/, void* /*argument*/) noexcept {
  return TlsStream::of(ssl).server_name().empty() ? SSL_TLSEXT_ERR_NOACK : SSL_TLSEXT_ERR_OK;
}

int on_alpn(SSL* /*ssl*/, const unsigned char** chosen, unsigned char* chosen_size,
            const unsigned char* offered, unsigned offered_size, void* argument) noexcept {
  const std::string_view choice =
      choose_alpn(config_of(argument).alpn, view(offered, offered_size));
  if (choice.empty()) return SSL_TLSEXT_ERR_ALERT_FATAL;  // RFC 7301 3.2
  *chosen = reinterpret_cast<const unsigned char*>(choice.data());
  *chosen_size = static_cast<unsigned char>(choice.size());
  return SSL_TLSEXT_ERR_OK;
}

// Staples the response for the certificate that was chosen. One that is out of date would do more
// harm than none.
int on_status_request(SSL* ssl, void* argument) noexcept {
  const X509* shown = SSL_get_certificate(ssl);
  const auto& all = config_of(argument).certificates;
  const auto c = std::ranges::find_if(all, [shown](const Certificate& one) {
    return shown != nullptr && X509_cmp(one.leaf.get(), shown) == 0;
  });
  if (c == all.end() || c->ocsp.empty()) return SSL_TLSEXT_ERR_NOACK;
  if (c->ocsp_until != 0 && c->ocsp_until < std::time(nullptr)) return SSL_TLSEXT_ERR_NOACK;
  void* copy = OPENSSL_memdup(c->ocsp.data(), c->ocsp.size());  // the SSL frees it
  if (copy == nullptr) return SSL_TLSEXT_ERR_NOACK;
  SSL_set_tlsext_status_ocsp_resp(ssl, copy, static_cast<long>(c->ocsp.size()));
  return SSL_TLSEXT_ERR_OK;
}

int on_ticket(SSL* ssl, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher,
              EVP_MAC_CTX* mac, int encrypt) noexcept {
  TicketKeys& keys = *TlsStream::of(ssl).server_config().tickets;
  return use_ticket_key(keys, ssl, name, iv, cipher, mac, encrypt);
}

}  // namespace

void set_callbacks(SSL_CTX* context, const ServerConfig& config) {
  // OpenSSL hands the argument back as it is; it is only read.
  auto* argument = const_cast<ServerConfig*>(&config);
  SSL_CTX_set_client_hello_cb(context, on_client_hello, argument);
  SSL_CTX_set_tlsext_servername_callback(context, on_server_name);
  if (!config.alpn.empty()) SSL_CTX_set_alpn_select_cb(context, on_alpn, argument);
  SSL_CTX_set_tlsext_status_cb(context, on_status_request);
  SSL_CTX_set_tlsext_status_arg(context, argument);
  SSL_CTX_set_tlsext_ticket_key_evp_cb(context, on_ticket);
}

}  // namespace treadle::net::tls
