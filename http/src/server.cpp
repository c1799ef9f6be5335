#include <treadle/http/server.h>

#include <fmt/format.h>

#include <treadle/blocking.h>
#include <treadle/go.h>
#include <treadle/http/error.h>
#include <treadle/log.h>

#include <exception>
#include <string>
#include <utility>

#include "connection.h"
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

void require(bool fine, const char* what) {
  if (!fine) throw Panic(fmt::format("http: ServerOptions: {}", what));
}

ServerOptions checked(ServerOptions o) {
  for (const Duration d : {o.header_timeout, o.idle_timeout, o.read_timeout, o.write_timeout,
                           o.handler_timeout, o.shutdown_timeout, o.drain_idle})
    require(d >= Duration::zero(), "a timeout is negative");
  require(o.limits.request_line > 0 && o.limits.head > 0 && o.limits.headers > 0,
          "a limit of the request's head is zero");
  require(o.limits.request_line <= o.limits.head, "limits.request_line exceeds limits.head");
  require(o.limits.head <= 1024 * 1024, "limits.head exceeds 1 MiB");
  return o;
}

ParserLimits parser_limits_of(const RequestLimits& limits) noexcept {
  ParserLimits p;
  p.request_line = limits.request_line;
  p.head = limits.head;
  p.headers = limits.headers;
  return p;
}

// Accepts until the accept context ends, then takes what has come already: closing a listener
// resets the connections in its backlog.
Result<void> accept_connections(const std::shared_ptr<detail::ServerState>& s) {
  {
    ContextScope scope(s->accept_context.context);
    for (;;) {
      auto conn = s->listener->accept();
      if (conn) {
        detail::ServerState::start(s, std::move(*conn));
      } else if (s->stopping.load()) {
        break;
      } else {
        return fail(conn.error());
      }
    }
  }
  // Outside of the scope, whose Context has ended.
  for (;;) {
    auto conn = s->listener->try_accept();
    if (!conn || !*conn) return {};
    detail::ServerState::start(s, std::move(*conn));
  }
}

// Ends everything at once; how many requests were under way.
std::size_t cut(detail::ServerState& s) noexcept {
  {
    std::lock_guard guard(s.lock);
    s.stopping.store(true);
  }
  s.closed.store(true);
  s.accept_context.cancel();
  if (s.listener) s.listener->close();
  const std::size_t busy = s.cut_all();
  s.connections_context.cancel();  // connections that were being started, too
  return busy;
}

}  // namespace

// Never destroyed, so that errors can be compared while static objects die.
const std::error_category& http_category() noexcept {
  static const HttpCategory* const category = new HttpCategory;
  return *category;
}

