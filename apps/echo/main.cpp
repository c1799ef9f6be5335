// treadle-echo: sends every byte back. One goroutine per connection, in plain blocking style.
//
// On SIGTERM or SIGINT it takes no more connections, reads no more, writes back what it has read
// and ends; a second signal ends it at once, and so does the end of `shutdown_timeout`.
#include <treadle/context.h>
#include <treadle/go.h>
#include <treadle/log.h>
#include <treadle/net/service.h>
#include <treadle/net/tcp.h>
#include <treadle/wait_group.h>

#include <array>
#include <atomic>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "service_settings.h"
#include "settings.h"

namespace {

namespace apps = treadle::apps;
namespace log = treadle::log;
namespace net = treadle::net;

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

class EchoService final : public net::Service {
 public:
  EchoService(apps::Settings& settings, apps::ServiceSettings& service)
      : settings_(settings),
        service_(service),
        stop_(treadle::with_cancel(treadle::background())),
        open_(std::make_shared<treadle::WaitGroup>()) {}

  treadle::Result<void> start(std::vector<net::ListenSocket> sockets) override {
    auto listener = net::Listener::adopt(std::move(sockets.front()));
    if (!listener) return treadle::fail(listener.error());
    listener_.emplace(std::move(*listener));
    closed_.add(1);
    return {};
  }

  treadle::Result<void> serve() override {
    treadle::ContextScope scope(stop_.context);
    accepting_ = true;
    treadle::Result<void> result;
    for (;;) {
      auto conn = listener_->accept();
      if (!conn) {
        if (!stop_.context.done()) result = treadle::fail(conn.error());
        break;
      }
      start_echo(std::move(*conn));
    }
    accepting_ = false;
    {
      // Closing a listener resets the connections in its backlog.
      treadle::ContextScope unstopped(treadle::background());
      for (auto conn = listener_->try_accept(); conn && *conn; conn = listener_->try_accept())
        start_echo(std::move(*conn));
      listener_->close();
    }
    closed_.done();
    return result;
  }

  treadle::Result<void> shutdown(const treadle::Context& ctx) override {
    stop_.cancel();
    auto ended = closed_.wait(ctx);
    if (ended) ended = open_->wait(ctx);
    if (!ended) log::warn("echo: connections were cut off that did not end in time");
    return ended;
  }

  bool accepting() const override { return accepting_; }
  void reload() override { apps::reload_service("echo", settings_, service_); }
  treadle::Duration drain_delay() const override { return service_.drain_delay; }
  treadle::Duration shutdown_timeout() const override { return service_.shutdown_timeout; }

 private:
  void start_echo(std::unique_ptr<net::Conn> conn) {
    open_->add(1);
    treadle::go([open = open_, stop = stop_.context, c = std::shared_ptr(std::move(conn))] {
      echo(*c, stop);
      c->close();
      open->done();
    });
  }

  apps::Settings& settings_;
  apps::ServiceSettings& service_;
  treadle::CancelableContext stop_;
  // Shared, since connections that outlast the drain still count themselves out.
  std::shared_ptr<treadle::WaitGroup> open_;
  treadle::WaitGroup closed_;
  std::optional<net::Listener> listener_;
  std::atomic<bool> accepting_{false};
};

}  // namespace

int main(int argc, char** argv) {
  apps::ServiceSettings service;
  apps::Settings settings("treadle-echo", "TCP echo server: sends back every byte it receives.");
  apps::add_service(settings, service);
  if (auto exit_code = settings.parse(argc, argv)) return *exit_code;

  return net::run_service(apps::service_options("echo", service),
                          [&] { return std::make_unique<EchoService>(settings, service); });
}
