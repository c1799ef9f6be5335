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
#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <treadle/context.h>
#include <treadle/http/handler.h>
#include <treadle/http/request.h>
#include <treadle/http/response.h>
#include <treadle/http/router.h>
#include <treadle/net/addr.h>
#include <treadle/net/listen_socket.h>
#include <treadle/net/tls.h>
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
  std::size_t form_pairs = 1000;          // pairs or parts of a form or query: 413
  std::size_t part_head = 8 * 1024;       // bytes, of one part of a multipart form: 413
  std::size_t form_memory = 1024 * 1024;  // bytes of a form kept in memory; files beyond go to disk
};

// How the access log's lines look.
enum class AccessLogFormat : std::uint8_t {
  combined,  // Apache's combined format, request id and times added
  json,      // one JSON object a line
};

// A place to listen besides ServerOptions::address.
struct Endpoint {
  std::string address;          // as ServerOptions::address
  bool tls = false;             // speaks TLS, with ServerOptions::tls
  bool proxy_protocol = false;  // see ServerOptions::proxy_protocol
};

struct ServerOptions {
  // "1.2.3.4:80", "[::1]:80", ":80" for every address, "unix:/path"; port 0 takes a free one.
  // Speaks TLS when `tls` is set.
  std::string address = ":8080";
  // More places to listen.
  std::vector<Endpoint> endpoints{};
  // Certificates, and what else TLS needs. Empty: no TLS.
  std::optional<net::TlsServerOptions> tls{};
  // Whether each connection to `address` must begin with a PROXY protocol header, version 1 or 2,
  // which then says who the client is. For listeners that only a load balancer reaches.
  bool proxy_protocol = false;
  // Whose X-Forwarded-For, X-Forwarded-Proto and X-Request-Id are believed: addresses or networks,
  // "10.0.0.0/8", "::1", or "unix" for every peer on a Unix socket.
  std::vector<std::string> trusted_proxies{};
  // GOMAXPROCS, when listen_and_serve() starts the runtime; 0 means RuntimeOptions' default.
  int procs = 0;

  // From a request's first byte to the end of its head; for a connection's first request, from
  // accept, or from the end of PROXY header and TLS handshake. Then 408, or just a close when
  // nothing has come. 0: no limit.
  Duration header_timeout = std::chrono::seconds(10);
  // For the TLS handshake, from accept or the end of the PROXY header. 0: no limit.
  Duration tls_handshake_timeout = std::chrono::seconds(10);
  // For the PROXY header, from accept. 0: no limit.
  Duration proxy_timeout = std::chrono::seconds(5);
  // Between requests on a kept connection. 0: no limit.
  Duration idle_timeout = std::chrono::seconds(75);
  // Without a byte of progress while a body is read, or a response written. There is no limit on
  // the whole, which would kill honest slow transfers. The cut comes up to a tenth later, counted
  // from the last byte. 0: no limit.
  Duration read_timeout = std::chrono::seconds(30);
  Duration write_timeout = std::chrono::seconds(30);
  // Bytes a second that a body, or a response, must move at least on average, once we have waited
  // for the peer for `min_rate_after` in all. Time the handler takes does not count. 0: no limit.
  std::uint64_t min_rate = 240;
  Duration min_rate_after = std::chrono::seconds(5);
  // After this a request's Context ends with timed_out, and so does what the handler waits for. If
  // nothing has been sent by then the server answers 503 for it and ends the connection; if the
  // head has gone, the connection is cut. Files, server-sent events, hijacked connections and
  // responses that called streaming() are exempt. DeadlineScope changes it for a route or a
  // request. 0: no limit.
  Duration handler_timeout = std::chrono::seconds(60);

  RequestLimits limits{};

  // Connections at once; at the limit the longest idle one is closed, and where none is idle no
  // more are accepted until one ends. 0: as many as descriptors allow, (RLIMIT_NOFILE - 128) / 2.
  std::size_t max_connections = 0;
  // Connections at once from one address (IPv6: one /64); more are closed. 0: no limit.
  std::size_t max_connections_per_address = 0;
  // Requests on one connection. 0: no limit.
  std::uint64_t max_requests_per_connection = 0;
  // Silence after which TCP probes whether the peer is still there. 0: never.
  Duration tcp_keepalive = std::chrono::seconds(15);

  // What listen_and_serve() gives a graceful shutdown before it cuts. 0: no limit.
  Duration shutdown_timeout = std::chrono::seconds(25);
  // After SIGTERM /readyz fails for so long before the listeners close, so that a load balancer
  // stops sending. 0: none.
  Duration drain_delay = Duration::zero();
  // How long a connection idle at shutdown may still bring a request; it is answered with
  // `Connection: close`. Closing at once would lose requests that are on their way.
  Duration drain_idle = std::chrono::seconds(1);

