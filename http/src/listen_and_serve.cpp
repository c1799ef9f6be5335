// A whole server program: runtime, signals, exit code.
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <treadle/go.h>
#include <treadle/http/server.h>
#include <treadle/log.h>
#include <treadle/runtime.h>
#include <treadle/signals.h>
#include <treadle/wait_group.h>

#include <optional>
#include <utility>

namespace treadle::http {
namespace {

// Each connection needs a descriptor, and the usual soft limit of 1024 is there for programs that
// use select().
void raise_descriptor_limit() noexcept {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  if (::setrlimit(RLIMIT_NOFILE, &limit) != 0)
    log::warn("http: the limit on open files stays at its soft value");
}

Result<void> shut_down(Server& server, Duration timeout) {
  if (timeout == Duration::zero()) return server.shutdown();
  return server.shutdown(with_timeout(background(), timeout).context);
}

// Waits for a signal, or for `served` to end. The first signal shuts down; a second one, which is
// for the impatient, ends the process.
int serve_until_signal(Server& server, SignalSet& stop, Duration timeout, const Context& served) {
  {
    ContextScope scope(served);
    const Result<int> first = stop.wait();
    if (!first) return 0;
    log::info("http: {}: shutting down", *first == SIGINT ? "SIGINT" : "SIGTERM");
  }
  auto [finished, finish] = with_cancel(background());
  WaitGroup watcher;
  watcher.add(1);
  go([&stop, &watcher, ctx = finished] {
    ContextScope scope(ctx);
    if (const Result<int> second = stop.wait()) {
      log::warn("http: second signal: exiting at once");
      ::_exit(128 + *second);
    }
    watcher.done();
  });
  const Result<void> ended = shut_down(server, timeout);
  finish();
  watcher.wait();
  return ended ? 0 : 1;
}

int serve_in_goroutine(Server& server, const ServerOptions& options) {
  // Before anybody can be told that the server is up, and act on it.
  std::optional<SignalSet> stop;
  if (options.handle_signals) stop.emplace(std::initializer_list<int>{SIGINT, SIGTERM});
  if (const Result<void> r = server.listen(); !r) {
    log::error("http: cannot listen on {}: {}", options.address, r.error().message());
    return 1;
  }
  log::info("http: listening on http://{}", server.address().to_string());

  auto [served, end_serving] = with_cancel(background());
  Result<void> result;
  WaitGroup accepting;
  accepting.add(1);
  go([&server, &result, &accepting, done = end_serving] {
    result = server.serve();
    done();
    accepting.done();
  });
  const int code = stop ? serve_until_signal(server, *stop, options.shutdown_timeout, served) : 0;
  accepting.wait();
  if (result) return code;
  log::error("http: {}", result.error().message());
  return 1;
}

// Whether main() has used treadle before. It has not when that, too, finds the environment wrong.
bool runtime_stands() noexcept {
  try {
    return max_procs() > 0;
  } catch (const Panic&) {
    return false;
  }
}

// The server is made on a goroutine: from main() nothing of the runtime may be used before run().
// What the operator got wrong, options or the environment, ends in a line and an exit code.
template <class What>
int run_server(const ServerOptions& options, const What& what) {
  raise_descriptor_limit();
  int code = 1;
  const auto body = [&] {
    std::optional<Server> server;
    try {
      server.emplace(options, what);
    } catch (const Panic& e) {
      log::error("{}", e.what());
      return;
    }
    code = serve_in_goroutine(*server, options);
  };
  if (in_goroutine()) {
    body();
    return code;
  }
  try {
    run({.max_procs = options.procs}, body);
  } catch (const Panic& e) {
    // Where the runtime stands already its Ps are what they are.
    if (options.procs != 0 || !runtime_stands()) {
      log::error("http: {}", e.what());
      return 1;
    }
    WaitGroup ended;
    ended.add(1);
    go([&] {
      body();
      ended.done();
    });
    ended.wait();
  }
  return code;
}

}  // namespace

int listen_and_serve(const ServerOptions& options, Router router) {
  return run_server(options, router);
}

int listen_and_serve(const ServerOptions& options, Handler handler) {
  return run_server(options, handler);
}

}  // namespace treadle::http
