#include "accept_loop.h"

#include <treadle/log.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <new>
#include <string>
#include <utility>

#include "connection.h"
#include "log_gate.h"

namespace treadle::http::detail {
namespace {

using std::chrono::milliseconds;

// While a full server waits for a place it looks again so often whether a connection has become
// idle.
constexpr milliseconds kLookForIdle{50};
constexpr int kLooksAtTheEnd = 20;

// At the end so many are taken from the backlog at most: a successor may share it, and would have
// it filled for ever.
constexpr int kMostAtTheEnd = 4096;

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
  // A server that ends does not hold up its end for one more.
  for (int looks = 0; !closed.done() && looks < kLooksAtTheEnd;
       looks += s.keep_alive.stopping.load() ? 1 : 0) {
    s.shed_idle();
    if (s.slots->acquire(1, with_timeout(closed, kLookForIdle).context)) return true;
  }
  return false;
}

Arrival arrival(ServerState& s, Listening& from, std::unique_ptr<net::TcpConn> conn) {
  if (from.settings.get() != s.newest_settings.load()) from.settings = s.current_settings();
  Arrival a;
  a.settings = from.settings;
  a.raw = conn.get();
  a.proxy_protocol = from.proxy_protocol;
  if (from.tls) {
    auto tls = std::make_unique<net::TlsConn>(std::move(conn), *s.tls);
    a.tls = tls.get();
    a.conn = std::move(tls);
  } else {
    a.conn = std::move(conn);
  }
  return a;
}

void admit(const std::shared_ptr<ServerState>& s, Listening& from,
           std::unique_ptr<net::TcpConn> conn) {
  if (!take_slot(*s)) return;
  Semaphore::Hold slot(*s->slots);
  Arrival a = arrival(*s, from, std::move(conn));
  a.slot = std::move(slot);
  if (!ServerState::start(s, std::move(a))) throw std::bad_alloc();
}

// Nothing that a shortage does to one connection ends the loop.
template <class Accept>
Result<bool> accept_one(const std::shared_ptr<ServerState>& s, Listening& from,
                        const Accept& accept) {
  static constinit LogGate gate;
  std::string failure;
  try {
    auto conn = accept();
    if (!conn) return fail(conn.error());
    if (!*conn) return false;
    admit(s, from, std::move(*conn));
    return true;
  } catch (const std::exception& e) {
    failure = e.what();
  }
  if (const auto more = gate.pass())
    log::error("http: a connection was not served: {} ({} more left out)", failure, *more);
  return true;
}

}  // namespace

Result<void> accept_connections(const std::shared_ptr<ServerState>& s, Listening& from) {
  Result<void> result;
  {
    const ContextScope scope(s->accept_context.context);
    for (;;) {
      const auto taken = accept_one(s, from, [&] { return from.listener.accept(); });
      if (taken) continue;
      if (!s->keep_alive.stopping.load()) result = fail(taken.error());
      break;
    }
  }
  // Outside of the scope, whose Context has ended.
  for (int i = 0; result && i < kMostAtTheEnd; ++i) {
    const auto taken = accept_one(s, from, [&] { return from.listener.try_accept(); });
    if (!taken || !*taken) break;
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
