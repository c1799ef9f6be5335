// treadle-echo: sends every byte back. One goroutine per connection, in plain blocking style.
//
// On SIGTERM or SIGINT it takes no more connections, reads no more, writes back what it has read
// and ends; a second signal, or 5 seconds, ends it at once.
#include <treadle/context.h>
#include <treadle/go.h>
#include <treadle/log.h>
#include <treadle/net/tcp.h>
#include <treadle/runtime.h>
#include <treadle/signals.h>
#include <treadle/wait_group.h>

#include <array>
#include <csignal>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "process.h"
#include "settings.h"

namespace {

using namespace std::chrono_literals;
namespace apps = treadle::apps;
namespace log = treadle::log;
namespace net = treadle::net;

constexpr treadle::Duration kDrain = 5s;

void echo(net::Conn& conn, const treadle::Context& stop) {
  std::array<std::byte, 16 * 1024> buffer;
  for (;;) {
    // Only the wait for more ends with `stop`: what was read is always written back.
    treadle::Result<std::size_t> n = [&] {
      treadle::ContextScope scope(stop);
      return conn.read(buffer);
    }();
    if (!n || *n == 0) return;
    if (!conn.write_all(std::span<const std::byte>(buffer).first(*n))) return;
  }
}

int serve(const std::string& address) {
  auto signals = std::make_shared<treadle::SignalSet>(std::initializer_list<int>{SIGINT, SIGTERM});
  auto listener = net::listen_tcp(address);
  if (!listener) {
    log::error("echo: cannot listen on {}: {}", address, listener.error().message());
    return apps::kExitFailure;
  }
  log::info("echo: listening on {}", listener->address().to_string());

  auto [stop, cancel_stop] = treadle::with_cancel(treadle::background());
  auto [drain, cancel_drain] = treadle::with_cancel(treadle::background());
  treadle::go([signals, cancel_stop, cancel_drain] {
    if (signals->wait()) cancel_stop();
    if (signals->wait()) cancel_drain();
  });

  // Shared, since connections that outlast the drain still count themselves out.
  auto open = std::make_shared<treadle::WaitGroup>();
  std::error_code accept_error;
  {
    treadle::ContextScope scope(stop);
    for (;;) {
      auto conn = listener->accept();
      if (!conn) {
        if (!stop.done()) accept_error = conn.error();
        break;
      }
      open->add(1);
      treadle::go([open, stop, c = std::shared_ptr<net::Conn>(std::move(*conn))] {
        echo(*c, stop);
        c->close();
        open->done();
      });
    }
  }
  listener->close();
  if (accept_error) {
    log::error("echo: cannot take connections: {}", accept_error.message());
    return apps::kExitFailure;
  }

  auto [limit, cancel_limit] = treadle::with_timeout(drain, kDrain);
  if (!open->wait(limit)) log::warn("echo: connections were cut off that did not end in time");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::string listen = "127.0.0.1:8080";
  treadle::RuntimeOptions options;
  apps::Settings settings("treadle-echo", "TCP echo server: sends back every byte it receives.");
  settings.listen_and_procs(listen, options.max_procs);
  if (auto exit_code = settings.parse(argc, argv)) return *exit_code;

  apps::raise_descriptor_limit();
  int exit_code = apps::kExitFailure;
  treadle::run(options, [&] { exit_code = serve(listen); });
  return exit_code;
}
