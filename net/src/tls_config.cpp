// Building OpenSSL's contexts.
#include "tls_config.h"

#include <openssl/sha.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <utility>

#include "tls_names.h"

namespace treadle::net::tls {
namespace {

// Mozilla's "intermediate" profile, version 5.8. All are strong, so the profile leaves the choice
// to clients, which know whether they have AES in hardware. Scanners want to see an order, though;
// so ours counts, except for clients that put ChaCha20 first: those have no AES. It comes to the
// same.
constexpr char kCiphers12[] =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
constexpr char kCiphers13[] =
    "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
constexpr char kGroups[] = "X25519MLKEM768:X25519:prime256v1:secp384r1";
constexpr char kGroupsBefore35[] = "X25519:prime256v1:secp384r1";  // OpenSSL 3.0 to 3.4

std::unexpected<std::string> openssl_failed(const char* what) {
  return std::unexpected(std::string("OpenSSL cannot ") + what + ": " + take_error().text);
}

int key_kind(const Certificate& c) noexcept { return EVP_PKEY_get_base_id(c.key.get()); }

bool has_name(const Certificate& c, const std::string& name) noexcept {
  return std::ranges::find(c.names, name) != c.names.end();
}

// Which certificates serve a name together: of each kind of key the first that has the name, or for
// a plain name a wildcard that fits.
std::vector<std::size_t> certificates_for(const std::vector<Certificate>& all,
                                          const std::string& name) {
  std::vector<std::size_t> out;
  const auto add = [&](const std::string& wanted) {
    for (std::size_t i = 0; i < all.size(); ++i) {
      const auto same_kind = [&](std::size_t k) { return key_kind(all[k]) == key_kind(all[i]); };
      if (has_name(all[i], wanted) && std::ranges::none_of(out, same_kind)) out.push_back(i);
    }
  };
  add(name);
  if (!name.starts_with("*."))
    if (const auto parent = parent_name(name); !parent.empty()) add("*." + std::string(parent));
  std::ranges::sort(out);
  return out;
}

// For clients that name nothing we know: the first certificate, and beside it those of other kinds
// that serve its first name, too.
std::vector<std::size_t> certificates_for_strangers(const std::vector<Certificate>& all) {
  std::vector<std::size_t> out{0};
  if (all[0].names.empty()) return out;
  for (const std::size_t i : certificates_for(all, all[0].names.front()))
    if (key_kind(all[i]) != key_kind(all[0])) out.push_back(i);
  return out;
}

Loaded<void> demand_certificates(SSL_CTX* context, const std::vector<X509Ptr>& authorities,
                                 ClientAuth auth) {
  X509_STORE* store = SSL_CTX_get_cert_store(context);
  forget_errors();
  for (const X509Ptr& authority : authorities)
    if (X509_STORE_add_cert(store, authority.get()) != 1 ||
        SSL_CTX_add_client_CA(context, authority.get()) != 1)
      return openssl_failed("use a client authority");
  SSL_CTX_set_verify(context,
                     auth == ClientAuth::require ? SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT
                                                 : SSL_VERIFY_PEER,
                     nullptr);
  return {};
}

void set_sessions(SSL_CTX* context, Duration period) {
  using std::chrono::seconds;
  // Sessions live in tickets only: nothing to bound, to share or to lock.
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  if (period <= Duration::zero()) {
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
    SSL_CTX_set_num_tickets(context, 0);
    return;
  }
  constexpr seconds kLongest = std::chrono::hours(24 * 7);  // RFC 8446 4.6.1
  const auto lifetime = std::clamp(std::chrono::ceil<seconds>(period), seconds(1), kLongest);
  SSL_CTX_set_timeout(context, static_cast<long>(lifetime.count()));
}

Loaded<ContextPtr> make_server_context(const ServerConfig& config, const TlsServerOptions& options,
                                       const std::vector<X509Ptr>& authorities,
                                       const std::vector<std::size_t>& certificates) {
  auto context = make_context(TLS_server_method());
  if (!context) return context;
  SSL_CTX* ctx = context->get();
  if (!options.tls12) SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
  set_sessions(ctx, options.ticket_rotation);
  for (const std::size_t i : certificates)
    if (auto r = use_certificate(ctx, config.certificates[i]); !r)
      return std::unexpected(r.error());
  if (options.client_auth != ClientAuth::none)
    if (auto r = demand_certificates(ctx, authorities, options.client_auth); !r)
      return std::unexpected(r.error());
  set_callbacks(ctx, config);
  return context;
}

std::array<unsigned char, 32> digest_demands(ClientAuth auth,
                                             const std::vector<X509Ptr>& authorities) {
  std::string text = "treadle " + std::to_string(static_cast<int>(auth));
  for (const X509Ptr& authority : authorities) {
    std::array<unsigned char, 32> one{};
    X509_digest(authority.get(), EVP_sha256(), one.data(), nullptr);
    text.append(one.begin(), one.end());
  }
  std::array<unsigned char, 32> out{};
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), out.data());
  return out;
}

