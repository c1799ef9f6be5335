// treadle-bench: treadle's own server for the comparison, the same routes as its peers.
//
//   treadle-bench --port N [--workers N] [--root DIR] [--cert PEM --key PEM]
//                 [--access-log FILE] [--open-files N] [--tcp-echo]
//
// Every time-out and limit stays at its default, but for the number of connections: the default
// keeps half of the descriptors for files that handlers open, and 10,000 connections have to fit.
// Files stay open for a second by default, as users get it; with --open-files 0 each request opens
// its own.
#include <signal.h>
#include <sys/resource.h>
#include <time.h>

#include <array>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <treadle/blocking.h>
#include <treadle/go.h>
#include <treadle/http/file_server.h>
#include <treadle/http/json.h>
#include <treadle/http/server.h>
#include <treadle/net/listener.h>
#include <treadle/net/tcp.h>
#include <treadle/runtime.h>
#include <treadle/signals.h>

#include "../../load/flags.h"

namespace http = treadle::http;
namespace net = treadle::net;

namespace {

struct Flags {
  int port = 0;
  int workers = 1;
  int open_files = -1;  // the default
  std::string root{};
  std::string cert{};
  std::string key{};
  std::string access_log{};
  bool tcp_echo = false;
};

std::optional<int> parse_number(std::string_view text, int least, int most) {
  int n = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (error != std::errc() || end != text.data() + text.size() || n < least || n > most)
    return std::nullopt;
  return n;
}

Flags parse(int argc, char** argv) {
  load::Flags given(
      argc, argv,
      "usage: treadle-bench --port N [--workers N] [--root DIR] [--cert PEM --key PEM] "
      "[--access-log FILE] [--open-files N] [--tcp-echo]\n");
  Flags flags;
  flags.port = static_cast<int>(given.integer("port", 0, 1, 65535));
  flags.workers = static_cast<int>(given.integer("workers", flags.workers, 1, 1024));
  flags.open_files = static_cast<int>(given.integer("open-files", flags.open_files, 0, 1'000'000));
  flags.root = given.text("root", "");
  flags.cert = given.text("cert", "");
  flags.key = given.text("key", "");
  flags.access_log = given.text("access-log", "");
  flags.tcp_echo = given.given("tcp-echo");
  given.done();
  if (flags.port == 0) given.refuse("--port is missing");
  if (flags.cert.empty() != flags.key.empty()) given.refuse("--cert and --key go together");
  if (flags.tcp_echo && !flags.cert.empty()) given.refuse("--tcp-echo speaks no TLS");
  return flags;
}

void plaintext(http::Response& res, const http::Request&) {
  res.content_type("text/plain").write("Hello, World!");
}

void json(http::Response& res, const http::Request&) {
  (void)http::write_json(res, {{"message", "Hello, World!"}});
}

// The whole body is read before the first byte goes back: a response that begins while more than
// 256 KiB of its request are unread ends the connection.
void echo(http::Response& res, const http::Request& req) {
  const auto body = req.body().read_all();
  if (!body) return;  // answered for us
  res.content_type("application/octet-stream").content_length(body->size()).write(*body);
}

std::optional<std::chrono::milliseconds> milliseconds_asked(http::Response& res,
                                                            const http::Request& req) {
  constexpr int kMost = 10'000;
  if (auto ms = parse_number(req.query("ms").value_or(""), 0, kMost))
    return std::chrono::milliseconds(*ms);
  (void)res.send_error(400, "?ms=N needs a number from 0 to 10000");
  return std::nullopt;
}

void block_for(std::chrono::milliseconds time) {
  timespec left{time.count() / 1000, time.count() % 1000 * 1'000'000};
  while (::nanosleep(&left, &left) != 0) {
  }
}

// Blocks its thread in a system call that the runtime is told of, or not.
void slow(http::Response& res, const http::Request& req) {
  const auto time = milliseconds_asked(res, req);
  if (!time) return;
  const std::string how = req.query("how").value_or("wrapped");
  if (how == "wrapped")
    treadle::blocking([&] { block_for(*time); });
  else if (how == "unwrapped")
    block_for(*time);
  else
    return (void)res.send_error(400, "?how= is wrapped or unwrapped");
  res.content_type("text/plain").write("slow\n");
}

// Computes and calls nothing of treadle's.
void spin(http::Response& res, const http::Request& req) {
  const auto time = milliseconds_asked(res, req);
  if (!time) return;
  const auto end = std::chrono::steady_clock::now() + *time;
  while (std::chrono::steady_clock::now() < end) {
  }
  res.content_type("text/plain").write("spun\n");
}

std::size_t most_connections() {
  constexpr rlim_t kOthers = 512;  // descriptors that are no connections
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_max <= 2 * kOthers) return 0;
  return limit.rlim_max - kOthers;  // listen_and_serve() raises the soft limit to the hard one
}

int serve_http(const Flags& flags) {
  http::ServerOptions options;
  options.address = "127.0.0.1:" + std::to_string(flags.port);
  options.procs = flags.workers;
  options.max_connections = most_connections();
  options.access_log = flags.access_log;
  if (!flags.cert.empty())
    options.tls =
        net::TlsServerOptions{.certificates = {{.chain_file = flags.cert, .key_file = flags.key}}};

  http::Router router;
  router.handle("GET /plaintext", plaintext);
  router.handle("GET /json", json);
  router.handle("POST /echo", echo);
  router.handle("GET /slow", slow);
  router.handle("GET /spin", spin);
  if (!flags.root.empty()) {
    http::FileServerOptions files;
    if (flags.open_files >= 0) files.open_files = static_cast<std::size_t>(flags.open_files);
    router.handle("GET /{path...}", http::file_server(flags.root, files));
  }
  return http::listen_and_serve(options, router);
}

void echo_bytes(net::Conn& conn) {
  std::array<std::byte, 16 * 1024> buffer;
  for (;;) {
    const auto n = conn.read(buffer);
    if (!n || *n == 0) break;
    if (!conn.write_all(std::span<const std::byte>(buffer).first(*n))) break;
  }
  conn.close();
}

int serve_tcp_echo(const Flags& flags) {
  int exit_code = 0;
  treadle::run({.max_procs = flags.workers}, [&] {
    const std::string address = "127.0.0.1:" + std::to_string(flags.port);
    auto listener = net::listen_tcp(address);
    if (!listener) {
      std::fprintf(stderr, "treadle-bench: %s: %s\n", address.c_str(),
                   listener.error().message().c_str());
      exit_code = 1;
      return;
    }
    treadle::go([&] {
      while (auto conn = listener->accept())
        treadle::go([c = std::shared_ptr<net::Conn>(std::move(*conn))] { echo_bytes(*c); });
    });
    treadle::SignalSet stop({SIGTERM, SIGINT});
    (void)stop.wait();
  });
  return exit_code;
}

}  // namespace

int main(int argc, char** argv) {
  const Flags flags = parse(argc, argv);
  return flags.tcp_echo ? serve_tcp_echo(flags) : serve_http(flags);
}
