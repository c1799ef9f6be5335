// Certificates, keys and OCSP responses from files.
#pragma once

#include <ctime>
#include <expected>
#include <string>
#include <vector>

#include <treadle/net/tls.h>

#include "tls_openssl.h"

namespace treadle::net::tls {

// The value, or what is wrong, with the name of the file.
template <class T>
using Loaded = std::expected<T, std::string>;

// A certificate as a server, or a client that is asked for one, shows it.
struct Certificate {
  std::string file;  // where the chain came from, for messages
  X509Ptr leaf;
  std::vector<X509Ptr> chain;  // what follows the leaf
  KeyPtr key;
  std::vector<std::string> names;  // see certificate_names()
  std::string ocsp;                // DER; empty: nothing to staple
  std::time_t ocsp_until = 0;      // when the response is out of date; 0: never
};

// Reads a whole file of no more than 4 MiB. Blocks the M, never the P.
Loaded<std::string> read_file(const std::string& path);

// Reads the files of one certificate and checks that they fit together. What would be no use to
// clients, but may be again (the wrong time), is a warning in the log. Blocks the M, never the P.
Loaded<Certificate> load_certificate(const TlsCertificate& files);

// All certificates of a PEM file, one at least. Blocks the M, never the P.
Loaded<std::vector<X509Ptr>> load_certificates(const std::string& path);

// Makes `context` show the certificate. At most one of each kind of key.
Loaded<void> use_certificate(SSL_CTX* context, const Certificate& certificate);

// What an OCSP response is good for.
struct OcspResponse {
  std::string der;
  std::time_t until = 0;  // its nextUpdate; 0: it has none
};
// Checks that the response (the contents of `path`) is a successful one about `leaf`, issued by
// `issuer` when that is not null. The signature is for clients to check.
Loaded<OcspResponse> parse_ocsp(std::string der, const std::string& path, X509* leaf, X509* issuer);

std::time_t to_time(const ASN1_TIME* time) noexcept;  // 0 when it is null or not understood

}  // namespace treadle::net::tls