SessionScope scope_of(const ServerConfig& config, const std::string& host) {
  std::string text(config.demands.begin(), config.demands.end());
  text += host;
  SessionScope scope{};
  static_assert(scope.size() == SHA256_DIGEST_LENGTH && scope.size() == SSL_MAX_SID_CTX_LENGTH);
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), scope.data());
  return scope;
}

Loaded<void> build_contexts(ServerConfig& config, const TlsServerOptions& options,
                            const std::vector<X509Ptr>& authorities) {
  std::vector<std::vector<std::size_t>> built;  // what contexts[i] shows
  const auto context = [&](const std::vector<std::size_t>& shows) -> Loaded<SSL_CTX*> {
    const auto same = std::ranges::find(built, shows);
    if (same != built.end()) return config.contexts[same - built.begin()].get();
    auto made = make_server_context(config, options, authorities, shows);
    if (!made) return std::unexpected(made.error());
    built.push_back(shows);
    config.contexts.push_back(std::move(*made));
    return config.contexts.back().get();
  };
  if (auto r = context(certificates_for_strangers(config.certificates)); !r)
    return std::unexpected(r.error());
  config.nameless = {config.contexts.front().get(), scope_of(config, {})};
  for (const Certificate& c : config.certificates) {
    for (const std::string& name : c.names) {
      const auto made = context(certificates_for(config.certificates, name));
      if (!made) return std::unexpected(made.error());
      if (name.starts_with("*."))
        config.wildcard.emplace(name.substr(2), *made);
      else
        config.exact.emplace(name, Site{*made, scope_of(config, name)});
    }
  }
  return {};
}

}  // namespace

Loaded<ContextPtr> make_context(const SSL_METHOD* method) {
  start_openssl();
  forget_errors();
  ContextPtr context(SSL_CTX_new(method));
  if (!context) return openssl_failed("make a context");
  SSL_CTX* ctx = context.get();
  SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                               SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
  // An idle connection keeps none of OpenSSL's record buffers.
  SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_max_early_data(ctx, 0);
  SSL_CTX_set_security_level(ctx, 2);  // keys of less than 112 bits of strength are refused
  if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
      SSL_CTX_set_cipher_list(ctx, kCiphers12) != 1 ||
      SSL_CTX_set_ciphersuites(ctx, kCiphers13) != 1 ||
      (SSL_CTX_set1_groups_list(ctx, kGroups) != 1 &&
       SSL_CTX_set1_groups_list(ctx, kGroupsBefore35) != 1))
    return openssl_failed("set up the profile");
  forget_errors();
  return context;
}

Loaded<std::string> alpn_to_wire(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names) {
    if (name.empty() || name.size() > std::numeric_limits<unsigned char>::max())
      return std::unexpected("an ALPN name has 1 to 255 bytes, which \"" + name + "\" has not");
    out += static_cast<char>(name.size());
    out += name;
  }
  return out;
}

std::string_view choose_alpn(const std::vector<std::string>& ours, std::string_view offered) {
  for (const std::string& name : ours) {
    for (std::string_view rest = offered; !rest.empty();) {
      const std::size_t size = static_cast<unsigned char>(rest.front());
      if (rest.size() <= size) break;
      if (rest.substr(1, size) == name) return rest.substr(1, size);
      rest.remove_prefix(1 + size);
    }
  }
  return {};
}

// The digests of names that are known beforehand are made once.
Site ServerConfig::site_for(const std::string& host) const {
  if (host.empty()) return nameless;
  if (const auto found = exact.find(host); found != exact.end()) return found->second;
  const auto found = wildcard.find(std::string(parent_name(host)));
  SSL_CTX* context = found != wildcard.end() ? found->second : contexts.front().get();
  return {context, scope_of(*this, host)};
}

Loaded<std::shared_ptr<const ServerConfig>> ServerConfig::load(
    const TlsServerOptions& options, std::shared_ptr<TicketKeys> tickets) {
  start_openssl();
  auto config = std::make_shared<ServerConfig>();
  if (options.certificates.empty()) return std::unexpected("TLS needs a certificate");
  for (const TlsCertificate& files : options.certificates) {
    auto certificate = load_certificate(files);
    if (!certificate) return std::unexpected(certificate.error());
    config->certificates.push_back(std::move(*certificate));
  }
  if (auto wire = alpn_to_wire(options.alpn); !wire) return std::unexpected(wire.error());
  config->alpn = options.alpn;
  std::vector<X509Ptr> authorities;
  if (options.client_auth != ClientAuth::none) {
    if (options.client_ca_file.empty())
      return std::unexpected("client certificates need client_ca_file, to be verified by");
    auto loaded = load_certificates(options.client_ca_file);
    if (!loaded) return std::unexpected(loaded.error());
    authorities = std::move(*loaded);
  }
  config->demands = digest_demands(options.client_auth, authorities);
  config->tickets = std::move(tickets);
  if (auto r = build_contexts(*config, options, authorities); !r) return std::unexpected(r.error());
  return config;
}

}  // namespace treadle::net::tls
