#include "tls_certificate.h"

#include <openssl/pem.h>

#include <utility>

#include <treadle/log.h>
#include <treadle/net/file.h>

#include "tls_names.h"

namespace treadle::net::tls {
namespace {

std::unexpected<std::string> wrong(const std::string& file, const std::string& what) {
  return std::unexpected(file + ": " + what);
}

// OpenSSL would ask for the passphrase on the terminal.
int refuse_passphrase(char* /*buffer*/, int /*size*/, int /*writing*/, void* asked) noexcept {
  *static_cast<bool*>(asked) = true;
  return -1;
}

bool no_more_in_file(unsigned long code) noexcept {
  return ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
}

Loaded<std::vector<X509Ptr>> parse_certificates(const std::string& pem, const std::string& file) {
  std::vector<X509Ptr> out;
  const BioPtr bio = memory_bio(pem);
  for (;;) {
    forget_errors();
    X509Ptr next(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
    if (next) {
      out.push_back(std::move(next));
      continue;
    }
    const auto error = take_error();
    if (!no_more_in_file(error.code))
      return wrong(file, "certificate " + std::to_string(out.size() + 1) +
                             " in it is damaged: " + error.text);
    if (out.empty()) return wrong(file, "no certificate in it");
    return out;
  }
}

Loaded<KeyPtr> parse_key(const std::string& pem, const std::string& file) {
  // OpenSSL tries many decoders in turn and then cannot tell a damaged key from none.
  if (pem.find("PRIVATE KEY-----") == std::string::npos) return wrong(file, "no private key in it");
  const BioPtr bio = memory_bio(pem);
  bool asked = false;
  forget_errors();
  KeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, refuse_passphrase, &asked));
  if (key) return key;
  const auto error = take_error();
  if (asked) return wrong(file, "the private key is encrypted; it must be readable as it is");
  return wrong(file, "the private key in it is damaged: " + error.text);
}

void warn_of_time(X509* leaf, const std::string& file) {
  if (X509_cmp_current_time(X509_get0_notAfter(leaf)) < 0)
    log::warn("tls: the certificate in {} has expired", file);
  else if (X509_cmp_current_time(X509_get0_notBefore(leaf)) > 0)
    log::warn("tls: the certificate in {} is not valid yet", file);
}

Loaded<void> add_ocsp(Certificate& to, const std::string& path) {
  auto der = read_file(path);
  if (!der) return std::unexpected(der.error());
  X509* issuer = to.chain.empty() ? nullptr : to.chain.front().get();
  auto response = parse_ocsp(std::move(*der), path, to.leaf.get(), issuer);
  if (!response) return std::unexpected(response.error());
  to.ocsp = std::move(response->der);
  to.ocsp_until = response->until;
  if (to.ocsp_until != 0 && to.ocsp_until < std::time(nullptr))
    log::warn("tls: the OCSP response in {} is out of date and not stapled", path);
  return {};
}

}  // namespace

Loaded<std::string> read_file(const std::string& path) {
  constexpr std::size_t kMost = 4 << 20;
  constexpr std::size_t kPiece = 64 * 1024;
  const auto failed = [&](const std::error_code& e) {
    return std::unexpected("cannot read " + path + ": " + e.message());
  };
  const auto file = File::open(path);
  if (!file) return failed(file.error());
  std::string out;
  for (;;) {
    const std::size_t old = out.size();
    out.resize(old + kPiece);
    const auto n = file->read_at(std::as_writable_bytes(std::span(out).subspan(old)), old);
    if (!n) return failed(n.error());
    out.resize(old + *n);
    if (*n == 0) return out;
    if (out.size() > kMost) return wrong(path, "longer than 4 MiB");
  }
}

Loaded<std::vector<X509Ptr>> load_certificates(const std::string& path) {
  const auto pem = read_file(path);
  if (!pem) return std::unexpected(pem.error());
  return parse_certificates(*pem, path);
}

Loaded<Certificate> load_certificate(const TlsCertificate& files) {
  if (files.chain_file.empty()) return std::unexpected("no certificate file is named");
  const std::string& key_file = files.key_file.empty() ? files.chain_file : files.key_file;
  const auto chain_pem = read_file(files.chain_file);
  if (!chain_pem) return std::unexpected(chain_pem.error());
  auto key_pem = read_file(key_file);
  if (!key_pem) return std::unexpected(key_pem.error());

  auto certificates = parse_certificates(*chain_pem, files.chain_file);
  if (!certificates) return std::unexpected(certificates.error());
  auto key = parse_key(*key_pem, key_file);
  OPENSSL_cleanse(key_pem->data(), key_pem->size());
  if (!key) return std::unexpected(key.error());

  Certificate out{.file = files.chain_file,
                  .leaf = std::move(certificates->front()),
                  .chain = {},
                  .key = std::move(*key),
                  .names = {},
                  .ocsp = {}};
  for (std::size_t i = 1; i < certificates->size(); ++i)
    out.chain.push_back(std::move((*certificates)[i]));
  forget_errors();
  if (X509_check_private_key(out.leaf.get(), out.key.get()) != 1) {
    forget_errors();
    return wrong(key_file,
                 "the private key does not belong to the first certificate in " + files.chain_file);
  }
  out.names = certificate_names(out.leaf.get());
  warn_of_time(out.leaf.get(), files.chain_file);
  if (!files.ocsp_file.empty())
    if (auto r = add_ocsp(out, files.ocsp_file); !r) return std::unexpected(r.error());
  return out;
}

Loaded<void> use_certificate(SSL_CTX* context, const Certificate& certificate) {
  constexpr int kDoNotReplace = 0;
  const std::unique_ptr<STACK_OF(X509), FreedBy<[](STACK_OF(X509) * s) { sk_X509_free(s); }>> chain(
      sk_X509_new_null());
  for (const X509Ptr& link : certificate.chain) sk_X509_push(chain.get(), link.get());
  forget_errors();
  if (SSL_CTX_use_cert_and_key(context, certificate.leaf.get(), certificate.key.get(), chain.get(),
                               kDoNotReplace) != 1)
    return wrong(certificate.file, take_error().text);
  return {};
}

std::time_t to_time(const ASN1_TIME* time) noexcept {
  std::tm broken{};
  if (time == nullptr || ASN1_TIME_to_tm(time, &broken) != 1) return 0;
  return ::timegm(&broken);
}

}  // namespace treadle::net::tls
