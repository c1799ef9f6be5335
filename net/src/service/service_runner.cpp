#include "service/service_runner.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <utility>

#include <treadle/go.h>
#include <treadle/log.h>
#include <treadle/select.h>
#include <treadle/wait_group.h>

namespace treadle::net::service {
namespace {

constexpr Duration kSuccessorLimit = std::chrono::minutes(1);
constexpr std::size_t kSignalRoom = 64;

std::string_view variable(const char* name) {
  const char* text = std::getenv(name);
  return text != nullptr ? text : "";
}

// The manager compares it with its own clock, which stops in a suspended machine.
Duration monotonic_now() noexcept {
  timespec t{};
  ::clock_gettime(CLOCK_MONOTONIC, &t);
  return std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec);
}

const char* name_of(int signal) noexcept { return signal == SIGINT ? "SIGINT" : "SIGTERM"; }

}  // namespace

ServiceRunner::ServiceRunner(const ServiceOptions& options, ServiceSockets sockets,
                             const std::expected<Program, std::string>& program)
    : options_(options),
      program_(program),
      given_(std::move(sockets)),
      notifier_(variable("NOTIFY_SOCKET")),
      upgrades_(make_chan<Upgrade>(1)) {}

int ServiceRunner::run(const std::function<std::unique_ptr<Service>()>& make) {
  // Before anybody can be told that the service is up, and act on it.
  if (options_.handle_signals) {
    signal_set_.emplace(std::initializer_list<int>{SIGINT, SIGTERM, SIGHUP, SIGUSR2});
    signals_ = signal_set_->channel(kSignalRoom);
  }
  try {
    service_ = make();
  } catch (const Panic& e) {
    log::error("{}", e.what());
    return 1;
  }
  if (!start()) return 1;

  auto [served, end_serving] = with_cancel(background());
  auto [ended, end] = with_cancel(background());
  Result<void> result;
  WaitGroup group;
  group.go([this, &result, done = end_serving] {
    result = service_->serve();
    done();
  });
  const auto interval =
      watchdog_interval(variable("WATCHDOG_USEC"), variable("WATCHDOG_PID"), ::getpid());
  if (interval && notifier_.active())
    group.go([this, every = *interval / 2, until = ended] { beat(every, until); });

  const int code = signal_set_ ? obey(served) : 0;
  served.wait();
  end();
  group.wait();
  if (result) return code;
  log::error("{}: {}", options_.name, result.error().message());
  return 1;
}

bool ServiceRunner::start() {
  std::vector<SocketAddress> addresses;
  for (ListenSocket& s : given_.sockets) {
    addresses.push_back(s.address());
    files_.push_back(std::move(s.file()));
    if (options_.handle_signals) held_.emplace_back(::fcntl(s.fd(), F_DUPFD_CLOEXEC, 3));
  }
  if (auto r = service_->start(std::move(given_.sockets)); !r) {
    log::error("{}: cannot start: {}", options_.name, r.error().message());
    return false;
  }
  for (std::size_t i = 0; i < addresses.size(); ++i)
    if (given_.with_file[i]) files_[i] = SocketFile(addresses[i].host());
  announce(addresses);
  return true;
}

void ServiceRunner::announce(const std::vector<SocketAddress>& addresses) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    const bool is_unix = addresses[i].family() == AF_UNIX;
    names.push_back((is_unix ? "" : options_.places[i].scheme) + addresses[i].to_string());
    log::info("{}: listening on {}", options_.name, names.back());
  }
  if (given_.ready.get() >= 0) {
    // The manager does not know us yet: the predecessor tells it who we are, and that we are ready.
    tell_predecessor(given_.ready.get());
    given_.ready = sys::UniqueFd(-1);
  } else {
    notifier_.send(fmt::format("READY=1\nSTATUS=listening on {}", fmt::join(names, ", ")));
  }
}

// That this runs at all says that goroutines do, the rest is for serve() to say.
void ServiceRunner::beat(Duration interval, const Context& until) {
  const ContextScope scope(until);
  for (;;) {
    if (draining_.load(std::memory_order_relaxed) || service_->accepting())
      notifier_.send("WATCHDOG=1");
    if (!sleep(interval)) return;
  }
}

