#include "support/tls_fixture.h"

#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include <map>
#include <mutex>
#include <stdexcept>
#include <utility>

#include "support/pipe_conn.h"

namespace treadle::test {
namespace {

template <class T>
T* must(T* p) {
  if (p == nullptr) throw std::runtime_error("OpenSSL failed in the fixture");
  return p;
}
void must(int ok) {
  if (ok <= 0) throw std::runtime_error("OpenSSL failed in the fixture");
}

std::shared_ptr<BIO> memory() { return {must(BIO_new(BIO_s_mem())), BIO_free}; }

std::string contents(BIO* bio) {
  char* data = nullptr;
  const long n = BIO_get_mem_data(bio, &data);
  return n > 0 ? std::string(data, static_cast<std::size_t>(n)) : std::string();
}

// RSA keys take a while, so there is one of each kind and number for the whole process.
std::shared_ptr<EVP_PKEY> key_of(KeyKind kind, int number) {
  static std::mutex mutex;
  static std::map<std::pair<KeyKind, int>, std::shared_ptr<EVP_PKEY>> keys;
  const std::lock_guard lock(mutex);
  auto& key = keys[{kind, number}];
  if (key) return key;
  EVP_PKEY* made = nullptr;
  switch (kind) {
    case KeyKind::ec: made = EVP_EC_gen("P-256"); break;
    case KeyKind::rsa: made = EVP_RSA_gen(2048); break;
    case KeyKind::ed25519: made = EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"); break;
  }
  key.reset(must(made), EVP_PKEY_free);
  return key;
}

void add_extension(X509* to, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, to, nullptr, nullptr, 0);
  const std::shared_ptr<X509_EXTENSION> extension(
      must(X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str())), X509_EXTENSION_free);
  must(X509_add_ext(to, extension.get(), -1));
}

long next_serial() {
  static std::mutex mutex;
  static long last = 1000;
  const std::lock_guard lock(mutex);
  return ++last;
}

}  // namespace

std::string Issued::pem() const {
  const auto bio = memory();
  must(PEM_write_bio_X509(bio.get(), certificate.get()));
  return contents(bio.get());
}

std::string Issued::key_pem() const {
  const auto bio = memory();
  must(PEM_write_bio_PKCS8PrivateKey(bio.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr));
  return contents(bio.get());
}

std::string Issued::key_pem_encrypted() const {
  const auto bio = memory();
  must(PEM_write_bio_PKCS8PrivateKey(bio.get(), key.get(), EVP_aes_128_cbc(), "secret", 6, nullptr,
                                     nullptr));
  return contents(bio.get());
}

Issued issue(const CertificateOptions& options, const Issued* issuer) {
  Issued out{{must(X509_new()), X509_free}, key_of(options.kind, options.key)};
  X509* x = out.certificate.get();
  X509* by = issuer != nullptr ? issuer->certificate.get() : x;
  must(X509_set_version(x, 2));
  must(ASN1_INTEGER_set(X509_get_serialNumber(x), next_serial()));
  must(X509_gmtime_adj(X509_getm_notBefore(x), options.not_before));
  must(X509_gmtime_adj(X509_getm_notAfter(x), options.not_after));
  must(X509_set_pubkey(x, out.key.get()));
  if (!options.common_name.empty())
    must(X509_NAME_add_entry_by_txt(
        X509_get_subject_name(x), "CN", MBSTRING_UTF8,
        reinterpret_cast<const unsigned char*>(options.common_name.c_str()), -1, -1, 0));
  must(X509_set_issuer_name(x, X509_get_subject_name(by)));
  add_extension(x, by, NID_basic_constraints, options.authority ? "critical,CA:TRUE" : "CA:FALSE");
  std::string names;
  for (const std::string& name : options.names) names += (names.empty() ? "DNS:" : ",DNS:") + name;
  if (!names.empty()) add_extension(x, by, NID_subject_alt_name, names);
  EVP_PKEY* signer = issuer != nullptr ? issuer->key.get() : out.key.get();
  must(X509_sign(x, signer, EVP_PKEY_is_a(signer, "ED25519") == 1 ? nullptr : EVP_sha256()));
  return out;
}

