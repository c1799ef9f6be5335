// Servers as an operator runs them: with successors that outlive them, and clients that count what
// goes wrong.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <charconv>
#include <cstring>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "e2e/app.h"

namespace treadle::test {

// A process that this test inherits when its parent ends, as a service manager does. Killed by the
// destructor.
class Orphan {
 public:
  explicit Orphan(pid_t pid) : pid_(pid) {}
  Orphan(Orphan&& o) noexcept : pid_(std::exchange(o.pid_, -1)) {}
  Orphan& operator=(Orphan&& o) noexcept {
    std::swap(pid_, o.pid_);
    return *this;
  }
  ~Orphan() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  // To be called before the parent is started.
  static void adopt_all() { ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); }

  pid_t pid() const noexcept { return pid_; }
  void signal(int number) const { ::kill(pid_, number); }
  // Its exit code, 128 + the signal that ended it, -1 when it is no child of ours (any more).
  int wait() {
    int status = 0;
    if (::waitpid(std::exchange(pid_, -1), &status, 0) <= 0) return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

 private:
  pid_t pid_;
};

// The number behind the last `mark` in the text, 0 when there is none.
inline int number_after(std::string_view text, std::string_view mark) {
  int n = 0;
  const std::size_t at = text.rfind(mark);
  if (at != std::string_view::npos)
    std::from_chars(text.data() + at + mark.size(), text.data() + text.size(), n);
  return n;
}

inline std::size_t count_of(std::string_view text, std::string_view mark) {
  std::size_t n = 0;
  for (std::size_t at = 0; (at = text.find(mark, at)) != std::string_view::npos; at += mark.size())
    ++n;
  return n;
}

// A connected socket; -1, with errno, when that fails.
inline int connect_port(std::uint16_t port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in in{};
  in.sin_family = AF_INET;
  in.sin_port = htons(port);
  in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&in), sizeof in) == 0) return fd;
  ::close(fd);
  return -1;
}
inline int connect_path(const std::string& path) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un un{};
  un.sun_family = AF_UNIX;
  std::memcpy(un.sun_path, path.data(), path.size());
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&un), sizeof un) == 0) return fd;
  ::close(fd);
  return -1;
}

// One GET of /hello; what came until the answer was whole or the stream ended.
inline std::string ask(int fd, std::string_view connection) {
  const std::string request =
      "GET /hello HTTP/1.1\r\nHost: localhost\r\nConnection: " + std::string(connection) +
      "\r\n\r\n";
  if (::send(fd, request.data(), request.size(), MSG_NOSIGNAL) < 0) return {};
  std::string got;
  char buffer[4096];
  while (!got.ends_with("Hello, World!")) {
    const ssize_t n = ::recv(fd, buffer, sizeof buffer, 0);
    if (n <= 0) break;
    got.append(buffer, static_cast<std::size_t>(n));
  }
  return got;
}

// Clients on threads of their own that ask without pause: half of them on a new connection each
// time, half on kept ones until the server ends them.
class Load {
 public:
  explicit Load(std::uint16_t port) : port_(port) {
    for (int i = 0; i < 4; ++i) threads_.emplace_back([this, i] { run(i % 2 == 0); });
  }
  ~Load() { stop(); }
  void stop() {
    stop_ = true;
    for (std::thread& t : threads_)
      if (t.joinable()) t.join();
  }
  int answered() const { return answered_; }
  int failed() const { return failed_; }  // refused, reset, or without a whole answer

 private:
  void run(bool anew) {
    int fd = -1;
    while (!stop_) {
      if (fd < 0) fd = connect_port(port_);
      const std::string got = fd < 0 ? "" : ask(fd, anew ? "close" : "keep-alive");
      ++(got.ends_with("Hello, World!") ? answered_ : failed_);
      if (!got.empty() && got.find("Connection: close") == std::string::npos) continue;
      if (fd >= 0) ::close(fd);
      fd = -1;
    }
    if (fd >= 0) ::close(fd);
  }

  std::uint16_t port_;
  std::atomic<bool> stop_{false};
  std::atomic<int> answered_{0};
  std::atomic<int> failed_{0};
  std::vector<std::thread> threads_;
};

}  // namespace treadle::test
