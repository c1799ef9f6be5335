// A blocking pipe, for goroutines that wait where the runtime does not see it.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <system_error>
#include <utility>

namespace treadle::test {

class Pipe {
 public:
  Pipe() {
    if (::pipe2(fds_, O_CLOEXEC) != 0)
      throw std::system_error(errno, std::system_category(), "pipe2");
  }
  Pipe(Pipe&& o) noexcept : fds_{std::exchange(o.fds_[0], -1), std::exchange(o.fds_[1], -1)} {}
  Pipe& operator=(Pipe&&) = delete;
  ~Pipe() {
    for (const int fd : fds_)
      if (fd >= 0) ::close(fd);
  }

  // Blocks the thread until a byte comes; 0 at the end.
  char read_byte() const {
    char c = 0;
    return ::read(fds_[0], &c, 1) == 1 ? c : '\0';
  }
  void write_byte(char c) const {
    if (::write(fds_[1], &c, 1) != 1) std::abort();
  }
  int read_end() const noexcept { return fds_[0]; }
  int write_end() const noexcept { return fds_[1]; }

 private:
  int fds_[2] = {-1, -1};
};

}  // namespace treadle::test
