// A whole server program: an http::Server run as a service.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <treadle/blocking.h>
#include <treadle/http/server.h>
#include <treadle/log.h>
#include <treadle/net/service.h>

#include <memory>
#include <optional>
#include <thread>
#include <utility>

#include "fixed_options.h"

namespace treadle::http {
namespace {

// The reader of a configuration may need more stack than a goroutine has.
template <class F>
auto on_plain_thread(const F& f) {
  std::optional<decltype(f())> result;
  blocking_long([&] { std::thread([&] { result.emplace(f()); }).join(); });
  return *std::move(result);
}

class HttpService final : public net::Service {
 public:
  template <class What>
  HttpService(const ServerOptions& options, const What& what, const ServeHooks& hooks,
              const std::optional<net::TlsServer>& tls)
      : server_(options, what), options_(options), hooks_(hooks) {
    if (tls) server_.set_tls(*tls);
  }

  Result<void> start(std::vector<net::ListenSocket> sockets) override {
    return server_.listen_on(std::move(sockets));
  }
  Result<void> serve() override { return server_.serve(); }
  Result<void> shutdown(const Context& ctx) override { return server_.shutdown(ctx); }
  bool accepting() const override { return server_.accepting(); }
  void set_ready(bool ready) override { server_.set_ready(ready); }
  Duration drain_delay() const override { return options_.drain_delay; }
  Duration shutdown_timeout() const override { return options_.shutdown_timeout; }
  void reload() override;

 private:
  Server server_;
  ServerOptions options_;  // what is in force; what cannot change stays as it was at the start
  const ServeHooks& hooks_;
};

void HttpService::reload() {
  // First, and whatever the configuration says: who renames logs relies on it.
  server_.reopen_logs();
  std::expected<ServerOptions, std::string> wanted = options_;
  if (hooks_.reload) wanted = on_plain_thread(hooks_.reload);
  if (!wanted) {
    log::error("http: reload: {}; the old configuration stays", wanted.error());
    return;
  }
  if (const Result<void> r = server_.reload(*wanted); !r) {
    log::error("http: reload: {}; the old configuration stays", r.error().message());
    return;
  }
  if (const auto fixed = detail::fixed_differences(options_, *wanted); !fixed.empty())
    log::warn("http: reload: unchanged until the next start: {}", fmt::join(fixed, ", "));
  options_.drain_delay = wanted->drain_delay;
  options_.shutdown_timeout = wanted->shutdown_timeout;
  log::info("http: reload: the new configuration is in force");
}

net::ServiceOptions service_options(const ServerOptions& options) {
  net::ServiceOptions out;
  out.name = "http";
  const auto scheme = [](bool tls) { return tls ? "https://" : "http://"; };
  out.places.push_back({options.address, "listen", scheme(options.tls.has_value())});
  for (const Endpoint& e : options.endpoints)
    out.places.push_back({e.address, fmt::format("endpoint{}", out.places.size()), scheme(e.tls)});
  out.listen.keep_alive = options.tcp_keepalive;
  out.listen.unix_mode = options.unix_mode;
  out.procs = options.procs;
  out.user = options.user;
  out.group = options.group;
  if (!options.access_log.empty() && options.access_log != "-")
    out.log_files.push_back(options.access_log);
  out.handle_signals = options.handle_signals;
  return out;
}

// Keys of certificates are as a rule for the first user's eyes only: they are read before the user
// changes.
template <class What>
int run_server(const ServerOptions& options, const What& what, const ServeHooks& hooks) {
  std::optional<net::TlsServer> tls;
  net::ServiceOptions service = service_options(options);
  if (options.tls)
    service.prepare = [&]() -> std::expected<void, std::string> {
      auto loaded = net::TlsServer::create(*options.tls);
      if (!loaded) return std::unexpected(loaded.error());
      tls = std::move(*loaded);
      return {};
    };
  return net::run_service(service,
                          [&] { return std::make_unique<HttpService>(options, what, hooks, tls); });
}

}  // namespace

int listen_and_serve(const ServerOptions& options, Router router, ServeHooks hooks) {
  return run_server(options, router, hooks);
}

int listen_and_serve(const ServerOptions& options, Handler handler, ServeHooks hooks) {
  return run_server(options, handler, hooks);
}

}  // namespace treadle::http
