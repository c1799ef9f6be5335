#include "stream.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "flags.h"

namespace load {

SSL_CTX* make_client_context() {
  SSL_CTX* context = SSL_CTX_new(TLS_client_method());
  if (!context) die("OpenSSL gives no client context");
  SSL_CTX_set_verify(context, SSL_VERIFY_NONE, nullptr);
  SSL_CTX_set_read_ahead(context, 1);
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  // An end of the stream without close_notify is an end all the same: HTTP has its own lengths.
  SSL_CTX_set_options(context, SSL_OP_IGNORE_UNEXPECTED_EOF);
  return context;
}

bool Stream::open(const Target& target, void* tag, SSL_SESSION* session) {
  close();
  fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd_ < 0) return failed("socket"), false;
  const int on = 1;
  ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(target.port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 &&
      errno != EINPROGRESS)
    return failed("connect"), false;
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  event.data.ptr = tag;
  if (::epoll_ctl(target.epoll, EPOLL_CTL_ADD, fd_, &event) != 0) return failed("epoll_ctl"), false;
  if (!target.tls) return true;
  ssl_ = SSL_new(target.tls);
  if (!ssl_ || SSL_set_fd(ssl_, fd_) != 1) return error_ = "OpenSSL: no connection", false;
  if (session) SSL_set_session(ssl_, session);
  SSL_set_connect_state(ssl_);
  return true;
}

void Stream::close() {
  if (ssl_) {
    // Else OpenSSL takes the session for broken, and never resumes it.
    SSL_set_shutdown(ssl_, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(ssl_);
  }
  if (fd_ >= 0) ::close(fd_);
  ssl_ = nullptr;
  fd_ = -1;
}

long Stream::read(char* into, size_t size) {
  if (ssl_) return tls_result(SSL_read(ssl_, into, static_cast<int>(size)), "TLS read");
  const long n = ::recv(fd_, into, size, 0);
  if (n >= 0) return n;
  return errno == EAGAIN || errno == ENOTCONN ? kAgain : failed("recv");
}

long Stream::write(const char* from, size_t size) {
  if (ssl_) return tls_result(SSL_write(ssl_, from, static_cast<int>(size)), "TLS write");
  const long n = ::send(fd_, from, size, MSG_NOSIGNAL);
  if (n >= 0) return n;
  return errno == EAGAIN || errno == ENOTCONN ? kAgain : failed("send");
}

long Stream::handshake() { return tls_result(SSL_do_handshake(ssl_), "TLS handshake"); }

void Stream::finish() {
  if (ssl_) SSL_shutdown(ssl_);
  ERR_clear_error();
  ::shutdown(fd_, SHUT_WR);
}

long Stream::failed(const char* what) {
  error_ = std::string(what) + ": " + ::strerror(errno);
  return kError;
}

long Stream::tls_result(int result, const char* what) {
  if (result > 0) return result;
  switch (SSL_get_error(ssl_, result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE: return kAgain;
    case SSL_ERROR_ZERO_RETURN: return 0;
    case SSL_ERROR_SYSCALL:
      // Still connecting: the event that says so will come.
      if (errno == ENOTCONN || errno == EAGAIN) return kAgain;
      ERR_clear_error();
      return failed(what);
    default: break;
  }
  char reason[160];
  ERR_error_string_n(ERR_get_error(), reason, sizeof reason);
  ERR_clear_error();
  error_ = std::string(what) + ": " + reason;
  return kError;
}

}  // namespace load
