#include "service/sockets.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <utility>

#include "service/privileges.h"

namespace treadle::net::service {
namespace {

std::string variable(const char* name) {
  const char* text = std::getenv(name);
  return text != nullptr ? text : "";
}

std::string failure(const std::string& address, const std::error_code& error) {
  return fmt::format("cannot listen on {}: {}", address, error.message());
}

}  // namespace

std::expected<Inheritance, std::string> take_inheritance() {
  static std::atomic<bool> taken{false};
  if (taken.exchange(true)) return Inheritance();
  const std::string handover = variable(kHandoverVariable);
  const std::string pid = variable("LISTEN_PID");
  const std::string fds = variable("LISTEN_FDS");
  const std::string names = variable("LISTEN_FDNAMES");
  if (!has_threads())
    for (const char* name : {kHandoverVariable, "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"})
      ::unsetenv(name);
  if (!handover.empty()) {
    auto inherited = parse_handover(handover);
    if (!inherited || is_ours(*inherited)) return inherited;
  }
  return parse_activation(pid, fds, names, ::getpid());
}

std::expected<ServiceSockets, std::string> open_sockets(const std::vector<ServicePlace>& places,
                                                        const ListenOptions& options,
                                                        const Inheritance& inherited) {
  std::vector<WantedSocket> wanted;
  for (const ServicePlace& p : places) wanted.push_back({p.name, p.address});
  const auto matches = match(inherited, wanted);
  if (!matches) return std::unexpected(matches.error());

  // From here on whatever was handed down is closed if it is not used.
  ServiceSockets out;
  out.ready = sys::UniqueFd(inherited.ready_fd);
  if (out.ready.get() >= 0) (void)::fcntl(out.ready.get(), F_SETFD, FD_CLOEXEC);
  std::vector<sys::UniqueFd> handed;
  for (const InheritedSocket& s : inherited.sockets) handed.emplace_back(s.fd);

  for (std::size_t i = 0; i < places.size(); ++i) {
    const auto found = (*matches)[i];
    auto socket = found ? ListenSocket::adopt(handed[*found].release(), options)
                        : ListenSocket::open(places[i].address, options);
    if (!socket && found)
      return std::unexpected(
          fmt::format("descriptor {}, which was handed to us, is no listening "
                      "stream socket: {}",
                      inherited.sockets[*found].fd, socket.error().message()));
    if (!socket) return std::unexpected(failure(places[i].address, socket.error()));
    out.with_file.push_back(found && inherited.sockets[*found].owns_file);
    out.sockets.push_back(std::move(*socket));
  }
  return out;
}

}  // namespace treadle::net::service
