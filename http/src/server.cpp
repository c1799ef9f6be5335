#include <treadle/http/server.h>

#include <fmt/format.h>
#include <sys/resource.h>

#include <treadle/blocking.h>
#include <treadle/go.h>
#include <treadle/http/error.h>
#include <treadle/log.h>
#include <treadle/mutex.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "accept_loop.h"
#include "fixed_options.h"
#include "random_key_hash.h"
#include "request_id.h"
#include "route_tree.h"
#include "server_state.h"

namespace treadle::http {

namespace {

class HttpCategory final : public std::error_category {
 public:
  const char* name() const noexcept override { return "treadle-http"; }
  std::string message(int code) const override {
    switch (static_cast<Errc>(code)) {
      case Errc::body_too_large: return "request body too large";
      case Errc::malformed_body: return "malformed request body";
      case Errc::content_length: return "more body than the declared Content-Length";
      case Errc::head_sent: return "status and header fields were sent already";
      case Errc::aborted: return "response was given up";
      case Errc::unsupported_media_type: return "unsupported media type";
      case Errc::malformed_query: return "malformed query";
      case Errc::malformed_form: return "malformed form";
      case Errc::form_too_large: return "form too large";
      case Errc::malformed_json: return "malformed JSON";
      case Errc::json_too_deep: return "JSON nested too deep";
      case Errc::json_too_large: return "JSON of too many values";
      case Errc::storage_failed: return "form could not be stored";
      case Errc::unprintable_json: return "value cannot be written as JSON";
    }
    return fmt::format("http error {}", code);
  }
};

// Ends everything at once; how many requests were under way.
std::size_t cut(detail::ServerState& s) noexcept {
  {
    const std::lock_guard guard(s.lock);
    s.keep_alive.stopping.store(true);
  }
  s.closed.store(true);
  s.accept_context.cancel();
  for (const auto& l : s.listeners) l->listener.close();
  const std::size_t busy = s.cut_all();
  s.connections_context.cancel();  // connections that were being started, too
  return busy;
}

std::uint64_t descriptor_limit() noexcept {
  rlimit limit{};
  constexpr std::uint64_t kUsual = 1024;
  return ::getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : kUsual;
}

Result<void> load_tls(detail::ServerState& s, const ServerOptions& o) {
  if (!o.tls || s.tls) return {};
  auto loaded = net::TlsServer::create(*o.tls);
  if (!loaded) {
    log::error("http: TLS: {}", loaded.error());
    return fail(treadle::Errc::invalid);
  }
  s.tls = std::move(*loaded);
  return {};
}

// The first failure of several accept loops counts; it ends the others.
Result<void> accept_all(const std::shared_ptr<detail::ServerState>& s) {
  Mutex lock;
  Result<void> result;
  const auto run = [&s, &lock, &result](detail::Listening& from) {
    Result<void> ended = detail::accept_connections(s, from);
    if (ended) return;
    {
      const std::lock_guard guard(lock);
      if (result) result = ended;
    }
    s->accept_context.cancel();
  };
  WaitGroup others;
  for (std::size_t i = 1; i < s->listeners.size(); ++i) {
    others.add(1);
    go([&run, &others, from = s->listeners[i].get()] {
      run(*from);
      others.done();
    });
  }
  run(*s->listeners.front());
  others.wait();
  return result;
}

}  // namespace

// Never destroyed, so that errors can be compared while static objects die.
const std::error_category& http_category() noexcept {
  static const HttpCategory* const category = new HttpCategory;
  return *category;
}

Server::Server(ServerOptions options, Handler handler)
    : state_(std::make_shared<detail::ServerState>(std::move(options), std::move(handler))) {}

Server::Server(ServerOptions options, Router router) : Server(std::move(options), Handler(router)) {
  state_->router = std::move(router);
}

Server::~Server() {
  close();
  // The process may end right after its server, before the log's own end has come.
  if (state_->access_log) blocking([this] { state_->access_log->flush(); });
}

Result<void> Server::listen() {
  const ServerOptions& o = state_->current_settings()->options;
  const net::ListenOptions how{.keep_alive = o.tcp_keepalive, .unix_mode = o.unix_mode};
  std::vector<std::string_view> addresses;
  if (!o.address.empty()) addresses.push_back(o.address);
  for (const Endpoint& e : o.endpoints) addresses.push_back(e.address);
  std::vector<net::ListenSocket> sockets;
  for (const std::string_view address : addresses) {
    auto socket = net::ListenSocket::open(address, how);
    if (!socket) return fail(socket.error());
    sockets.push_back(std::move(*socket));
  }
  return listen_on(std::move(sockets));
}

Result<void> Server::listen_on(std::vector<net::ListenSocket> sockets) {
  detail::ServerState& s = *state_;
  const std::shared_ptr<const detail::Settings> settings = s.current_settings();
  const ServerOptions& o = settings->options;
  if (!s.listeners.empty()) throw Panic("http: Server::listen called twice");
  if (s.tls && !o.tls) throw Panic("http: Server::set_tls without ServerOptions::tls");
  const std::size_t own = o.address.empty() ? 0 : 1;
  if (sockets.empty() || sockets.size() != own + o.endpoints.size())
    throw Panic("http: Server::listen_on: not as many sockets as addresses");
  if (auto r = load_tls(s, o); !r) return r;
  // Now rather than at a request: where the kernel has no random bytes to give, this ends us.
  (void)process_sip_key();
  (void)RequestId::make();
  if (!o.access_log.empty()) {
    auto access_log =
        detail::AccessLog::open({.path = o.access_log, .format = o.access_log_format});
    if (!access_log) {
      log::error("http: access log {}: {}", o.access_log, access_log.error().message());
      return fail(access_log.error());
    }
    s.access_log = std::move(*access_log);
  }
  std::vector<std::unique_ptr<detail::Listening>> listeners;
  for (std::size_t i = 0; i < sockets.size(); ++i) {
    auto listener = net::Listener::adopt(std::move(sockets[i]));
    if (!listener) return fail(listener.error());
    const bool first = i < own;
    listeners.push_back(std::make_unique<detail::Listening>(
        std::move(*listener), first ? o.tls.has_value() : o.endpoints[i - own].tls,
        first ? o.proxy_protocol : o.endpoints[i - own].proxy_protocol));
  }
  s.slots.emplace(static_cast<std::int64_t>(detail::connection_limit(o, descriptor_limit())));
  if (o.max_connections_per_address > 0) s.per_address.emplace(o.max_connections_per_address);
  s.listeners = std::move(listeners);
  return {};
}

void Server::set_tls(net::TlsServer tls) { state_->tls = std::move(tls); }

net::SocketAddress Server::address() const {
  if (state_->listeners.empty()) throw Panic("http: Server::address before listen");
  return state_->listeners.front()->listener.address();
}

std::vector<net::SocketAddress> Server::addresses() const {
  std::vector<net::SocketAddress> all;
  for (const auto& l : state_->listeners) all.push_back(l->listener.address());
  return all;
}

Result<void> Server::serve() {
  const std::shared_ptr<detail::ServerState> s = state_;
  if (s->listeners.empty())
    if (auto r = listen(); !r) return r;
  // Before a shutdown that finds us accepting can wait for it, and not under the lock.
  s->accept_loops.add(1);
  bool twice = false;
  bool stopped = false;
  {
    const std::lock_guard guard(s->lock);
    twice = s->accepting;
    stopped = s->keep_alive.stopping.load();
    if (!twice && !stopped) s->accepting = true;
  }
  if (twice || stopped) {
    s->accept_loops.done();
    if (twice) throw Panic("http: Server::serve called twice");
    return {};
  }
  struct Done {
    WaitGroup& loops;
    ~Done() { loops.done(); }
  } const done{s->accept_loops};
  if (s->router) freeze(*s->router);
  return accept_all(s);
}

Result<void> Server::shutdown(const Context& ctx) {
  const std::shared_ptr<detail::ServerState> s = state_;
  bool accepting = false;
  {
    const std::lock_guard guard(s->lock);
    s->keep_alive.stopping.store(true);
    accepting = s->accepting;
  }
  s->accept_context.cancel();
  if (!accepting)
    for (const auto& l : s->listeners) l->listener.close();
  // Now, and again once no more are accepted.
  s->hurry_idle();
  Result<void> ended = s->accept_loops.wait(ctx);
  if (ended) {
    s->hurry_idle();
    ended = s->connections_alive.wait(ctx);
  }
  if (ended) return {};
  s->name_stragglers();
  const std::size_t busy = cut(*s);
  if (busy == 0) return {};
  log::warn("http: shutdown: {} requests were cut", busy);
  return ended;
}

void Server::close() noexcept { cut(*state_); }

Result<void> Server::reload(const ServerOptions& options) {
  detail::ServerState& s = *state_;
  const std::shared_ptr<const detail::Settings> old = s.current_settings();
  std::shared_ptr<const detail::Settings> next;
  try {
    next = detail::make_settings(detail::with_fixed_options(options, old->options));
  } catch (const Panic& e) {
    log::error("{}", e.what());
    return fail(treadle::Errc::invalid);
  }
  if (s.tls && next->options.tls) {
    if (auto loaded = s.tls->reload(*next->options.tls); !loaded) {
      log::error("http: TLS: {}", loaded.error());
      return fail(treadle::Errc::invalid);
    }
  }
  for (const auto& l : s.listeners) (void)l->listener.set_keep_alive(next->options.tcp_keepalive);
  s.change_settings(std::move(next));
  return {};
}

void Server::set_ready(bool ready) noexcept { state_->ready.store(ready); }

ServerStats Server::stats() const noexcept { return state_->stats(); }

bool Server::accepting() const noexcept {
  const std::lock_guard guard(state_->lock);
  return state_->accepting && !state_->keep_alive.stopping.load();
}

void Server::reopen_logs() {
  if (!state_->access_log) return;
  if (const Result<void> r = blocking([this] { return state_->access_log->reopen(); }); !r)
    log::error("http: access log {} not opened anew: {}",
               state_->current_settings()->options.access_log, r.error().message());
}

}  // namespace treadle::http
