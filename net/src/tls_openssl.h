// Owners of OpenSSL's objects, and its errors as text.
//
// OpenSSL keeps its errors in a queue of the thread. So whatever calls it does so without a park
// from forget_errors(), before the call, to take_error(), after a failure.
#pragma once

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <memory>
#include <string>

namespace treadle::net::tls {

template <auto kFree>
struct FreedBy {
  template <class T>
  void operator()(T* p) const noexcept {
    kFree(p);
  }
};

using SslPtr = std::unique_ptr<SSL, FreedBy<SSL_free>>;
using ContextPtr = std::unique_ptr<SSL_CTX, FreedBy<SSL_CTX_free>>;
using X509Ptr = std::unique_ptr<X509, FreedBy<X509_free>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, FreedBy<EVP_PKEY_free>>;

using BioPtr = std::unique_ptr<BIO, FreedBy<BIO_free_all>>;

// A BIO that reads what `text` holds; it must outlive the BIO. Never null: throws std::bad_alloc.
BioPtr memory_bio(const std::string& text);

// Everything that was written into a memory BIO.
std::string contents(BIO* bio);

// Before anything else of OpenSSL. Idempotent; any thread.
void start_openssl();

// To clear a queue walks all its places; mostly it is empty, and to see that is cheaper.
inline void forget_errors() noexcept {
  if (ERR_peek_error() != 0) ERR_clear_error();
}

struct OpensslError {
  unsigned long code = 0;
  std::string text;  // "no shared cipher"
};
// The first error since forget_errors(), which began what went wrong. Empties the queue.
OpensslError take_error();

}  // namespace treadle::net::tls