std::string ocsp_response(const Issued& about, const Issued& issuer, const OcspOptions& options) {
  const std::shared_ptr<OCSP_BASICRESP> basic(must(OCSP_BASICRESP_new()), OCSP_BASICRESP_free);
  const std::shared_ptr<OCSP_CERTID> id(
      must(OCSP_cert_to_id(EVP_sha1(), about.certificate.get(), issuer.certificate.get())),
      OCSP_CERTID_free);
  const std::shared_ptr<ASN1_TIME> now(must(X509_gmtime_adj(nullptr, 0)), ASN1_TIME_free);
  const std::shared_ptr<ASN1_TIME> next(must(X509_gmtime_adj(nullptr, options.next_update)),
                                        ASN1_TIME_free);
  must(OCSP_basic_add1_status(basic.get(), id.get(), options.verdict, OCSP_REVOKED_STATUS_NOSTATUS,
                              now.get(), now.get(),
                              options.next_update != 0 ? next.get() : nullptr));
  must(OCSP_basic_sign(basic.get(), issuer.certificate.get(), issuer.key.get(), EVP_sha256(),
                       nullptr, 0));
  const std::shared_ptr<OCSP_RESPONSE> response(
      must(OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic.get())), OCSP_RESPONSE_free);
  unsigned char* der = nullptr;
  const int size = i2d_OCSP_RESPONSE(response.get(), &der);
  must(size);
  std::string out(reinterpret_cast<const char*>(der), static_cast<std::size_t>(size));
  OPENSSL_free(der);
  return out;
}

TlsFiles::TlsFiles()
    : ca(issue({.common_name = "Test CA", .authority = true, .key = 1})),
      site(issue({.names = {"a.example", "*.w.example"}, .common_name = "a.example"}, &ca)) {
  tree.write("ca.pem", ca.pem());
  ca_file = tree.path("ca.pem");
  site_file = write("site", site);
}

std::string TlsFiles::write(const std::string& name, const Issued& what) const {
  tree.write(name + ".pem", what.pem() + what.key_pem());
  return tree.path(name + ".pem");
}

net::TlsServer make_tls_server(net::TlsServerOptions options) {
  auto server = net::TlsServer::create(std::move(options));
  if (!server) throw std::runtime_error(server.error());
  return *server;
}

SslPeer::SslPeer(net::Conn& conn, const PeerOptions& options)
    : conn_(conn), context_(must(SSL_CTX_new(TLS_client_method())), SSL_CTX_free) {
  SSL_CTX* ctx = context_.get();
  SSL_CTX_set_security_level(ctx, 0);
  SSL_CTX_set_min_proto_version(ctx, options.min_version);
  SSL_CTX_set_max_proto_version(ctx, options.max_version);
  if (!options.ciphers.empty()) must(SSL_CTX_set_cipher_list(ctx, options.ciphers.c_str()));
  if (!options.ca_file.empty()) {
    must(SSL_CTX_load_verify_file(ctx, options.ca_file.c_str()));
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, nullptr);
  }
  if (options.certificate != nullptr) {
    must(SSL_CTX_use_certificate(ctx, options.certificate->certificate.get()));
    must(SSL_CTX_use_PrivateKey(ctx, options.certificate->key.get()));
  }
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
  SSL_CTX_sess_set_new_cb(ctx, [](SSL* ssl, SSL_SESSION* session) {
    static_cast<SslPeer*>(SSL_get_app_data(ssl))->session_.reset(session, SSL_SESSION_free);
    return 1;
  });
  ssl_.reset(must(SSL_new(ctx)), SSL_free);
  SSL* ssl = ssl_.get();
  SSL_set_app_data(ssl, this);
  SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
  SSL_set_connect_state(ssl);
  if (!options.server_name.empty()) {
    must(static_cast<int>(SSL_set_tlsext_host_name(ssl, options.server_name.c_str())));
    must(SSL_set1_host(ssl, options.server_name.c_str()));
  }
  if (!options.alpn.empty())
    SSL_set_alpn_protos(ssl, reinterpret_cast<const unsigned char*>(options.alpn.data()),
                        static_cast<unsigned>(options.alpn.size()));
  if (options.session != nullptr) must(SSL_set_session(ssl, options.session));
  if (options.ask_for_ocsp) SSL_set_tlsext_status_type(ssl, TLSEXT_STATUSTYPE_ocsp);
}

