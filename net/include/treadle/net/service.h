// Service: a server program as an operator meets it: sockets, signals, restarts, privileges.
//
//   class Echo final : public treadle::net::Service { ... };
//   int main() {
//     return treadle::net::run_service({.name = "echo", .places = {{"127.0.0.1:7000"}}},
//                                      [] { return std::make_unique<Echo>(); });
//   }
//
// Where the sockets come from, for each place the first that has one:
//   - a predecessor that SIGUSR2 told to start this process: those with the same address;
//   - a service manager (LISTEN_FDS, LISTEN_PID, LISTEN_FDNAMES): a socket whose name is the
//     place's; the others in their order. The place's address is then not looked at. More sockets
//     than places are an error;
//   - else the address is bound.
//
// Signals, where `handle_signals`:
//   SIGTERM, SIGINT  not ready any more, `drain_delay`, then a graceful end within
//                    `shutdown_timeout`; a second one exits at once, with 128 + its number
//   SIGHUP           Service::reload()
//   SIGUSR2          starts the program anew, from the path it was started by and with the same
//                    arguments, and hands it the sockets. Once the new process says that it serves,
//                    this one ends gracefully. If it fails, or is not there within a minute, it is
//                    killed and this one goes on. The new one runs as whoever this one is by now:
//                    what only the first user could read or bind is out of its reach.
//
// A service manager that sets NOTIFY_SOCKET hears READY=1, RELOADING=1, STOPPING=1, MAINPID and
// STATUS, and WATCHDOG=1 twice an interval when it sets WATCHDOG_USEC.
#pragma once

#include <expected>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <treadle/context.h>
#include <treadle/net/listen_socket.h>
#include <treadle/result.h>
#include <treadle/timer.h>

namespace treadle::net {

// Where to listen.
struct ServicePlace {
  std::string address;   // as ListenSocket::open() takes it
  std::string name{};    // its name among LISTEN_FDNAMES
  std::string scheme{};  // put before a TCP address where the log says it: "http://"
};

struct ServiceOptions {
  std::string name = "service";  // begins its lines in the log
  std::vector<ServicePlace> places{};
  ListenOptions listen{};
  int procs = 0;  // GOMAXPROCS where run_service() starts the runtime; 0: RuntimeOptions' default
  // Whom to become after binding, by name or number; empty: stays. Only for a process without
  // threads: from main(), before anything else of treadle is used.
  std::string user{};
  std::string group{};
  // Files to append to. They are made before the user changes, and given to the new one.
  std::vector<std::string> log_files{};
  // Called before the user changes and before there are threads: to read what only the first user
  // may read. Its error, a clause, ends the program.
  std::function<std::expected<void, std::string>()> prepare{};
  bool handle_signals = true;
};

// What run_service() runs. It is made and called on goroutines, by one at a time but for serve(),
// during which the others are called.
class Service {
 public:
  virtual ~Service() = default;
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

  // Takes the sockets, one for each place, in their order. Unix sockets' files are not with them.
  virtual Result<void> start(std::vector<ListenSocket> sockets) = 0;
  // Accepts and serves until shutdown(). An error ends the program. Parks.
  virtual Result<void> serve() = 0;
  // Ends gracefully, at the latest when `ctx` is done. An error says that something was cut. Parks.
  virtual Result<void> shutdown(const Context& ctx) = 0;
  // Whether serve() takes connections: what the watchdog watches.
  virtual bool accepting() const { return true; }
  // What /readyz says, and the like.
  virtual void set_ready(bool ready) { (void)ready; }
  // SIGHUP: reads the configuration anew and opens the logs anew. Says in the log what went wrong,
  // and then changes nothing. May park.
  virtual void reload() {}
  // Looked at when they are needed. Zero: none; no limit.
  virtual Duration drain_delay() const { return Duration::zero(); }
  virtual Duration shutdown_timeout() const { return Duration::zero(); }

 protected:
  Service() = default;
};

// Runs a service until a signal ends it, or serve() does. Raises the soft limit on open files to
// the hard one, gets the sockets, changes the user, starts the runtime when called from main();
// from a goroutine it parks. Returns an exit code: 0 when nothing was cut, 1 when something was, or
// when it could not begin; the log says which, in a line. `make` may throw Panic, which counts as
// the latter.
int run_service(const ServiceOptions& options,
                const std::function<std::unique_ptr<Service>()>& make);

}  // namespace treadle::net
