// Server: an HTTP/1.1 server with one goroutine per connection.
//
//   int main() {
//     http::Router router;
//     router.handle("GET /hello/{name}", [](http::Response& res, const http::Request& req) {
//       res.print("Hello, {}!\n", req.path_value("name"));
//     });
//     return http::listen_and_serve({.address = ":8080"}, router);
//   }
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include <treadle/context.h>
#include <treadle/http/handler.h>
#include <treadle/http/request.h>
#include <treadle/http/response.h>
#include <treadle/http/router.h>
#include <treadle/net/addr.h>
#include <treadle/result.h>
#include <treadle/timer.h>

namespace treadle::http {

namespace detail {
struct ServerState;
}

// How much a client may send. Beyond a limit its request is refused with the status named.
struct RequestLimits {
  std::size_t request_line = 8 * 1024;    // bytes: 414
  std::size_t head = 32 * 1024;           // bytes, request line included: 431
  std::size_t headers = 100;              // fields: 431
  std::uint64_t body = 10 * 1024 * 1024;  // bytes: 413; 0 means no limit
};

struct ServerOptions {
  // "1.2.3.4:80", "[::1]:80", ":80" for every address; port 0 takes a free one.
  std::string address = ":8080";
  // GOMAXPROCS, when listen_and_serve() starts the runtime; 0 means RuntimeOptions' default.
  int procs = 0;

  // From a request's first byte to the end of its head; for a connection's first request, from
  // accept. Then 408, or just a close when nothing has come. 0: no limit.
  Duration header_timeout = std::chrono::seconds(10);
  // Between requests on a kept connection. 0: no limit.
  Duration idle_timeout = std::chrono::seconds(75);
  // Without a byte of progress while a body is read, or a response written. There is no limit on
  // the whole, which would kill honest slow transfers. The cut comes up to a tenth later, counted
  // from the last byte. 0: no limit.
  Duration read_timeout = std::chrono::seconds(30);
  Duration write_timeout = std::chrono::seconds(30);
  // After this a request's Context is done: what the handler waits for ends with timed_out. The
  // Response still works; a handler that wrote nothing gets 503 answered for it. 0: no limit.
  Duration handler_timeout = std::chrono::seconds(60);

  RequestLimits limits{};

  // What listen_and_serve() gives a graceful shutdown before it cuts. 0: no limit.
  Duration shutdown_timeout = std::chrono::seconds(25);
  // How long a connection idle at shutdown may still bring a request; it is answered with
  // `Connection: close`. Closing at once would lose requests that are on their way.
  Duration drain_idle = std::chrono::seconds(1);

  // A line per request: a file to append to, "-" for standard output, empty for none. Lines that
  // the disk is too slow for are dropped and counted; requests never wait for it.
  std::string access_log{};

  // Whether listen_and_serve() shuts down on SIGTERM and SIGINT.
  bool handle_signals = true;
};

// Counters since the start; each is read on its own.
struct ServerStats {
  std::uint64_t accepted = 0;     // connections ever
  std::uint64_t connections = 0;  // open now
  std::uint64_t requests = 0;     // handed to the handler
  std::uint64_t refused = 0;      // answered by the server itself: malformed, too large, late
  std::uint64_t cut = 0;          // responses that could not be completed
  std::uint64_t access_log_dropped = 0;
};

// One listening address and the connections that came by it. Destroying it closes it as close()
// does; handlers still running then end on their own, so what they use must outlive them.
//
//   http::Server server({.address = "127.0.0.1:0"}, router);
//   if (auto r = server.listen(); !r) ...
//   treadle::go([&] { server.serve(); });
//   ...
//   server.shutdown(treadle::with_timeout(treadle::background(), 5s).context);
class Server {
 public:
  // Panics when an option is out of range (a negative duration, a limit of zero bytes). The router
  // takes no more routes from serve() on.
  Server(ServerOptions options, Router router);
  Server(ServerOptions options, Handler handler);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Binds and listens; from here on clients can connect. Errors: those of net::listen_tcp(), and
  // of opening the access log. Never parks; any thread.
  [[nodiscard]] Result<void> listen();
  // Where it listens, with the real port when 0 was asked for. After listen().
  net::SocketAddress address() const;

  // Accepts connections and serves them until shutdown() or close(); calls listen() when that has
  // not been done. Touches no signals. Connections go on being served after it has returned.
  // Parks the calling G; call from a G, once. Errors: those of listen() and accept.
  Result<void> serve();

  // Ends gracefully: takes what already waits in the backlog, closes the listener, answers the
  // requests under way and those that reach an idle connection within ServerOptions::drain_idle
  // with `Connection: close`, and returns when no connection is left. Once `ctx` is done it cuts
  // what remains, cancels those requests' Contexts, and returns timed_out or canceled.
  // It waits neither for handlers that were cut nor for anything a handler started on the side.
  // Parks the calling G; call from a G.
  Result<void> shutdown(const Context& ctx = background());

  // Closes the listener and cuts every connection. Idempotent; never parks; any thread.
  void close() noexcept;

  // Never parks; any thread.
  ServerStats stats() const noexcept;

 private:
  std::shared_ptr<detail::ServerState> state_;
};

// Runs a server until SIGTERM or SIGINT: the first one shuts down gracefully, within
// ServerOptions::shutdown_timeout, a second one ends the process at once. Starts the runtime when
// called from main(); from a goroutine it parks. Raises the soft limit on open files to the hard
// one. Returns an exit code: 0 when nothing was cut, 1 when something was, or when it could not
// begin: an option or TREADLE_MAXPROCS out of range, `procs` for a runtime that stands already, an
// address that cannot be listened on. The log says which, in a line.
int listen_and_serve(const ServerOptions& options, Router router);
int listen_and_serve(const ServerOptions& options, Handler handler);

}  // namespace treadle::http
