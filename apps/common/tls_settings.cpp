#include "tls_settings.h"

#include <fmt/format.h>

#include <memory>
#include <utility>

namespace treadle::apps {

namespace {

// What is read before it becomes net::TlsServerOptions.
struct TlsKeys {
  net::TlsCertificate simple;
  net::TlsServerOptions options;
};

// Whether certificates can be used, before a server is started with them.
Parsed<void> check_certificates(const net::TlsServerOptions& o) {
  if (auto loaded = net::TlsServer::create(o); !loaded) return std::unexpected(loaded.error());
  return {};
}

// All of it made into options, when there is a certificate.
Parsed<void> assemble(const TlsKeys& k, std::optional<net::TlsServerOptions>& tls) {
  tls.reset();
  net::TlsServerOptions o = k.options;
  if (k.simple.chain_file.empty() && !k.simple.key_file.empty())
    return std::unexpected("tls.key needs tls.cert, its certificate");
  for (const net::TlsCertificate& c : o.certificates)
    if (c.chain_file.empty()) return std::unexpected("a certificate needs a chain");
  if (!k.simple.chain_file.empty()) o.certificates.insert(o.certificates.begin(), k.simple);
  if (o.certificates.empty()) {
    if (o.client_auth == net::ClientAuth::none && o.client_ca_file.empty()) return {};
    return std::unexpected("client certificates need one of the server's own: tls.cert");
  }
  if (o.client_auth != net::ClientAuth::none && o.client_ca_file.empty())
    return std::unexpected("tls.client_auth needs tls.client_ca");
  if (auto r = check_certificates(o); !r) return r;
  tls = std::move(o);
  return {};
}

Tables certificate_tables(const std::shared_ptr<TlsKeys>& k) {
  const auto field = [k](std::string net::TlsCertificate::* member) {
    net::TlsCertificate sample;
    Value value = text_value(sample.*member);
    value.placeholder = "FILE";
    value.assign = [k, member](std::string_view text) {
      return text_value(k->options.certificates.back().*member).assign(text);
    };
    return value;
  };
  return {[k] { k->options.certificates.emplace_back(); },
          [k] { k->options.certificates.clear(); },
          [k] { k->options.certificates.clear(); },
          {{"chain", field(&net::TlsCertificate::chain_file)},
           {"key", field(&net::TlsCertificate::key_file)},
           {"ocsp", field(&net::TlsCertificate::ocsp_file)}}};
}

Parsed<void> check_protocol(std::string_view text) {
  if (!text.empty() && text.size() < 256) return {};
  return std::unexpected("needs names of protocols such as \"http/1.1\"");
}

}  // namespace

void add_tls(Settings& settings, std::optional<net::TlsServerOptions>& tls) {
  const auto k = std::make_shared<TlsKeys>();
  // The variables live as long as whoever refers to them.
  const auto kept = [&k](Value value) {
    value.assign = [k = k, assign = std::move(value.assign)](std::string_view text) {
      return assign(text);
    };
    return value;
  };
  net::TlsServerOptions& o = k->options;
  settings.flag("tls.cert", "FILE", kept(text_value(k->simple.chain_file)),
                "certificate chain, PEM, the leaf first; empty: no TLS");
  settings.flag("tls.key", "FILE", kept(text_value(k->simple.key_file)),
                "its key; empty: in the chain's file");
  settings.flag("tls.ocsp", "FILE", kept(text_value(k->simple.ocsp_file)),
                "OCSP response to staple, DER; empty: none");
  settings.add("tls.certificate", certificate_tables(k), "one more certificate, chosen by name");
  settings.add("tls.client_auth",
               choice_value(
                   {"none", "request", "require"},
                   [k](std::size_t n) { k->options.client_auth = static_cast<net::ClientAuth>(n); },
                   [k] { return static_cast<std::size_t>(k->options.client_auth); }),
               "client certificates: none, request, require");
  settings.flag("tls.client_ca", "FILE", text_value(o.client_ca_file),
                "whom client certificates must come from, PEM");
  settings.add("tls.alpn", list_value(o.alpn, check_protocol), "protocols, the preferred first");
  settings.add("tls.tls12", bool_value(o.tls12), "TLS 1.2 beside 1.3");
  settings.add("tls.ticket_rotation", duration_value(o.ticket_rotation),
               "how long a key for session tickets is used");
  settings.add("tls.ktls", bool_value(o.ktls), "let the kernel encrypt where it can");
  settings.rule("tls.cert", "tls.key", [k, &tls] { return assemble(*k, tls); });
}

}  // namespace treadle::apps