int ServiceRunner::obey(const Context& served) {
  for (;;) {
    int signal = 0;
    bool ended = false;
    std::optional<Upgrade> upgrade;
    select(on_recv(signals_, [&](int s) { signal = s; }),
           on_recv(upgrades_, [&](Upgrade u) { upgrade = std::move(u); }),
           on_done(served, [&] { ended = true; }));
    if (upgrade) {
      cancel_upgrade_.reset();
      if (*upgrade) return end_for(**upgrade);
      log::error("{}: SIGUSR2: {}; this process goes on", options_.name, upgrade->error());
      notifier_.send("STATUS=a new process failed to start; this one goes on");
    }
    switch (signal) {
      case SIGHUP: reload(); break;
      case SIGUSR2: begin_upgrade(); break;
      case SIGINT:
      case SIGTERM: return end_by_signal(signal);
      default: break;
    }
    if (ended) return 0;
  }
}

void ServiceRunner::reload() {
  log::info("{}: SIGHUP: reading the configuration", options_.name);
  notifier_.send(reloading_state(monotonic_now()));
  service_->reload();
  notifier_.send("READY=1\nSTATUS=serving");
}

void ServiceRunner::begin_upgrade() {
  if (cancel_upgrade_) {
    log::warn("{}: SIGUSR2: a new process is being started already", options_.name);
    return;
  }
  if (!program_) {
    log::error("{}: SIGUSR2: {}", options_.name, program_.error());
    return;
  }
  log::info("{}: SIGUSR2: starting {}", options_.name, program_->path);
  std::vector<InheritedSocket> sockets;
  for (std::size_t i = 0; i < held_.size(); ++i)
    if (held_[i].get() >= 0)
      sockets.push_back({.fd = held_[i].get(),
                         .name = options_.places[i].address,
                         .owns_file = static_cast<bool>(files_[i])});
  auto [context, cancel] = with_cancel(background());
  cancel_upgrade_ = cancel;
  go([ctx = context, program = *program_, handed = std::move(sockets), to = upgrades_]() mutable {
    const ContextScope scope(ctx);
    Upgrade how = start_successor(program, std::move(handed), kSuccessorLimit);
    const ContextScope uncancelled(background());
    to.send(std::move(how));
  });
}

int ServiceRunner::end_by_signal(int signal) {
  log::info("{}: {}: shutting down", options_.name, name_of(signal));
  if (cancel_upgrade_) {
    // Whoever ends the service does not want another process to go on with it.
    (*cancel_upgrade_)();
    const auto how = upgrades_.recv();
    if (how && *how) ::kill(**how, SIGTERM);
  }
  notifier_.send("STOPPING=1\nSTATUS=shutting down");
  return drain(Why::signal);
}

int ServiceRunner::end_for(pid_t successor) {
  log::info("{}: process {} has taken over: shutting down", options_.name, successor);
  notifier_.send(fmt::format("MAINPID={}\nREADY=1\nSTATUS=serving", successor));
  for (SocketFile& f : files_) f.keep();
  return drain(Why::successor);
}

int ServiceRunner::drain(Why why) {
  draining_.store(true, std::memory_order_relaxed);
  auto [finished, finish] = with_cancel(background());
  WaitGroup watcher;
  watcher.go([this, why, until = finished] { hear_more_signals(why, until); });
  // With a successor the service as a whole stays ready.
  if (why == Why::signal) {
    service_->set_ready(false);
    (void)sleep(service_->drain_delay());
  }
  files_.clear();
  held_.clear();
  const Duration timeout = service_->shutdown_timeout();
  const Result<void> ended = timeout == Duration::zero()
                                 ? service_->shutdown(background())
                                 : service_->shutdown(with_timeout(background(), timeout).context);
  finish();
  watcher.wait();
  return ended ? 0 : 1;
}

// The second one that asks for the end is for the impatient. After a handover none has asked yet,
// and a manager that stops the service may send one to all of its processes.
void ServiceRunner::hear_more_signals(Why why, const Context& until) {
  bool asked = why == Why::signal;
  for (;;) {
    int signal = 0;
    bool over = false;
    select(on_recv(signals_, [&](int s) { signal = s; }), on_done(until, [&] { over = true; }));
    if (over) return;
    if (signal != SIGINT && signal != SIGTERM) continue;
    if (!std::exchange(asked, true)) {
      log::info("{}: {}: shutting down already", options_.name, name_of(signal));
      continue;
    }
    log::warn("{}: second signal: exiting at once", options_.name);
    ::_exit(128 + signal);
  }
}

}  // namespace treadle::net::service
