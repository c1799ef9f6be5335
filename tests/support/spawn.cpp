#include "support/spawn.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <cstring>
#include <mutex>
#include <system_error>
#include <thread>

#include <treadle/blocking.h>
#include <treadle/timer.h>

extern char** environ;

namespace treadle::test {
namespace {

[[noreturn]] void throw_errno(int error, const char* what) {
  throw std::system_error(error, std::system_category(), what);
}

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> out;
  out.reserve(strings.size() + 1);
  for (const auto& s : strings) out.push_back(const_cast<char*>(s.c_str()));
  out.push_back(nullptr);
  return out;
}

std::vector<std::string> merged_environment(const std::vector<std::string>& extra) {
  std::vector<std::string> out;
  for (char** e = environ; *e != nullptr; ++e) {
    const std::string_view entry = *e;
    const std::string_view name = entry.substr(0, entry.find('=') + 1);
    bool replaced = false;
    for (const auto& x : extra) replaced = replaced || x.starts_with(name);
    if (!replaced) out.emplace_back(entry);
  }
  out.insert(out.end(), extra.begin(), extra.end());
  return out;
}

bool poll_until(pollfd& wanted, Deadline limit) {
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(limit.remaining());
    const int n = ::poll(&wanted, 1, static_cast<int>(left.count()));
    if (n > 0) return true;
    if (n == 0 && limit.passed()) return false;
  }
}

// What posix_spawn is told, freed whatever happens.
struct SpawnSettings {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  SpawnSettings() {
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawnattr_init(&attributes);
  }
  ~SpawnSettings() {
    ::posix_spawn_file_actions_destroy(&actions);
    ::posix_spawnattr_destroy(&attributes);
  }
  SpawnSettings(const SpawnSettings&) = delete;
  SpawnSettings& operator=(const SpawnSettings&) = delete;
};

// The runtime's threads block signals and ignore SIGPIPE; a child must not inherit that.
void reset_signals(posix_spawnattr_t& attributes) {
  sigset_t none;
  sigset_t defaults;
  ::sigemptyset(&none);
  ::sigfillset(&defaults);
  ::sigdelset(&defaults, SIGKILL);
  ::sigdelset(&defaults, SIGSTOP);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setsigdefault(&attributes, &defaults);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
}

}  // namespace

struct Process::Impl {
  pid_t pid = -1;
  int input = -1;
  int from_child = -1;
  int pidfd = -1;    // readable once the child has ended
  int stop_fd = -1;  // readable: the reader shall end
  std::string to_write;
  std::thread reader;
  std::thread writer;

  mutable std::mutex mutex;  // guards:
  std::condition_variable changed;
  std::string collected;
  bool ended = false;         // its output has ended
  std::optional<int> status;  // once waited for

  void start(const std::vector<std::string>& argv, const SpawnOptions& options);
  void read_all();
  void write_all();
  std::optional<int> reap(int flags);
  ~Impl();
};

