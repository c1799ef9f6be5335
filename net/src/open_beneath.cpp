// Opening files below a directory and never outside.
#include "open_beneath.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <string_view>

#include "sys.h"

namespace treadle::net {
namespace {

// O_NONBLOCK: opening a FIFO does not wait for its writer. O_NOCTTY: a terminal stays one of many.
constexpr int kReadFlags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;

// A link opened with O_NOFOLLOW | O_DIRECTORY says ENOTDIR; callers are promised ELOOP.
int link_or(int error, int directory, const std::string& name) noexcept {
  struct stat s{};
  const bool is_link = error == ENOTDIR &&
                       ::fstatat(directory, name.c_str(), &s, AT_SYMLINK_NOFOLLOW) == 0 &&
                       S_ISLNK(s.st_mode);
  return -(is_link ? ELOOP : error);
}

int open_segment(int directory, const std::string& name, int flags) noexcept {
  const int fd = ::openat(directory, name.c_str(), flags | O_NOFOLLOW | O_CLOEXEC);
  const int error = errno;
  return fd < 0 ? link_or(error, directory, name) : fd;
}

constexpr std::uint64_t kBeneath = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;

int open_resolved(int directory, const std::string& relative, std::uint64_t resolve) noexcept {
  open_how how{};
  how.flags = kReadFlags;
  how.resolve = resolve;
  const char* path = relative.empty() ? "." : relative.c_str();
  const long fd = ::syscall(SYS_openat2, directory, path, &how, sizeof how);
  return fd < 0 ? -errno : static_cast<int>(fd);
}

}  // namespace

[[gnu::noinline]] int open_beneath_cached(int directory, const std::string& relative) noexcept {
  const int fd = open_resolved(directory, relative, kBeneath | RESOLVE_CACHED | RESOLVE_NO_XDEV);
  return fd == -EINVAL ? -ENOSYS : fd;  // kernels before 5.12 do not know RESOLVE_CACHED
}

[[gnu::noinline]] int open_beneath_at_once(int directory, const std::string& relative) noexcept {
  // EAGAIN: something was renamed while a ".." was resolved, so that the kernel could not be sure.
  for (int tries = 0;; ++tries) {
    const int fd = open_resolved(directory, relative, kBeneath);
    if ((fd != -EAGAIN && fd != -EINTR) || tries == 32) return fd;
  }
}

int open_beneath_by_segments(int directory, const std::string& relative) {
  if (relative.starts_with('/')) return -EXDEV;
  sys::UniqueFd current(-1);  // the directory reached; -1: the root
  std::string_view rest = relative;
  // A path that ends in '/' names a directory only.
  int last_flags = kReadFlags | (rest.ends_with('/') ? O_DIRECTORY : 0);
  for (;;) {
    const std::size_t begin = rest.find_first_not_of('/');
    rest = begin == std::string_view::npos ? std::string_view() : rest.substr(begin);
    const std::size_t end = std::min(rest.find('/'), rest.size());
    const std::string name(rest.substr(0, end));
    const bool last = rest.find_first_not_of('/', end) == std::string_view::npos;
    const int at = current.get() < 0 ? directory : current.get();
    if (name == "..") return -EXDEV;
    if (last) return open_segment(at, name.empty() ? "." : name, last_flags);
    rest = rest.substr(end);
    if (name == ".") continue;
    const int next = open_segment(at, name, O_PATH | O_DIRECTORY);
    if (next < 0) return next;
    current = sys::UniqueFd(next);
  }
}

}  // namespace treadle::net
