// A TLS server to be looked at from outside: one fixed answer to whatever is asked.
//   treadle-tls-sample CERTIFICATE...     each a PEM file with chain and key
// Prints its address, then serves until it is killed.
#include <array>
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <treadle/go.h>
#include <treadle/log.h>
#include <treadle/net/tcp.h>
#include <treadle/net/tls_conn.h>
#include <treadle/runtime.h>

namespace {

using namespace treadle;

constexpr std::string_view kAnswer =
    "HTTP/1.1 200 OK\r\n"
    "Content-Length: 6\r\n"
    "Content-Type: text/plain; charset=utf-8\r\n"
    "X-Content-Type-Options: nosniff\r\n"
    "Strict-Transport-Security: max-age=63072000\r\n"
    "Connection: close\r\n\r\nhello\n";
constexpr std::string_view kPlainAnswer =
    "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

// Reads to the end of the request's head; false when none came.
bool read_head(net::Conn& conn) {
  std::string head;
  std::array<std::byte, 1024> buffer;
  while (head.find("\r\n\r\n") == std::string::npos && head.size() < 16384) {
    const auto n = conn.read(buffer);
    if (!n || *n == 0) return false;
    head.append(reinterpret_cast<const char*>(buffer.data()), *n);
  }
  return true;
}

void serve(std::unique_ptr<net::Conn> raw, const net::TlsServer& tls) {
  net::TlsConn conn(std::move(raw), tls);
  conn.set_deadline(Deadline::after(std::chrono::seconds(10)));
  if (const auto r = conn.handshake(); !r) {
    log::info("handshake: {}: {}", r.error().message(), conn.error_text());
    if (const auto plain = conn.release_raw()) (void)plain->write_all(kPlainAnswer);
    return;
  }
  if (!read_head(conn)) return;
  if (conn.write_all(kAnswer)) (void)conn.shutdown_write();
}

int run_server(const net::TlsServerOptions& options) {
  auto tls = net::TlsServer::create(options);
  if (!tls) {
    log::error("{}", tls.error());
    return 1;
  }
  auto listener = net::listen_tcp("127.0.0.1:0");
  if (!listener) {
    log::error("{}", listener.error().message());
    return 1;
  }
  std::printf("listening on %s\n", listener->address().to_string().c_str());
  std::fflush(stdout);
  while (auto conn = listener->accept())
    go([c = std::move(*conn), tls = *tls]() mutable { serve(std::move(c), tls); });
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  net::TlsServerOptions options;
  for (int i = 1; i < argc; ++i) options.certificates.push_back({.chain_file = argv[i]});
  int code = 1;
  run([&] { code = run_server(options); });
  return code;
}
