#include "line_file.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <utility>

namespace treadle::http::detail {
namespace {

constexpr mode_t kMode = 0640;  // who may read addresses is the operator's to say

std::error_code system_error(int error) noexcept { return {error, std::system_category()}; }

mode_t type_of(int fd) noexcept {
  struct stat s{};
  return ::fstat(fd, &s) == 0 ? s.st_mode & S_IFMT : 0;
}

// One that nobody else shares the O_NONBLOCK flag of. For a FIFO, see LineFile.
int open_own(const char* path) noexcept {
  constexpr int kFlags = O_APPEND | O_NONBLOCK | O_CLOEXEC | O_NOCTTY;
  const int fd = ::open(path, kFlags | O_WRONLY | O_CREAT, kMode);
  const bool fifo = fd >= 0 ? type_of(fd) == S_IFIFO : errno == ENXIO;
  if (!fifo) return fd;
  // Before the first is closed: a reader that was waiting must not see the pipe without a writer.
  const int both = ::open(path, kFlags | O_RDWR);
  if (fd >= 0) ::close(fd);
  return both;
}

}  // namespace

Result<LineFile> LineFile::open(const std::string& path) {
  if (path == "-") {
    const int fd = ::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0);
    if (fd < 0) return fail_errno(errno);
    return standard_output(fd);
  }
  const int fd = open_own(path.c_str());
  if (fd < 0) return fail_errno(errno);
  return LineFile(fd, type_of(fd) == S_IFREG ? Kind::disk : Kind::stream);
}

// A file keeps the offset that it shares with whoever else writes to standard output. A pipe or a
// terminal is opened anew, since O_NONBLOCK on the one we were given would surprise its other
// users.
LineFile LineFile::standard_output(int fd) {
  switch (type_of(fd)) {
    case S_IFREG: return {fd, Kind::disk};
    case S_IFSOCK: return {fd, Kind::socket};
    default: break;
  }
  const int own = ::open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
  if (own < 0) return {fd, Kind::stream};
  ::close(fd);
  return {own, Kind::stream};
}

LineFile::LineFile(LineFile&& o) noexcept
    : fd_(std::exchange(o.fd_, -1)), kind_(o.kind_), rest_(std::move(o.rest_)) {}

LineFile& LineFile::operator=(LineFile&& o) noexcept {
  std::swap(fd_, o.fd_);
  std::swap(kind_, o.kind_);
  rest_.swap(o.rest_);
  return *this;
}

LineFile::~LineFile() {
  if (fd_ >= 0) ::close(fd_);
}

LineFile::Written LineFile::write(std::string_view lines, std::chrono::milliseconds patience) {
  if (!rest_.empty()) {
    std::string_view rest = rest_;
    const std::error_code error = put(rest, patience);
    rest_.erase(0, rest_.size() - rest.size());
    if (error) return {.bytes = 0, .error = error};
  }
  const std::size_t size = lines.size();
  while (!lines.empty()) {
    std::string_view bytes = lines.substr(0, piece(lines));
    const std::size_t asked = bytes.size();
    const std::error_code error = put(bytes, patience);
    const std::size_t done = asked - bytes.size();
    if (!error) {
      lines.remove_prefix(done);
      continue;
    }
    // Within a line: it counts as written, since its rest will follow.
    if (done > 0 && lines[done - 1] != '\n') {
      const std::size_t end = lines.find('\n', done) + 1;
      rest_.assign(lines.substr(done, end - done));
      lines.remove_prefix(end);
    } else {
      lines.remove_prefix(done);
    }
    return {.bytes = size - lines.size(), .error = error};
  }
  return {.bytes = size, .error = {}};
}

// How much of `lines` goes into one write(2), whole lines.
std::size_t LineFile::piece(std::string_view lines) const noexcept {
  if (kind_ == Kind::disk || lines.size() <= PIPE_BUF) return lines.size();
  const std::size_t fits = lines.substr(0, PIPE_BUF).rfind('\n');
  return (fits != std::string_view::npos ? fits : lines.find('\n')) + 1;
}

// Writes `bytes` and takes off their front what was written.
std::error_code LineFile::put(std::string_view& bytes, std::chrono::milliseconds patience) {
  while (!bytes.empty()) {
    const ssize_t n = kind_ == Kind::socket
                          ? ::send(fd_, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL)
                          : ::write(fd_, bytes.data(), bytes.size());
    if (n > 0) {
      bytes.remove_prefix(static_cast<std::size_t>(n));
      continue;
    }
    const int error = n == 0 ? EIO : errno;
    if (error == EINTR) continue;
    if (error != EAGAIN) return system_error(error);
    pollfd wait{.fd = fd_, .events = POLLOUT, .revents = 0};
    if (::poll(&wait, 1, static_cast<int>(patience.count())) == 0) return system_error(EAGAIN);
  }
  return {};
}

}  // namespace treadle::http::detail
