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
#include <treadle/net/tls_conn.h>
#include <treadle/semaphore.h>
#include <treadle/wait_group.h>

#include "access_log.h"
#include "address_limits.h"
#include "keep_alive.h"
#include "output_sweep.h"
#include "settings.h"

namespace treadle::http::detail {

class Connection;

// A listening socket, and what is spoken on it.
struct Listening {
  net::Listener listener;
  bool tls = false;
  bool proxy_protocol = false;
  std::shared_ptr<const Settings> settings{};  // the newest its accept loop has seen; that one's
};

// A connection as it comes from a listener.
struct Arrival {
  std::unique_ptr<net::Conn> conn;
  net::Conn* raw = nullptr;     // the one below TLS; null: conn itself
  net::TlsConn* tls = nullptr;  // conn, if it is to speak TLS
  bool proxy_protocol = false;
  std::shared_ptr<const Settings> settings{};  // null: the newest
  Semaphore::Hold slot{};  // its place among the connections, held until it ends
};

// Kept alive by the Server and by each connection, whose handlers may outlive a server that was
// cut.
//
// Who touches what:
//   handler, listeners, slots   constant from the first accept on
//   keep_alive, closed          set by shutdown(), close() and a full server, read by everybody
//   settings                    under `lock`; a connection keeps those it began with. An accept
//   loop
//                               takes the lock for them only where `newest_settings`, stored with
//                               them, differs from those that it keeps, and so keeps alive: the
//                               address of others cannot be the same.
//   the list of connections     under `lock`; a Connection leaves it before its goroutine lets go
//                               of it, so that each in it may be shared
// `lock` is a plain mutex: it is held for some pointers' worth of work, and over no call that
// enters the runtime. A goroutine may be made to give way there, and would keep the lock while the
// threads that want it block. So close() and the like are called on a copy of the list.
struct ServerState {
  ServerState(ServerOptions o, Handler h);
  ~ServerState();

  const Handler handler;
  std::unique_ptr<AccessLog> access_log;  // null: off; made by listen()

  std::optional<Router> router;  // to be frozen when serving begins; empty for a bare handler

  std::vector<std::unique_ptr<Listening>> listeners;  // made by listen()
  std::optional<Semaphore> slots;                     // places for connections; made by listen()
  std::optional<AddressLimits> per_address;           // empty: no limit
  std::optional<net::TlsServer> tls;                  // set before, or by, listen()
  WaitGroup accept_loops;                             // serve()'s
  CancelableContext accept_context;                   // cancelled to end the accept loops
  // Parent of every connection's Context, cancelled by close() and by a shutdown that ran out of
  // time.
  CancelableContext connections_context;

  const std::shared_ptr<OutputSweep> sweep = std::make_shared<OutputSweep>();

  KeepAlive keep_alive;
  std::atomic<bool> ready{true};    // what /readyz says while nothing shuts down
  std::atomic<bool> closed{false};  // no connection is served any more
  // One as long as there is any connection: raised after `open` has left zero, lowered after it has
  // come to zero, both outside of `lock`. It cannot become negative, since whoever raised `open`
  // leaves only after that. It is late for add() alone, hence right once no accept loop runs.
  WaitGroup connections_alive;

  std::mutex lock;
  std::shared_ptr<const Settings> settings;      // under lock
  std::atomic<const Settings*> newest_settings;  // stored under lock
  bool accepting = false;                        // under lock: serve() is, or was, under way
  Connection* connections = nullptr;             // under lock, as are the counters
  std::uint64_t accepted = 0;
  std::uint64_t open = 0;
  std::uint64_t shed = 0;
  ServerStats of_closed;  // requests, refused and cut of connections that are gone

  std::shared_ptr<const Settings> current_settings();
  void change_settings(std::shared_ptr<const Settings> next);
  bool is_ready() const noexcept { return ready.load() && !keep_alive.stopping.load(); }

  // Starts serving a connection on a goroutine of its own. False: there is no memory for one, and
  // the connection is closed.
  static bool start(const std::shared_ptr<ServerState>& self, Arrival arrival);
  void add(Connection& c);
  // It is none of the server's connections any more: off the list, its place free, not waited for.
  // Idempotent; its own goroutine.
  void leave(Connection& c);
  // Those that are there now. Ones that come later see `keep_alive` and `closed` themselves.
  std::vector<std::shared_ptr<Connection>> current();
  // Gives idle connections `drain_idle` from now.
  void hurry_idle();
  // Ends the connection that has been idle for longest; false when none is idle.
  bool shed_idle();
  // Cancels every request and closes every connection; how many requests were under way.
  std::size_t cut_all() noexcept;
  // Names in the log what cut_all() is going to cut, the first of many.
  void name_stragglers();
  ServerStats stats() noexcept;

 private:
  // Those idle for longest, the longest last, found by one walk for many: a flood that stands at
  // the limit must not make each accept walk over all connections. Under lock.
  struct Candidate {
    std::weak_ptr<Connection> connection;
    TimePoint since;
  };
  std::vector<Candidate> candidates_;
  TimePoint next_walk_{};  // not before; none was found by the last
  std::shared_ptr<Connection> next_candidate();
  void find_candidates(TimePoint now);
};

}  // namespace treadle::http::detail
