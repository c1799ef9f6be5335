// What a Server and its connections share.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include <treadle/context.h>
#include <treadle/http/server.h>
#include <treadle/net/tcp.h>
#include <treadle/wait_group.h>

#include "access_log.h"
#include "parser.h"

namespace treadle::http::detail {

class Connection;

// Kept alive by the Server and by each connection, whose handlers may outlive a server that was
// cut.
//
// Who touches what:
//   options, parser_limits, handler   constant from the first accept on
//   stopping, closed                  set by shutdown() or close(), read by everybody
//   the list of connections           under `lock`; a Connection leaves it before its goroutine
//                                     lets go of it, so that each in it may be shared
// `lock` is a plain mutex: it is held for some pointers' worth of work, and over no call that
// enters the runtime. A goroutine may be made to give way there, and would keep the lock while the
// threads that want it block. So close() and the like are called on a copy of the list.
struct ServerState {
  ServerState(ServerOptions o, Handler h);
  ~ServerState();

  const ServerOptions options;
  const ParserLimits parser_limits;
  const Handler handler;
  std::unique_ptr<AccessLog> access_log;  // null: off; made by listen()

  std::optional<Router> router;  // to be frozen when serving begins; empty for a bare handler

  std::optional<net::Listener> listener;  // made by listen()
  WaitGroup accept_loop;                     // serve()'s accept loop
  CancelableContext accept_context;          // cancelled to end the accept loop
  // Parent of every connection's Context, cancelled by close() and by a shutdown that ran out of
  // time.
  CancelableContext connections_context;

  std::atomic<bool> stopping{false};  // no connection is kept for another request
  std::atomic<bool> closed{false};    // and none is served any more
  WaitGroup connections_alive;

  std::mutex lock;
  bool accepting = false;             // under lock: serve() is, or was, under way
  Connection* connections = nullptr;  // under lock, as are the counters
  std::uint64_t accepted = 0;
  std::uint64_t open = 0;
  ServerStats of_closed;  // requests, refused and cut of connections that are gone

  std::atomic<bool> ready{true};  // what /readyz says while the server is not stopping

  // Starts serving a connection on a goroutine of its own.
  static void start(const std::shared_ptr<ServerState>& self, std::unique_ptr<net::Conn> conn);
  void add(Connection& c);  // counts it in connections_alive, too; remove() does not count it out
  void remove(Connection& c);
  // Those that are there now. Ones that come later see `stopping` and `closed` themselves.
  std::vector<std::shared_ptr<Connection>> current();
  // Gives idle connections `drain_idle` from now.
  void hurry_idle();
  // Cancels every request and closes every connection; how many requests were under way.
  std::size_t cut_all() noexcept;
  ServerStats stats() noexcept;
};

}  // namespace treadle::http::detail
