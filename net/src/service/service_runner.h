// A service while it runs, on goroutines: start, signals, end.
//
// One goroutine, run()'s, takes the signals one by one and does what they ask for; serve() runs on
// another, a successor is waited for on a third, so that SIGTERM is heard meanwhile. After the
// first SIGTERM or SIGINT only a second one is heard.
//
// The sockets that a successor is handed are duplicates, kept here. They go when the end begins:
// while one is open the address stays taken, and clients would queue where nobody accepts.
#pragma once

#include <atomic>
#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <treadle/chan.h>
#include <treadle/context.h>
#include <treadle/net/service.h>
#include <treadle/signals.h>

#include "service/notify.h"
#include "service/sockets.h"
#include "service/successor.h"
#include "sys.h"

namespace treadle::net::service {

class ServiceRunner {
 public:
  // `program` may be an error: then there is no SIGUSR2. Both references must outlive it.
  ServiceRunner(const ServiceOptions& options, ServiceSockets sockets,
                const std::expected<Program, std::string>& program);

  // Makes the service, and runs it to its end; the exit code. Parks the calling G.
  int run(const std::function<std::unique_ptr<Service>()>& make);

 private:
  using Upgrade = std::expected<pid_t, std::string>;
  enum class Why { signal, successor };

  bool start();
  void announce(const std::vector<SocketAddress>& addresses);
  void beat(Duration interval, const Context& until);
  int obey(const Context& served);
  void reload();
  void begin_upgrade();
  int end_by_signal(int signal);
  int end_for(pid_t successor);
  int drain(Why why);
  void hear_more_signals(Why why, const Context& until);

  const ServiceOptions& options_;
  const std::expected<Program, std::string>& program_;
  ServiceSockets given_;
  std::unique_ptr<Service> service_;
  const Notifier notifier_;
  std::optional<SignalSet> signal_set_;
  Chan<int> signals_;
  std::vector<sys::UniqueFd> held_;  // a duplicate of each place's socket
  std::vector<SocketFile> files_;    // by place; none for sockets that are not ours to remove
  Chan<Upgrade> upgrades_;           // how it went
  std::optional<CancelFunc> cancel_upgrade_;  // set while a successor is waited for
  std::atomic<bool> draining_{false};
};

}  // namespace treadle::net::service
