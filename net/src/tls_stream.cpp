#include "tls_stream.h"

#include <openssl/x509v3.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include "tls_names.h"

namespace treadle::net::tls {

namespace {

// A record and a bit, so that a small one behind it comes along.
constexpr std::size_t kInputSize = 17 * 1024;

TlsErrc classify(unsigned long code) noexcept {
  if (ERR_GET_LIB(code) != ERR_LIB_SSL) return TlsErrc::protocol;
  const int reason = ERR_GET_REASON(code);
  if (reason >= SSL_AD_REASON_OFFSET) return TlsErrc::alert;
  switch (reason) {
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_UNKNOWN_PROTOCOL:
    case SSL_R_VERSION_TOO_LOW:
    case SSL_R_VERSION_TOO_HIGH:
    case SSL_R_NO_PROTOCOLS_AVAILABLE: return TlsErrc::version;
    case SSL_R_NO_SHARED_CIPHER:
    case SSL_R_NO_SHARED_GROUPS:
    case SSL_R_NO_SUITABLE_GROUPS:
    case SSL_R_NO_SUITABLE_KEY_SHARE:
    case SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS:
    case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM: return TlsErrc::no_cipher;
    case SSL_R_NO_APPLICATION_PROTOCOL: return TlsErrc::no_protocol;
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
    case SSL_R_CERTIFICATE_VERIFY_FAILED: return TlsErrc::certificate;
    default: return TlsErrc::protocol;
  }
}

bool is_ip_address(const std::string& host) noexcept {
  const std::unique_ptr<ASN1_OCTET_STRING, FreedBy<ASN1_OCTET_STRING_free>> parsed(
      a2i_IPADDRESS(host.c_str()));
  return parsed != nullptr;
}

}  // namespace

// The BIO over the buffers of the stream that is at work. (A struct for the sake of friendship
// only.)
//
// OpenSSL looks at a connection's BIO only while it is called, and is never left by a park. So the
// connections of a thread share one, the thread's: 200 bytes less for each, and none to make and to
// free. A stream that is called takes the BIO of the thread it is on, mostly the one that it has
// already, and says that it is the one at work: enter().
//
// What threads share of a BIO. The streams that were last at work on a thread keep a reference to
// its BIO, also when the thread has ended: OpenSSL counts those atomically. Data, flags and
// counters are touched only by calls, hence by the BIO's own thread. While OpenSSL collects a
// flight it links a buffer of its own before the BIO, and so stores a way back to that in it;
// whoever takes the stream to another thread undoes that. This way back nobody ever follows.
struct StreamBio {
  static TlsStream& stream(BIO* bio) noexcept {
    return *static_cast<TlsStream*>(BIO_get_data(bio));
  }

  static int read(BIO* bio, char* into, std::size_t size, std::size_t* done) noexcept {
    TlsStream& s = stream(bio);
    BIO_clear_retry_flags(bio);
    const std::size_t n = std::min<std::size_t>(size, s.input_end_ - s.input_begin_);
    if (n == 0) {
      BIO_set_retry_read(bio);
      return 0;
    }
    std::memcpy(into, s.input_.get() + s.input_begin_, n);
    s.input_begin_ += static_cast<std::uint32_t>(n);
    *done = n;
    return 1;
  }

  static int write(BIO* bio, const char* from, std::size_t size, std::size_t* done) noexcept try {
    const auto bytes = std::as_bytes(std::span(from, size));
    TlsStream& s = stream(bio);
    BIO_clear_retry_flags(bio);
    s.output_.insert(s.output_.end(), bytes.begin(), bytes.end());
    *done = size;
    return 1;
  } catch (const std::bad_alloc&) {
    return 0;
  }

  static long control(BIO* /*bio*/, int command, long /*number*/, void* /*pointer*/) noexcept {
    return command == BIO_CTRL_FLUSH ? 1 : 0;
  }

  static BIO_METHOD* method() {
    static BIO_METHOD* const made = [] {
      BIO_METHOD* m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "treadle");
      if (m == nullptr) throw std::bad_alloc();
      BIO_meth_set_read_ex(m, read);
      BIO_meth_set_write_ex(m, write);
      BIO_meth_set_ctrl(m, control);
      return m;
    }();
    return made;
  }

  // This thread's, or null without memory. By value, and never inlined: see TlsStream::enter().
  [[gnu::noinline]] static BIO* of_thread() noexcept {
    asm volatile("");
    if (thread_bio == nullptr) {
      thread_bio = BIO_new(method());
      if (thread_bio == nullptr) return nullptr;
      BIO_set_init(thread_bio, 1);
      thread_local const ThreadEnd end;
      (void)end;
    }
    return thread_bio;
  }

 private:
  // A stream may be called by thread_locals that die later. They get a BIO that is never freed.
  struct ThreadEnd {
    ~ThreadEnd() { BIO_free(std::exchange(thread_bio, nullptr)); }
  };
  static inline constinit thread_local BIO* thread_bio = nullptr;
};

const std::string TlsStream::kNoText;

TlsStream::TlsStream(std::shared_ptr<const ServerConfig> config) : config_(std::move(config)) {
  attach(server_config().contexts.front().get());
  SSL_set_accept_state(ssl_.get());
}

TlsStream::TlsStream(std::shared_ptr<const ClientConfig> config, const std::string& host)
    : config_(config) {
  set_server_name(host);
  attach(config->context.get());
  SSL* ssl = ssl_.get();
  SSL_set_connect_state(ssl);
  if (is_ip_address(host)) {  // not for SNI (RFC 6066 3)
    X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host.c_str());
    return;
  }
  SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  // An empty name would match everything.
  if (const auto name = normal_name(host); name.empty())
    fail(Errc::invalid, "no host name to check the certificate against");
  else if (SSL_set1_host(ssl, name.c_str()) != 1 ||
           SSL_set_tlsext_host_name(ssl, name.c_str()) != 1)
    throw std::bad_alloc();
}

