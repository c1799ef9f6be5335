// The handles over loaded configurations.
#include <mutex>
#include <utility>

#include <treadle/log.h>
#include <treadle/mutex.h>
#include <treadle/net/tls.h>

#include "tls_config.h"

namespace treadle::net {

using tls::ServerConfig;
using tls::TicketKeys;

struct TlsServer::Impl {
  Mutex reloading;           // one reload at a time, disk and all; parks
  TlsServerOptions options;  // guarded by it
  mutable std::mutex mutex;  // guards what follows; held over no call that parks
  std::shared_ptr<const ServerConfig> current;

  std::expected<void, std::string> load_locked(TlsServerOptions wanted);
};

// `reloading` is held. Nothing changes unless all went well.
std::expected<void, std::string> TlsServer::Impl::load_locked(TlsServerOptions wanted) {
  std::shared_ptr<TicketKeys> tickets;
  if (current && current->tickets->period() == wanted.ticket_rotation) tickets = current->tickets;
  if (!tickets) tickets = std::make_shared<TicketKeys>(wanted.ticket_rotation);
  auto loaded = ServerConfig::load(wanted, std::move(tickets));
  if (!loaded) return std::unexpected(std::move(loaded.error()));
  if (wanted.ktls) log::warn("tls: ktls is not supported; encryption stays in the process");
  options = std::move(wanted);
  const std::lock_guard lock(mutex);
  current = std::move(*loaded);
  return {};
}

TlsServer::TlsServer(std::shared_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}

std::expected<TlsServer, std::string> TlsServer::create(TlsServerOptions options) {
  auto impl = std::make_shared<Impl>();
  if (auto r = impl->load_locked(std::move(options)); !r) return std::unexpected(r.error());
  return TlsServer(std::move(impl));
}

std::expected<void, std::string> TlsServer::reload() {
  const std::lock_guard turn(impl_->reloading);
  return impl_->load_locked(impl_->options);
}

std::expected<void, std::string> TlsServer::reload(TlsServerOptions options) {
  const std::lock_guard turn(impl_->reloading);
  return impl_->load_locked(std::move(options));
}

std::shared_ptr<const ServerConfig> TlsServer::config() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->current;
}

TlsClient::TlsClient(std::shared_ptr<const tls::ClientConfig> config) noexcept
    : config_(std::move(config)) {}

std::expected<TlsClient, std::string> TlsClient::create(TlsClientOptions options) {
  auto context = tls::make_context(TLS_client_method());
  if (!context) return std::unexpected(context.error());
  SSL_CTX* ctx = context->get();
  if (options.ca_file.empty()) {
    SSL_CTX_set_default_verify_paths(ctx);
  } else {
    const auto authorities = tls::load_certificates(options.ca_file);
    if (!authorities) return std::unexpected(authorities.error());
    for (const tls::X509Ptr& a : *authorities)
      X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), a.get());
  }
  SSL_CTX_set_verify(ctx, options.verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr);
  const auto alpn = tls::alpn_to_wire(options.alpn);
  if (!alpn) return std::unexpected(alpn.error());
  if (!alpn->empty())
    SSL_CTX_set_alpn_protos(ctx, reinterpret_cast<const unsigned char*>(alpn->data()),
                            static_cast<unsigned>(alpn->size()));
  if (options.certificate) {
    const auto certificate = tls::load_certificate(*options.certificate);
    if (!certificate) return std::unexpected(certificate.error());
    if (auto r = tls::use_certificate(ctx, *certificate); !r) return std::unexpected(r.error());
  }
  auto config = std::make_shared<tls::ClientConfig>();
  config->context = std::move(*context);
  config->server_name = std::move(options.server_name);
  config->verify = options.verify;
  return TlsClient(std::move(config));
}

}  // namespace treadle::net