// As if it had ended well: OpenSSL does not resume the sessions of connections that were cut.
SslPeer::~SslPeer() { SSL_set_shutdown(ssl_.get(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN); }

bool SslPeer::flush() {
  BIO* out = SSL_get_wbio(ssl_.get());
  const std::string bytes = contents(out);
  (void)BIO_reset(out);
  return bytes.empty() || conn_.write_all(bytes);
}

bool SslPeer::feed() {
  std::string buffer(20000, '\0');
  const auto n = conn_.read(std::as_writable_bytes(std::span(buffer)));
  if (!n || *n == 0) {
    error_ = n ? "end of the stream" : n.error().message();
    return false;
  }
  BIO_write(SSL_get_rbio(ssl_.get()), buffer.data(), static_cast<int>(*n));
  return true;
}

bool SslPeer::run(const std::function<int()>& step) {
  for (;;) {
    ERR_clear_error();
    const int result = step();
    const int error = SSL_get_error(ssl_.get(), result);
    std::string reason;
    if (const auto code = ERR_get_error(); code != 0) {
      const char* text = ERR_reason_error_string(code);
      reason = text != nullptr ? text : "an error";
    }
    const bool sent = flush();
    if (result > 0) return true;
    if (error == SSL_ERROR_ZERO_RETURN) clean_end_ = true;
    if (error != SSL_ERROR_WANT_READ) {
      error_ = reason;
      return false;
    }
    // What the peer said before it went matters more than that it went.
    if (!sent) (void)conn_.shutdown_write();
    if (!feed()) return false;
  }
}

bool SslPeer::handshake() {
  return run([&] { return SSL_do_handshake(ssl_.get()); });
}

std::string SslPeer::read_some() {
  std::string out(20000, '\0');
  int n = 0;
  const bool ok = run([&] {
    n = SSL_read(ssl_.get(), out.data(), static_cast<int>(out.size()));
    return n;
  });
  out.resize(ok ? static_cast<std::size_t>(n) : 0);
  return out;
}

std::string SslPeer::read_exactly(std::size_t n) {
  std::string out;
  while (out.size() < n) {
    const std::string more = read_some();
    if (more.empty()) {
      ADD_FAILURE() << "the stream ended (" << error_ << ") after " << out.size() << " of " << n;
      break;
    }
    out += more;
  }
  EXPECT_EQ(out.size(), n);
  return out;
}

bool SslPeer::write(std::string_view text) {
  return run([&] { return SSL_write(ssl_.get(), text.data(), static_cast<int>(text.size())); });
}

bool SslPeer::end() {
  ERR_clear_error();
  SSL_shutdown(ssl_.get());
  return flush();
}

std::string SslPeer::subject() const {
  X509* x = SSL_get0_peer_certificate(ssl_.get());
  if (x == nullptr) return {};
  char name[200] = "";
  X509_NAME_get_text_by_NID(X509_get_subject_name(x), NID_commonName, name, sizeof name);
  return name;
}

int SslPeer::key_type() const {
  X509* x = SSL_get0_peer_certificate(ssl_.get());
  return x == nullptr ? 0 : EVP_PKEY_get_base_id(X509_get0_pubkey(x));
}

TlsPair shake_hands(const net::TlsServer& server, std::unique_ptr<net::Conn> server_raw,
                    std::unique_ptr<net::Conn> client_raw, const PeerOptions& options) {
  TlsPair pair;
  pair.client_raw = std::move(client_raw);
  pair.server = std::make_unique<net::TlsConn>(std::move(server_raw), server);
  pair.client = std::make_unique<SslPeer>(*pair.client_raw, options);
  Task accept([&] {
    pair.server_result = pair.server->handshake();
    if (!pair.server_result) pair.server->close();
  });
  pair.client_ok = pair.client->handshake();
  if (!pair.client_ok) pair.client_raw->close();
  accept.join();
  return pair;
}

TlsPair shake_hands(const net::TlsServer& server, const PeerOptions& options) {
  auto [ours, theirs] = make_pipe();
  return shake_hands(server, std::move(ours), std::move(theirs), options);
}

}  // namespace treadle::test
