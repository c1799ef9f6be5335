// A whole service program. What needs no runtime comes first: sockets, and the change of user.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <system_error>
#include <utility>

#include <treadle/go.h>
#include <treadle/log.h>
#include <treadle/net/service.h>
#include <treadle/runtime.h>
#include <treadle/wait_group.h>

#include "service/privileges.h"
#include "service/service_runner.h"

namespace treadle::net {
namespace {

using service::Identity;
using service::Program;
using service::ServiceSockets;

// Each connection needs a descriptor, and the usual soft limit of 1024 is there for programs that
// use select().
void raise_descriptor_limit(std::string_view name) noexcept {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  if (::setrlimit(RLIMIT_NOFILE, &limit) != 0)
    log::warn("{}: the limit on open files stays at its soft value", name);
}

// Makes a log's file for the new user. Only one that we have just made is given away: what stands
// there already may be a link, or have been put there by somebody, so opening it is left to the new
// user, who has no more rights to it than he should.
std::expected<void, std::string> give_log(const std::string& path, uid_t user, gid_t group) {
  const auto failed = [&path](int error) {
    return std::unexpected(
        fmt::format("cannot open {}: {}", path, std::generic_category().message(error)));
  };
  constexpr int kFlags = O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  const sys::UniqueFd fd(::open(path.c_str(), kFlags, 0640));
  if (fd.get() < 0) {
    if (errno == EEXIST) return {};
    return failed(errno);
  }
  if (::fchown(fd.get(), user, group) != 0) return failed(errno);
  return {};
}

std::expected<void, std::string> change_user(const ServiceOptions& options, const Identity& who,
                                             ServiceSockets& sockets) {
  const uid_t user = who.user.value_or(::geteuid());
  if (::geteuid() == 0 && user != 0) {
    for (ListenSocket& s : sockets.sockets)
      if (auto r = s.file().give_to(user, who.group); !r)
        return std::unexpected(fmt::format("{}: {}", s.address().to_string(), r.error().message()));
    for (const std::string& path : options.log_files)
      if (auto r = give_log(path, user, who.group); !r) return r;
  }
  return service::become(who);
}

// Everything before the runtime. The error is a clause.
std::expected<ServiceSockets, std::string> set_up(const ServiceOptions& options) {
  const auto inherited = service::take_inheritance();
  if (!inherited) return std::unexpected(inherited.error());
  std::optional<Identity> who;
  if (!options.user.empty() || !options.group.empty()) {
    if (in_goroutine() || service::has_threads())
      return std::unexpected(
          "user and group can only change before the process has threads: from main(), before "
          "anything "
          "else of treadle is used");
    auto found = service::find_identity(options.user, options.group);
    if (!found) return std::unexpected(found.error());
    who = *std::move(found);
  }
  auto sockets = service::open_sockets(options.places, options.listen, *inherited);
  if (!sockets) return sockets;
  if (options.prepare)
    if (auto r = options.prepare(); !r) return std::unexpected(r.error());
  if (who)
    if (auto r = change_user(options, *who, *sockets); !r) return std::unexpected(r.error());
  return sockets;
}

// Whether main() has used treadle before. It has not when that, too, finds the environment wrong.
bool runtime_stands() noexcept {
  try {
    return max_procs() > 0;
  } catch (const Panic&) {
    return false;
  }
}

}  // namespace

int run_service(const ServiceOptions& options,
                const std::function<std::unique_ptr<Service>()>& make) {
  raise_descriptor_limit(options.name);
  const std::expected<Program, std::string> program = service::this_program();
  auto sockets = set_up(options);
  if (!sockets) {
    log::error("{}: {}", options.name, sockets.error());
    return 1;
  }
  int code = 1;
  const auto body = [&] {
    service::ServiceRunner runner(options, *std::move(sockets), program);
    code = runner.run(make);
  };
  if (in_goroutine()) {
    body();
    return code;
  }
  // What the operator got wrong, options or the environment, ends in a line and an exit code.
  try {
    run({.max_procs = options.procs}, body);
  } catch (const Panic& e) {
    // Where the runtime stands already its Ps are what they are.
    if (options.procs != 0 || !runtime_stands()) {
      log::error("{}: {}", options.name, e.what());
      return 1;
    }
    WaitGroup ended;
    ended.go(body);
    ended.wait();
  }
  return code;
}

}  // namespace treadle::net
