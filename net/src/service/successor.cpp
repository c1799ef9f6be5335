#include "service/successor.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>
#include <utility>

#include <treadle/blocking.h>
#include <treadle/result.h>
#include <treadle/wait_fd.h>

#include "sys.h"

extern char** environ;

namespace treadle::net::service {
namespace {

constexpr std::string_view kReady = "READY\n";

std::string message(int error) { return std::generic_category().message(error); }

bool same_file(const std::string& path, const struct stat& as) noexcept {
  struct stat s;
  return ::stat(path.c_str(), &s) == 0 && s.st_dev == as.st_dev && s.st_ino == as.st_ino;
}

std::string search_path(const std::string& name, const struct stat& exe) {
  const char* path = std::getenv("PATH");
  std::string_view rest = path != nullptr ? path : "";
  while (!rest.empty()) {
    const std::size_t colon = rest.find(':');
    const std::string directory(rest.substr(0, colon));
    rest.remove_prefix(colon == std::string_view::npos ? rest.size() : colon + 1);
    std::string candidate = (directory.empty() ? "." : directory) + "/" + name;
    if (same_file(candidate, exe)) return candidate;
  }
  return {};
}

std::vector<std::string> own_environment() {
  const std::string own_watchdog = fmt::format("WATCHDOG_PID={}", ::getpid());
  std::vector<std::string> out;
  for (char** e = environ; *e != nullptr; ++e) {
    const std::string_view entry = *e;
    const bool ours = std::ranges::any_of(
        std::array<std::string_view, 4>{
            "LISTEN_PID=", "LISTEN_FDS=", "LISTEN_FDNAMES=", kHandoverVariable},
        [entry](std::string_view name) { return entry.starts_with(name); });
    // The watchdog's interval is the service's, so it holds for whoever is its main process.
    if (!ours && entry != own_watchdog) out.emplace_back(entry);
  }
  return out;
}

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> out;
  for (const std::string& t : texts) out.push_back(const_cast<char*>(t.c_str()));  // not written to
  out.push_back(nullptr);
  return out;
}

struct SpawnSettings {
  SpawnSettings() {
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawnattr_init(&attributes);
    // The runtime's threads block signals and SIGPIPE is ignored: neither is to be handed down.
    sigset_t none;
    sigset_t defaults;
    ::sigemptyset(&none);
    ::sigemptyset(&defaults);
    ::sigaddset(&defaults, SIGPIPE);
    ::posix_spawnattr_setsigmask(&attributes, &none);
    ::posix_spawnattr_setsigdefault(&attributes, &defaults);
    ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  }
  ~SpawnSettings() {
    ::posix_spawn_file_actions_destroy(&actions);
    ::posix_spawnattr_destroy(&attributes);
  }
  SpawnSettings(const SpawnSettings&) = delete;
  SpawnSettings& operator=(const SpawnSettings&) = delete;
  // The child gets the descriptor under its own number: a dup2 to itself takes CLOEXEC away.
  int pass(int fd) noexcept { return ::posix_spawn_file_actions_adddup2(&actions, fd, fd); }

  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
};

struct Pipe {
  sys::UniqueFd read{-1};
  sys::UniqueFd write{-1};
};

// These that read errno are never inlined into a function that parks, see sys.h.
[[gnu::noinline]] std::expected<Pipe, int> make_pipe() {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC | O_NONBLOCK) != 0) return std::unexpected(errno);
  Pipe p{sys::UniqueFd(fds[0]), sys::UniqueFd(fds[1])};
  // Above the standard ones, which the child has of its own.
  const int high = ::fcntl(p.write.get(), F_DUPFD_CLOEXEC, 3);
  if (high < 0) return std::unexpected(errno);
  p.write = sys::UniqueFd(high);
  return p;
}

// The pid, or -errno.
pid_t spawn(const Program& program, const Inheritance& handed) {
  SpawnSettings settings;
  int error = settings.pass(handed.ready_fd);
  for (const InheritedSocket& s : handed.sockets)
    if (error == 0) error = settings.pass(s.fd);
  if (error != 0) return -error;
  std::vector<std::string> environment = program.environment;
  environment.push_back(fmt::format("{}={}", kHandoverVariable, format_handover(handed)));
  pid_t pid = -1;
  error = ::posix_spawn(&pid, program.path.c_str(), &settings.actions, &settings.attributes,
                        pointers(program.arguments).data(), pointers(environment).data());
  return error != 0 ? -error : pid;
}

