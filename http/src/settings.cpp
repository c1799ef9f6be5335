#include "settings.h"

#include <fmt/format.h>

#include <utility>

namespace treadle::http::detail {
namespace {

void require(bool fine, const char* what) {
  if (!fine) throw Panic(fmt::format("http: ServerOptions: {}", what));
}

void check(const ServerOptions& o) {
  for (const Duration d :
       {o.header_timeout, o.tls_handshake_timeout, o.proxy_timeout, o.idle_timeout, o.read_timeout,
        o.write_timeout, o.min_rate_after, o.handler_timeout, o.tcp_keepalive, o.shutdown_timeout,
        o.drain_delay, o.drain_idle})
    require(d >= Duration::zero(), "a timeout is negative");
  require(o.limits.request_line > 0 && o.limits.head > 0 && o.limits.headers > 0,
          "a limit of the request's head is zero");
  require(o.limits.request_line <= o.limits.head, "limits.request_line exceeds limits.head");
  require(o.limits.head <= 1024 * 1024, "limits.head exceeds 1 MiB");
  require(o.min_rate == 0 || o.min_rate_after > Duration::zero(),
          "min_rate without min_rate_after, the time it is taken over");
  require(!o.address.empty() || !o.endpoints.empty(), "no address to listen on");
  if (o.tls)
    for (const std::string& protocol : o.tls->alpn)
      if (protocol != "http/1.1" && protocol != "http/1.0")
        throw Panic(
            fmt::format("http: ServerOptions: tls.alpn: \"{}\" is not spoken here", protocol));
  for (const Endpoint& e : o.endpoints) {
    require(!e.address.empty(), "an endpoint without an address");
    require(!e.tls || o.tls, "an endpoint speaks TLS, but no certificates are given");
  }
}

}  // namespace

std::shared_ptr<const Settings> make_settings(ServerOptions options) {
  check(options);
  auto s = std::make_shared<Settings>();
  s->parser_limits.request_line = options.limits.request_line;
  s->parser_limits.head = options.limits.head;
  s->parser_limits.headers = options.limits.headers;
  s->peer_limits = {.read_timeout = options.read_timeout,
                    .write_timeout = options.write_timeout,
                    .min_rate = options.min_rate,
                    .min_rate_after = options.min_rate_after};
  auto trusted = TrustedProxies::parse(options.trusted_proxies);
  if (!trusted) throw Panic(fmt::format("http: ServerOptions: {}", trusted.error()));
  s->trusted = std::move(*trusted);
  s->options = std::move(options);
  return s;
}

}  // namespace treadle::http::detail
