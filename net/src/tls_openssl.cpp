#include "tls_openssl.h"

#include <limits>
#include <new>

namespace treadle::net::tls {

BioPtr memory_bio(const std::string& text) {
  // Longer files are refused where they are read.
  if (text.size() > std::numeric_limits<int>::max()) throw std::bad_alloc();
  BioPtr bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  if (!bio) throw std::bad_alloc();
  return bio;
}

std::string contents(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return size > 0 ? std::string(data, static_cast<std::size_t>(size)) : std::string();
}

void start_openssl() {
  // Goroutines may be inside OpenSSL when the process exits, and its clean-up would pull the ground
  // from under them. The system reclaims everything anyway.
  OPENSSL_init_ssl(OPENSSL_INIT_NO_ATEXIT, nullptr);
}

OpensslError take_error() {
  OpensslError out;
  out.code = ERR_get_error();
  const char* reason = out.code != 0 ? ERR_reason_error_string(out.code) : nullptr;
  if (reason != nullptr)
    out.text = reason;
  else if (out.code != 0)
    out.text = "error " + std::to_string(ERR_GET_REASON(out.code));
  else
    out.text = "unknown error";
  forget_errors();
  return out;
}

}  // namespace treadle::net::tls
