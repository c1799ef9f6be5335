#pragma once

#include <openssl/ssl.h>
#include <stddef.h>

#include <cstdint>
#include <string>

namespace load {

// What the connections of a generator have in common: where they go, how, and who watches them.
struct Target {
  int port = 0;
  int epoll = -1;
  SSL_CTX* tls = nullptr;  // null: plain
};

// A client context that accepts any certificate (the servers' are made for the measurement).
SSL_CTX* make_client_context();

// A non-blocking connection to 127.0.0.1, plain or TLS. It is registered once, edge-triggered, for
// both directions: whoever is told `again` need only wait for the next event.
class Stream {
 public:
  static constexpr long kAgain = -1;
  static constexpr long kError = -2;

  Stream() = default;
  ~Stream() { close(); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  // Connects; `tag` comes back with the events. `session` (TLS) is offered for resumption.
  bool open(const Target& target, void* tag, SSL_SESSION* session = nullptr);
  void close();
  bool is_open() const { return fd_ >= 0; }

  // Bytes moved, 0 at the peer's end of the stream, kAgain or kError.
  long read(char* into, size_t size);
  long write(const char* from, size_t size);

  // Goes on with the TLS handshake: 1 when it is over, kAgain or kError. Reads and writes do so
  // too.
  long handshake();

  // Tells the peer that nothing more comes.
  void finish();

  SSL* ssl() { return ssl_; }
  // What the last kError was.
  const std::string& error() const { return error_; }

 private:
  long failed(const char* what);
  long tls_result(int result, const char* what);

  int fd_ = -1;
  SSL* ssl_ = nullptr;
  std::string error_;
};

}  // namespace load