namespace detail {
namespace {

// The goroutine of a connection. Nothing that a client does may end the process, so what the server
// itself throws, out of memory as a rule, ends this connection only.
void run_connection(Connection& c) noexcept {
  try {
    for (Next next = c.begin(); next != Next::close; next = c.step())
      if (next == Next::wait && !c.wait()) break;
  } catch (const std::exception& e) {
    log::error("http: a connection ended: {}", e.what());
  }
  c.end();
}

}  // namespace

ServerState::ServerState(ServerOptions o, Handler h)
    : options(checked(std::move(o))),
      parser_limits(parser_limits_of(options.limits)),
      handler(std::move(h)),
      accept_context(with_cancel(background())),
      connections_context(with_cancel(background())) {
  require(static_cast<bool>(handler), "the handler is empty");
}

ServerState::~ServerState() = default;

void ServerState::start(const std::shared_ptr<ServerState>& self, std::unique_ptr<net::Conn> conn) {
  auto c = std::make_shared<Connection>(self, std::move(conn));
  self->add(*c);
  // close() goes through the list after setting the flag, so one of the two sees the connection.
  if (self->closed.load()) c->cut();
  go([self, owned = std::move(c)]() mutable {
    run_connection(*owned);
    self->remove(*owned);
    owned.reset();
    self->connections_alive.done();
  });
}

void ServerState::add(Connection& c) {
  connections_alive.add(1);
  std::lock_guard guard(lock);
  ++accepted;
  ++open;
  c.list_next = connections;
  if (connections != nullptr) connections->list_previous = &c;
  connections = &c;
}

void ServerState::remove(Connection& c) {
  std::lock_guard guard(lock);
  --open;
  of_closed.requests += c.requests();
  of_closed.refused += c.refused();
  of_closed.cut += c.responses_cut();
  (c.list_previous != nullptr ? c.list_previous->list_next : connections) = c.list_next;
  if (c.list_next != nullptr) c.list_next->list_previous = c.list_previous;
}

std::vector<std::shared_ptr<Connection>> ServerState::current() {
  std::vector<std::shared_ptr<Connection>> all;
  std::lock_guard guard(lock);
  all.reserve(open);
  for (Connection* c = connections; c != nullptr; c = c->list_next)
    all.push_back(c->shared_from_this());
  return all;
}

void ServerState::hurry_idle() {
  for (const auto& c : current()) c->hurry();
}

std::size_t ServerState::cut_all() noexcept {
  std::size_t busy = 0;
  for (const auto& c : current()) {
    if (c->busy()) ++busy;
    c->cut();
  }
  return busy;
}

ServerStats ServerState::stats() noexcept {
  std::lock_guard guard(lock);
  ServerStats s = of_closed;
  s.accepted = accepted;
  s.connections = open;
  for (const Connection* c = connections; c != nullptr; c = c->list_next) {
    s.requests += c->requests();
    s.refused += c->refused();
    s.cut += c->responses_cut();
  }
  if (access_log) s.access_log_dropped = access_log->dropped();
  return s;
}

}  // namespace detail

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
  detail::ServerState& s = *state_;
  if (s.listener) throw Panic("http: Server::listen called twice");
  if (!s.options.access_log.empty()) {
    auto access_log = detail::AccessLog::open(s.options.access_log);
    if (!access_log) return fail(access_log.error());
    s.access_log = std::move(*access_log);
  }
  auto listener = net::listen_tcp(s.options.address);
  if (!listener) return fail(listener.error());
  s.listener.emplace(std::move(*listener));
  return {};
}

net::SocketAddress Server::address() const {
  if (!state_->listener) throw Panic("http: Server::address before listen");
  return state_->listener->address();
}

Result<void> Server::serve() {
  const std::shared_ptr<detail::ServerState> s = state_;
  if (!s->listener)
    if (auto r = listen(); !r) return r;
  // Before a shutdown that finds us accepting can wait for it, and not under the lock.
  s->accept_loop.add(1);
  bool twice = false;
  bool stopped = false;
  {
    std::lock_guard guard(s->lock);
    twice = s->accepting;
    stopped = s->stopping.load();
    if (!twice && !stopped) s->accepting = true;
  }
  if (twice || stopped) {
    s->accept_loop.done();
    if (twice) throw Panic("http: Server::serve called twice");
    return {};
  }
  if (s->router) freeze(*s->router);
  Result<void> result = accept_connections(s);
  s->listener->close();
  s->accept_loop.done();
  return result;
}

Result<void> Server::shutdown(const Context& ctx) {
  const std::shared_ptr<detail::ServerState> s = state_;
  bool accepting = false;
  {
    std::lock_guard guard(s->lock);
    s->stopping.store(true);
    accepting = s->accepting;
  }
  s->accept_context.cancel();
  if (!accepting && s->listener) s->listener->close();
  Result<void> ended = s->accept_loop.wait(ctx);
  if (ended) {
    s->hurry_idle();
    ended = s->connections_alive.wait(ctx);
  }
  if (ended) return {};
  const std::size_t busy = cut(*s);
  if (busy == 0) return {};
  log::warn("http: shutdown: {} requests were cut", busy);
  return ended;
}

void Server::close() noexcept { cut(*state_); }

ServerStats Server::stats() const noexcept { return state_->stats(); }

}  // namespace treadle::http