  // Whether the server itself answers GET /healthz (200 while it runs) and GET /readyz (503 once it
  // shuts down).
  bool health = true;

  // A line per request: a file to append to, "-" for standard output, empty for none. Lines that
  // the disk is too slow for are dropped and counted; requests never wait for it.
  std::string access_log{};
  AccessLogFormat access_log_format = AccessLogFormat::combined;

  // User and group that listen_and_serve() becomes after binding, before the runtime has threads.
  // Empty: stays who it is.
  std::string user{};
  std::string group{};

  // Whether listen_and_serve() acts on SIGTERM, SIGINT, SIGHUP and SIGUSR2.
  bool handle_signals = true;

  // Permissions of a Unix socket's file: who may write to it may connect. An abstract socket
  // ("unix:@name") has no file: anybody on the machine may connect.
  unsigned unix_mode = 0660;
};

// Counters since the start; each is read on its own.
struct ServerStats {
  std::uint64_t accepted = 0;     // connections ever
  std::uint64_t connections = 0;  // open now
  std::uint64_t requests = 0;     // handed to the handler
  std::uint64_t refused = 0;      // answered by the server itself: malformed, too large, late
  // Responses that could not be completed, and those of pipelined requests that could not be sent
  // although they were.
  std::uint64_t cut = 0;
  std::uint64_t shed = 0;  // idle connections closed for want of room
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

  // Binds and listens; from here on clients can connect. Errors: those of net::listen(), and of
  // opening the access log; `invalid` for certificates that cannot be used, of which the log says
  // more. Never parks; any thread.
  [[nodiscard]] Result<void> listen();
  // The same with sockets that listen already, made before the runtime was there or handed over by
  // another process: one for ServerOptions::address, unless that is empty, then one for each of the
  // endpoints. Panics when there are not as many. Errors: of opening the access log.
  [[nodiscard]] Result<void> listen_on(std::vector<net::ListenSocket> sockets);
  // The certificates to use instead of loading ServerOptions::tls, loaded before privileges were
  // dropped as a rule. Before listen().
  void set_tls(net::TlsServer tls);
  // Where the first of them listens, with the real port when 0 was asked for. After listen().
  net::SocketAddress address() const;
  // Where all of them listen, in the order of the options. After listen().
  std::vector<net::SocketAddress> addresses() const;

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

  // Takes over what may change while it serves, for connections accepted from now on: time-outs,
  // limits, trusted proxies, certificates, whose files are read anew. Leaves the rest as it is.
  // Errors: `invalid`, nothing changed, the log says why. Blocks the M for files; may park behind
  // another reload.
  Result<void> reload(const ServerOptions& options);
  // What /readyz says until shutdown() begins. Never parks; any thread.
  void set_ready(bool ready) noexcept;

  // Never parks; any thread.
  ServerStats stats() const noexcept;

  // Whether serve() takes connections now. Never parks; any thread.
  bool accepting() const noexcept;
  // Opens the access log's file anew, after it was renamed. Blocks for a moment; any thread.
  void reopen_logs();

 private:
  std::shared_ptr<detail::ServerState> state_;
};

// What a program adds to listen_and_serve().
struct ServeHooks {
  // SIGHUP: reads the options anew; the error is one line that says what is wrong and where. Called
  // on a plain thread, one call at a time. Without it SIGHUP reads certificates and opens logs anew
  // and changes nothing else.
  std::function<std::expected<ServerOptions, std::string>()> reload{};
};

// Runs a server as an operator expects it, see treadle/net/service.h: sockets that a service
// manager or a predecessor hands down (their names: "listen", then "endpoint1" and so on), the
// change of user, the runtime, and signals, where ServerOptions::handle_signals:
//   SIGTERM, SIGINT  /readyz fails, `drain_delay` passes, then Server::shutdown() within
//                    `shutdown_timeout`; a second one ends the process at once (130, 143)
//   SIGHUP           opens the logs anew, and takes over what can change of the options that
//                    ServeHooks::reload reads; names in the log what cannot; when they are wrong
//                    it says so in the log and the old ones stay, whole
//   SIGUSR2          starts the program anew and hands it the sockets, then shuts down
// Starts the runtime when called from main(); from a goroutine it parks. Raises the soft limit on
// open files to the hard one. Returns an exit code: 0 when nothing was cut, 1 when something was,
// or when it could not begin: an option or TREADLE_MAXPROCS out of range, `procs` for a runtime
// that stands already, an address that cannot be listened on. The log says which, in a line.
int listen_and_serve(const ServerOptions& options, Router router, ServeHooks hooks = {});
int listen_and_serve(const ServerOptions& options, Handler handler, ServeHooks hooks = {});

}  // namespace treadle::http
