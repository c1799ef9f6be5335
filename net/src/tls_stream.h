// One end of a TLS connection without the connection: bytes in, bytes out, no waiting.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "tls_config.h"
#include "tls_openssl.h"

namespace treadle::net::tls {

// An SSL object, with a pair of buffers for a BIO. What the peer sent is put in by input_room()
// and add_input(); what is for the peer comes out by take_output(). No call parks or does I/O, so
// OpenSSL is never left by a park. One caller at a time; TlsConn has the lock.
class TlsStream {
 public:
  enum class Outcome : std::uint8_t {
    done,
    want_input,  // cannot go on before the peer has sent more
    ended,       // the peer sent close_notify
    failed,      // for good; see error()
  };

  explicit TlsStream(std::shared_ptr<const ServerConfig> config);
  // `host` is for SNI and the check of the certificate: a name, or an IP address.
  TlsStream(std::shared_ptr<const ClientConfig> config, const std::string& host);
  TlsStream(const TlsStream&) = delete;
  TlsStream& operator=(const TlsStream&) = delete;
  ~TlsStream();

  // Within one of OpenSSL's callbacks. By its BIO, which has this stream as the one at work:
  // application data of the SSL object's would take 96 bytes more.
  static TlsStream& of(const SSL* ssl) noexcept {
    return *static_cast<TlsStream*>(BIO_get_data(SSL_get_rbio(ssl)));
  }

  Outcome handshake();
  struct Read {
    Outcome outcome;
    std::size_t size = 0;
  };
  Read read(std::span<std::byte> into);
  // All of it, or it fails; at most 16 KiB make one record.
  Outcome write(std::span<const std::byte> bytes);
  // Puts close_notify out, once.
  Outcome end();
  // Ends it for a reason that OpenSSL does not know of.
  void fail(std::error_code error, std::string text) noexcept;

  // Why the outcome was `failed`, or no error; and in OpenSSL's words.
  std::error_code error() const noexcept;
  const std::string& error_text() const noexcept { return failure_ ? failure_->text : kNoText; }
  bool peer_ended() const noexcept { return peer_ended_; }

  // Where to put what comes from the peer, some 17 KB; empty when there is no memory. Only for
  // whoever reads: valid, whatever else is called, until add_input().
  std::span<std::byte> input_room() noexcept;
  void add_input(std::size_t size) noexcept;
  // The input that OpenSSL has not taken yet.
  std::span<const std::byte> input() const noexcept {
    if (input_begin_ == input_end_) return {};  // there may be no buffer
    return {input_.get() + input_begin_, input_end_ - input_begin_};
  }
  // True while read() can say something without more input; for whoever reads.
  bool readable() const noexcept;
  // Frees what an idle connection does not need.
  void release_input() noexcept;

  std::size_t output_size() const noexcept { return output_.size(); }
  void expect_output(std::size_t size);
  std::vector<std::byte> take_output() noexcept { return std::exchange(output_, {}); }

  bool is_server() const noexcept { return SSL_is_server(ssl_.get()) == 1; }
  const SSL* ssl() const noexcept { return ssl_.get(); }
  // Of a server's stream.
  const ServerConfig& server_config() const noexcept {
    return *static_cast<const ServerConfig*>(config_.get());
  }
  void set_server_name(std::string name);
  const std::string& server_name() const noexcept { return server_name_ ? *server_name_ : kNoText; }

 private:
  friend struct StreamBio;

  struct Failure {
    std::error_code code;
    std::string text;
  };

  static const std::string kNoText;

  void attach(SSL_CTX* context);
  bool enter() noexcept;
  void forget_offer() noexcept;
  Outcome outcome_of(int result);
  void note_failure(const OpensslError& e) noexcept;
  bool failed() const noexcept { return failure_ || failed_without_memory_; }

  // A server's or a client's. Before ssl_, which refers to what it holds.
  std::shared_ptr<const void> config_;
  SslPtr ssl_;

  std::unique_ptr<std::byte[]> input_;
  std::uint32_t input_begin_ = 0;  // what OpenSSL has not taken yet
  std::uint32_t input_end_ = 0;
  std::vector<std::byte> output_;

  // Most connections have neither: null.
  std::unique_ptr<Failure> failure_;
  std::unique_ptr<std::string> server_name_;
  bool peer_ended_ = false;
  bool failed_without_memory_ = false;  // to say why
};

}  // namespace treadle::net::tls
