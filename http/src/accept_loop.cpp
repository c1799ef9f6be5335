#include "accept_loop.h"

#include <treadle/log.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <utility>

#include "connection.h"
#include "log_gate.h"

namespace treadle::http::detail {
namespace {

using std::chrono::milliseconds;

// While a full server waits for a place it looks again so often whether a connection has become
// idle.
constexpr milliseconds kLookForIdle{50};

// Waits for a place among the connections, ending the one that has been idle for longest. False:
// the server is closed.
bool take_slot(ServerState& s) {
  if (s.slots->try_acquire()) return true;
  struct Full {
    KeepAlive& keep_alive;
    explicit Full(KeepAlive& k) : keep_alive(k) { keep_alive.full.fetch_add(1); }
    ~Full() { keep_alive.full.fetch_sub(1); }
  } const full(s.keep_alive);
  const Context& closed = s.connections_context.context;
  while (!closed.done()) {
    s.shed_idle();
    if (s.slots->acquire(1, with_timeout(closed, kLookForIdle).context)) return true;
  }
  return false;
}

Arrival arrival(ServerState& s, const Listening& from, std::unique_ptr<net::TcpConn> conn) {
  Arrival a;
  a.raw = conn.get();
  a.proxy_protocol = from.proxy_protocol;
  if (from.tls) {
    auto tls = std::make_shared<net::TlsConn>(std::move(conn), *s.tls);
    a.tls = tls.get();
    a.conn = std::move(tls);
  } else {
    a.conn = std::move(conn);
  }
  return a;
}

// Nothing that a shortage does to one connection ends the loop.
void admit(const std::shared_ptr<ServerState>& s, const Listening& from,
           std::unique_ptr<net::TcpConn> conn) {
  if (!take_slot(*s)) return;
  Semaphore::Hold slot(*s->slots);
  static constinit LogGate gate;
  try {
    Arrival a = arrival(*s, from, std::move(conn));
    a.slot = std::move(slot);
    if (ServerState::start(s, std::move(a))) return;
    if (const auto more = gate.pass())
      log::warn("http: no memory for another connection ({} more left out)", *more);
  } catch (const std::exception& e) {
    if (const auto more = gate.pass())
      log::error("http: a connection was not served: {} ({} more left out)", e.what(), *more);
  }
}

}  // namespace

Result<void> accept_connections(const std::shared_ptr<ServerState>& s, Listening& from) {
  Result<void> result;
  {
    const ContextScope scope(s->accept_context.context);
    for (;;) {
      auto conn = from.listener.accept();
      if (!conn) {
        if (!s->keep_alive.stopping.load()) result = fail(conn.error());
        break;
      }
      admit(s, from, std::move(*conn));
    }
  }
  // Outside of the scope, whose Context has ended.
  while (result) {
    auto conn = from.listener.try_accept();
    if (!conn || !*conn) break;
    admit(s, from, std::move(*conn));
  }
  from.listener.close();
  return result;
}

std::size_t connection_limit(const ServerOptions& options, std::uint64_t descriptors) noexcept {
  if (options.max_connections != 0) return options.max_connections;
  constexpr std::uint64_t kReserve = 128;
  constexpr std::uint64_t kMost = std::uint64_t{1} << 30;
  const std::uint64_t left = descriptors > kReserve ? descriptors - kReserve : 0;
  return static_cast<std::size_t>(std::clamp<std::uint64_t>(left / 2, 1, kMost));
}

}  // namespace treadle::http::detail
