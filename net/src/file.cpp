// Files, under the blocking hint.
#include <treadle/net/file.h>

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

#include <treadle/blocking.h>

#include "open_beneath.h"
#include "sys.h"

namespace treadle::net {

File::~File() {
  // It may wait too, on a network file system.
  if (fd_ >= 0) blocking([&] { ::close(fd_); });
}

Result<File> File::open(const std::string& path) {
  const int fd =
      blocking([&] { return sys::open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY); });
  if (fd < 0) return fail_errno(-fd);
  return File(fd);
}

Result<std::size_t> File::read_at(std::span<std::byte> into, std::uint64_t offset) const {
  for (;;) {
    const ssize_t n = blocking([&] { return sys::read_at(fd_, into, offset); });
    if (n >= 0) return static_cast<std::size_t>(n);
    if (n != -EINTR) return fail_errno(static_cast<int>(-n));
  }
}

Result<struct stat> File::stat() const {
  struct stat s{};
  if (const int r = blocking([&] { return sys::stat(fd_, s); }); r < 0) return fail_errno(-r);
  return s;
}

Result<Directory> Directory::open(const std::string& path) {
  const int fd = blocking([&] { return sys::open(path, O_PATH | O_DIRECTORY | O_CLOEXEC); });
  if (fd < 0) return fail_errno(-fd);
  return Directory(File(fd));
}

Result<File> Directory::open_beneath(const std::string& relative) const {
  // A zero byte would end the path early: "a.txt\0.jpg" must not open a.txt.
  if (relative.find('\0') != std::string::npos) return fail_errno(ENOENT);
  static std::atomic<bool> lacks_openat2{false};
  const int fd = blocking([&] {
    int r = -ENOSYS;
    if (!lacks_openat2.load(std::memory_order_relaxed))
      r = open_beneath_at_once(dir_.fd(), relative);
    if (r == -ENOSYS) lacks_openat2.store(true, std::memory_order_relaxed);
    // Old sandboxes answer EPERM to calls they do not know; an open for reading never does.
    return r == -ENOSYS || r == -EPERM ? open_beneath_by_segments(dir_.fd(), relative) : r;
  });
  if (fd < 0) return fail_errno(-fd);
  return File(fd);
}

}  // namespace treadle::net