[[gnu::noinline]] ssize_t read_some(int fd, std::span<char> into) noexcept {
  const ssize_t n = ::read(fd, into.data(), into.size());
  return n < 0 ? -errno : n;
}

enum class Said { ready, nothing };

// Reads until the word has come; nothing at the end of the pipe. The errors are the wait's.
Result<Said> listen_to(int fd, Deadline deadline) {
  std::string text;
  std::array<char, 64> buffer;
  for (;;) {
    const ssize_t n = read_some(fd, buffer);
    if (n == 0) return Said::nothing;
    if (n > 0) text.append(buffer.data(), static_cast<std::size_t>(n));
    if (text.contains(kReady)) return Said::ready;
    if (n == -EAGAIN) {
      if (auto r = wait_readable(fd, deadline); !r) return fail(r.error());
    } else if (n < 0 && n != -EINTR) {
      return fail_errno(static_cast<int>(-n));
    }
  }
}

// Ends it, whatever it does, and says how it ended: by itself, if it had ended already.
[[gnu::noinline]] int kill_and_reap(pid_t pid) noexcept {
  int status = 0;
  ::kill(pid, SIGKILL);
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

}  // namespace

std::expected<Program, std::string> this_program() {
  Program out;
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  for (std::string_view rest = text; !rest.empty();) {
    const std::size_t end = std::min(rest.find('\0'), rest.size());
    out.arguments.emplace_back(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  std::error_code error;
  const std::string exe = std::filesystem::read_symlink("/proc/self/exe", error).string();
  struct stat file_now;
  if (out.arguments.empty() || error || ::stat("/proc/self/exe", &file_now) != 0)
    return std::unexpected("/proc does not say how this program was started");
  const std::string& name = out.arguments.front();
  std::string named = name.contains('/') ? name : search_path(name, file_now);
  if (named.empty() || !same_file(named, file_now)) named = exe;
  out.path = std::filesystem::absolute(named, error).string();
  if (error) return std::unexpected(error.message());
  out.environment = own_environment();
  return out;
}

std::string describe_end(int wait_status) {
  if (WIFEXITED(wait_status)) return fmt::format("exit code {}", WEXITSTATUS(wait_status));
  const char* name = ::sigdescr_np(WTERMSIG(wait_status));
  return fmt::format("signal {} ({})", WTERMSIG(wait_status), name != nullptr ? name : "unknown");
}

std::expected<pid_t, std::string> start_successor(const Program& program,
                                                  std::vector<InheritedSocket> sockets,
                                                  Duration limit) {
  auto pipe = make_pipe();
  if (!pipe) return std::unexpected(message(pipe.error()));
  Inheritance handed;
  handed.ready_fd = pipe->write.get();
  handed.sockets = std::move(sockets);
  for (InheritedSocket& s : handed.sockets) {
    struct stat file;
    if (::fstat(s.fd, &file) != 0) return std::unexpected(message(EBADF));
    s.inode = file.st_ino;
  }
  const pid_t pid = blocking([&] { return spawn(program, handed); });
  if (pid < 0)
    return std::unexpected(fmt::format("{} does not start: {}", program.path, message(-pid)));
  pipe->write = sys::UniqueFd(-1);  // so that its end shows as the pipe's

  const Result<Said> said = listen_to(pipe->read.get(), Deadline::after(limit));
  if (said && *said == Said::ready) return pid;
  const int end = blocking([pid] { return kill_and_reap(pid); });
  if (said) return std::unexpected(fmt::format("process {} ended: {}", pid, describe_end(end)));
  if (said.error() == Errc::timed_out)
    return std::unexpected(fmt::format("process {} did not serve in time, and was killed", pid));
  return std::unexpected(fmt::format("process {} was killed: {}", pid, said.error().message()));
}

void tell_predecessor(int ready_fd) noexcept {
  // If he is gone, nobody needs to know: SIGPIPE is ignored by now.
  [[maybe_unused]] const auto n = ::write(ready_fd, kReady.data(), kReady.size());
}

}  // namespace treadle::net::service