TlsStream::~TlsStream() = default;

void TlsStream::attach(SSL_CTX* context) {
  forget_errors();
  StreamBio::method();  // made where it may throw
  ssl_.reset(SSL_new(context));
  if (ssl_) return;
  forget_errors();
  throw std::bad_alloc();
}

// Before each call of OpenSSL's that reads, writes or calls back. False: this stream has failed.
// Which thread this is must not be kept over a park, and no caller of ours parks before the call.
bool TlsStream::enter() noexcept {
  if (failed()) return false;
  forget_errors();
  BIO* const bio = StreamBio::of_thread();
  if (bio == nullptr) {
    failed_without_memory_ = true;
    forget_errors();
    return false;
  }
  if (SSL_get_rbio(ssl_.get()) != bio) {
    BIO_up_ref(bio);
    SSL_set_bio(ssl_.get(), bio, bio);  // for reading and writing, by that one reference
  }
  BIO_set_data(bio, this);
  return true;
}

TlsStream::Outcome TlsStream::outcome_of(int result) {
  if (result == 1) return Outcome::done;
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_WANT_READ: return Outcome::want_input;
    case SSL_ERROR_ZERO_RETURN:
      peer_ended_ = true;
      forget_errors();
      return Outcome::ended;
    default: note_failure(take_error()); return Outcome::failed;
  }
}

void TlsStream::note_failure(const OpensslError& e) noexcept {
  try {
    std::string text = e.text;
    const TlsErrc kind = classify(e.code);
    if (const long verdict = SSL_get_verify_result(ssl_.get());
        kind == TlsErrc::certificate && verdict != X509_V_OK)
      text.append(": ").append(X509_verify_cert_error_string(verdict));
    fail(kind, std::move(text));
  } catch (const std::bad_alloc&) {
    failed_without_memory_ = true;
  }
}

void TlsStream::fail(std::error_code error, std::string text) noexcept {
  if (failed()) return;
  try {
    failure_ = std::make_unique<Failure>(error, std::move(text));
  } catch (const std::bad_alloc&) {
    failed_without_memory_ = true;
  }
}

std::error_code TlsStream::error() const noexcept {
  if (failure_) return failure_->code;
  return failed_without_memory_ ? std::make_error_code(std::errc::not_enough_memory)
                                : std::error_code();
}

void TlsStream::set_server_name(std::string name) {
  server_name_ = name.empty() ? nullptr : std::make_unique<std::string>(std::move(name));
}

TlsStream::Outcome TlsStream::handshake() {
  if (!enter()) return Outcome::failed;
  const Outcome outcome = outcome_of(SSL_do_handshake(ssl_.get()));
  if (outcome == Outcome::done) forget_offer();
  return outcome;
}

// OpenSSL keeps the ciphers that a client has offered, 100 to 400 bytes of them, for the rest of
// the connection. None is chosen again: there is no renegotiation. The stack itself stays
// OpenSSL's.
void TlsStream::forget_offer() noexcept {
  STACK_OF(SSL_CIPHER)* const offered =
      SSL_get_client_ciphers(ssl_.get());  // null at a client's end
  if (offered == nullptr) return;
  sk_SSL_CIPHER_zero(offered);
  sk_SSL_CIPHER_reserve(offered, 0);  // which gives back what it does not need
}

TlsStream::Read TlsStream::read(std::span<std::byte> into) {
  if (failed()) return {Outcome::failed};
  if (peer_ended_) return {Outcome::ended};
  if (!enter()) return {Outcome::failed};
  std::size_t n = 0;
  const Outcome outcome = outcome_of(SSL_read_ex(ssl_.get(), into.data(), into.size(), &n));
  return {outcome, n};
}

TlsStream::Outcome TlsStream::write(std::span<const std::byte> bytes) {
  if (!enter()) return Outcome::failed;
  std::size_t n = 0;
  return outcome_of(SSL_write_ex(ssl_.get(), bytes.data(), bytes.size(), &n));
}

TlsStream::Outcome TlsStream::end() {
  if (failed()) return Outcome::failed;
  if ((SSL_get_shutdown(ssl_.get()) & SSL_SENT_SHUTDOWN) != 0) return Outcome::done;
  if (!enter()) return Outcome::failed;
  const int result = SSL_shutdown(ssl_.get());
  // 0: ours is out, theirs has not come, which is no business of this side.
  return result == 0 ? Outcome::done : outcome_of(result);
}

std::span<std::byte> TlsStream::input_room() noexcept {
  // Whoever reads asks for more only when OpenSSL has taken all there was.
  input_begin_ = input_end_ = 0;
  if (!input_) input_.reset(new (std::nothrow) std::byte[kInputSize]);
  return input_ ? std::span(input_.get(), kInputSize) : std::span<std::byte>();
}

void TlsStream::add_input(std::size_t size) noexcept {
  input_end_ = static_cast<std::uint32_t>(size);
}

bool TlsStream::readable() const noexcept {
  return failed() || peer_ended_ || input_begin_ != input_end_ || SSL_pending(ssl_.get()) > 0;
}

void TlsStream::release_input() noexcept {
  if (input_begin_ == input_end_) input_.reset();
}

void TlsStream::expect_output(std::size_t size) { output_.reserve(size); }

}  // namespace treadle::net::tls