void Process::Impl::start(const std::vector<std::string>& argv, const SpawnOptions& options) {
  int out[2];
  int in[2] = {-1, -1};
  if (::pipe2(out, O_CLOEXEC) < 0) throw_errno(errno, "pipe2");
  from_child = out[0];
  if (!options.input.empty() && ::pipe2(in, O_CLOEXEC) < 0) {
    const int error = errno;
    ::close(out[1]);
    throw_errno(error, "pipe2");
  }
  input = in[1];

  SpawnSettings settings;
  if (in[0] >= 0)
    ::posix_spawn_file_actions_adddup2(&settings.actions, in[0], STDIN_FILENO);
  else
    ::posix_spawn_file_actions_addopen(&settings.actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&settings.actions, out[1], STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(&settings.actions, out[1], STDERR_FILENO);
  if (!options.directory.empty())
    ::posix_spawn_file_actions_addchdir_np(&settings.actions, options.directory.c_str());
  reset_signals(settings.attributes);

  const auto environment = merged_environment(options.environment);
  const int error =
      ::posix_spawnp(&pid, argv.at(0).c_str(), &settings.actions, &settings.attributes,
                     pointers(argv).data(), pointers(environment).data());
  ::close(out[1]);
  if (in[0] >= 0) ::close(in[0]);
  if (error != 0) {
    pid = -1;
    throw_errno(error, argv[0].c_str());
  }
  pidfd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
  stop_fd = ::eventfd(0, EFD_CLOEXEC);
  if (pidfd < 0 || stop_fd < 0) throw_errno(errno, "pidfd_open or eventfd");
  to_write = options.input;
  reader = std::thread([this] { read_all(); });
  if (input >= 0) writer = std::thread([this] { write_all(); });
}

void Process::Impl::read_all() {
  std::vector<char> buffer(65536);
  for (;;) {
    pollfd wanted[] = {{from_child, POLLIN, 0}, {stop_fd, POLLIN, 0}};
    if (::poll(wanted, 2, -1) < 0) continue;  // EINTR
    if (wanted[1].revents != 0) return;
    const ssize_t n = ::read(from_child, buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    const std::lock_guard lock(mutex);
    if (n <= 0) ended = true;
    if (n > 0) collected.append(buffer.data(), static_cast<std::size_t>(n));
    changed.notify_all();
    if (n <= 0) return;
  }
}

// On a thread of its own: a child that does not read must not hold up the test. A child that ends
// without reading gives EPIPE, with SIGPIPE ignored or blocked for this thread.
void Process::Impl::write_all() {
  sigset_t pipe;
  ::sigemptyset(&pipe);
  ::sigaddset(&pipe, SIGPIPE);
  ::pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
  std::size_t done = 0;
  while (done < to_write.size()) {
    const ssize_t n = ::write(input, to_write.data() + done, to_write.size() - done);
    if (n < 0 && errno != EINTR) break;
    if (n > 0) done += static_cast<std::size_t>(n);
  }
  ::close(input);
  input = -1;
}

// The exit code once the child has ended; with WNOHANG perhaps nothing.
std::optional<int> Process::Impl::reap(int flags) {
  {
    const std::lock_guard lock(mutex);
    if (status) return status;
  }
  int raw = 0;
  pid_t got = 0;
  do {
    got = ::waitpid(pid, &raw, flags);
  } while (got < 0 && errno == EINTR);
  if (got != pid) return std::nullopt;
  const std::lock_guard lock(mutex);
  status = WIFEXITED(raw) ? WEXITSTATUS(raw) : 128 + WTERMSIG(raw);
  return status;
}

Process::Impl::~Impl() {
  if (pid > 0 && !reap(WNOHANG)) {
    ::kill(pid, SIGKILL);
    reap(0);
  }
  // Grandchildren may keep the pipe open: the reader does not wait for its end.
  const std::uint64_t one = 1;
  if (stop_fd >= 0) (void)!::write(stop_fd, &one, sizeof one);
  if (writer.joinable()) writer.join();
  if (reader.joinable()) reader.join();
  for (const int fd : {input, from_child, pidfd, stop_fd})
    if (fd >= 0) ::close(fd);
}

Process::Process(const std::vector<std::string>& argv, const SpawnOptions& options)
    : impl_(std::make_unique<Impl>()) {
  blocking_long([&] { impl_->start(argv, options); });
}
Process::Process(Process&&) noexcept = default;
Process& Process::operator=(Process&&) noexcept = default;
Process::~Process() {
  if (impl_) blocking_long([&] { impl_.reset(); });
}

pid_t Process::pid() const noexcept { return impl_->pid; }

void Process::signal(int number) {
  // Once waited for, the number may belong to a stranger.
  if (!impl_->reap(WNOHANG)) ::kill(impl_->pid, number);
}

bool Process::running() { return !impl_->reap(WNOHANG).has_value(); }

std::optional<int> Process::wait(std::chrono::milliseconds timeout) {
  return blocking_long([&]() -> std::optional<int> {
    pollfd end{impl_->pidfd, POLLIN, 0};
    const bool gone = impl_->reap(WNOHANG) || poll_until(end, Deadline::after(timeout));
    if (!gone) {
      ADD_FAILURE() << "process " << impl_->pid << " still runs after " << timeout.count()
                    << " ms; its output:\n"
                    << output();
      return std::nullopt;
    }
    const auto code = impl_->reap(0);
    // What it wrote last may still be in the pipe. A child of its own may hold the pipe open
    // longer, so not for ever.
    std::unique_lock lock(impl_->mutex);
    impl_->changed.wait_for(lock, std::chrono::seconds(1), [&] { return impl_->ended; });
    return code;
  });
}

bool Process::wait_for_output(std::string_view text, std::chrono::milliseconds timeout) {
  const bool found = blocking_long([&] {
    std::unique_lock lock(impl_->mutex);
    impl_->changed.wait_for(lock, timeout, [&] {
      return impl_->ended || impl_->collected.find(text) != std::string::npos;
    });
    return impl_->collected.find(text) != std::string::npos;
  });
  if (!found)
    ADD_FAILURE() << "process " << impl_->pid << " did not write \"" << text << "\"; its output:\n"
                  << output();
  return found;
}

std::string Process::output() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->collected;
}

std::uint16_t unused_port() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) throw_errno(errno, "socket");
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  auto* native = reinterpret_cast<sockaddr*>(&address);
  const bool ok = ::bind(fd, native, length) == 0 && ::getsockname(fd, native, &length) == 0;
  const int error = errno;
  ::close(fd);
  if (!ok) throw_errno(error, "bind");
  return ntohs(address.sin_port);
}

}  // namespace treadle::test
