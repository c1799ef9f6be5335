// What comes before a connection's first request: the PROXY header, the TLS handshake, the count of
// the client's connections.
#include <treadle/log.h>

#include <string>

#include "connection.h"
#include "date_cache.h"
#include "log_gate.h"
#include "proxy_protocol.h"

namespace treadle::http::detail {
namespace {

// Any client can fail here as often as it likes.
constinit LogGate failures;

template <class... Args>
void note_failure(fmt::format_string<Args...> format, Args&&... args) {
  if (const auto left_out = failures.pass())
    log::info("http: {}{}", fmt::format(format, std::forward<Args>(args)...),
              *left_out == 0 ? std::string() : fmt::format(" ({} more left out)", *left_out));
}

}  // namespace

bool Connection::open() {
  conn_->ignore_context();
  context_.watch(*conn_);
  if (proxy_protocol_ && !read_proxy()) return false;
  // Whoever has more than its share is closed before it costs a handshake.
  return count_address() && (tls_ == nullptr || shake_hands());
}

// Both ways: a handshake writes, too.
void Connection::give_time(Duration d) {
  const Deadline ours = deadline_after(d);
  raw_->set_deadline(ours);
  obey_server(ours);
}

bool Connection::read_proxy() {
  give_time(options().proxy_timeout);
  const Result<ProxyHeader> header = read_proxy_header(*raw_);
  if (!header) {
    // A look whether the port is open is no failure.
    if (header.error() != treadle::Errc::eof)
      note_failure("{}: {}", peer_.to_string(), header.error().message());
    return false;
  }
  if (header->proxied) {
    peer_ = header->source;
    proxy_tls_ = header->tls;
  }
  return true;
}

bool Connection::count_address() {
  if (!server_->per_address) return true;
  counted_ = server_->per_address->try_add(peer_);
  if (!counted_) note_failure("{}: too many connections from this address", peer_.to_string());
  return counted_;
}

bool Connection::shake_hands() {
  give_time(options().tls_handshake_timeout);
  const Result<void> shaken = tls_->handshake();
  raw_->set_write_deadline(Deadline::never());
  says_goodbye_ = shaken.has_value();
  if (shaken) return true;
  if (shaken.error() == net::TlsErrc::plaintext) {
    refuse_plaintext();
  } else if (shaken.error() != treadle::Errc::eof && !shed_.load()) {
    const std::string why = tls_->error_text();
    note_failure("{}: TLS handshake: {}{}{}", peer_.to_string(), shaken.error().message(),
                 why.empty() ? "" : ": ", why);
  }
  return false;
}

// As nginx does: in clear text, since the client would not understand an alert.
void Connection::refuse_plaintext() {
  count(refused_);
  note_failure("{}: a plain request on a TLS port", peer_.to_string());
  const std::string_view body = "this port speaks TLS: use https\n";
  std::string text = "HTTP/1.1 400 Bad Request\r\n";
  append_date_field(text);
  text.append(fmt::format("Content-Length: {}\r\n", body.size()));
  text.append("Connection: close\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n");
  text.append(body);
  raw_->set_write_deadline(deadline_after(options().write_timeout));
  if (raw_->write_all(text)) discard_input(*raw_);
}

}  // namespace treadle::http::detail
