// Telling the service manager how we are: the protocol of sd_notify(3), datagrams of NAME=value
// lines to the Unix socket that NOTIFY_SOCKET names.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>

#include <treadle/net/addr.h>
#include <treadle/timer.h>

namespace treadle::net::service {

class Notifier {
 public:
  // `socket` as NOTIFY_SOCKET has it, "/path" or "@name"; empty or anything else: nobody listens,
  // and every call does nothing.
  explicit Notifier(std::string_view socket);

  bool active() const noexcept { return manager_.family() != AF_UNSPEC; }
  // One message. While the manager's queue is full it is tried again for up to a second, parking
  // the calling G; then, and for any other error, it is dropped, which the log says.
  void send(std::string_view state) const;

 private:
  SocketAddress manager_;
};

// "RELOADING=1" with the time it needs.
std::string reloading_state(Duration monotonic_now);

// How often the manager wants a sign of life: WATCHDOG_USEC, which is in microseconds, unless
// WATCHDOG_PID is another process's. Nothing when it wants none, or when the text is no number.
std::optional<Duration> watchdog_interval(std::string_view usec, std::string_view pid, pid_t self);

}  // namespace treadle::net::service
