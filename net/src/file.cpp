// Files. A hint wakes sysmon when others wait for the P; beside a read of a kilobyte from the page
// cache that cost more than the whole request. So what can be had without waiting is tried without:
// contents by RWF_NOWAIT, names by RESOLVE_CACHED. A read that was refused so gives its P away.
//
// Not built: io_uring for what is not in memory. With an eventfd in the netpoller it took 0.95 of
// the CPU time of a block at one read at a time, 1.01 in blocks of 1 MB and 0.76 to 0.85 in blocks
// of 64 KB, which servers send by sendfile, a call that rings lack. It pays for small files that
// many ask for at once: 0.32 to 0.51 in blocks of 4 KB, from 8 at a time on. Completions interrupt
// the system calls of the thread that submitted (EINTR), which ours are promised not to be; where
// they do not, the ring is one thread's. `bash loadtest/cold/run.sh` repeats the figures, and
// loadtest/cold/REPORT.md says what else was tried.
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
  if (fd_ < 0) return;
  // It may wait too: on a network file system, or when the last close of what was deleted gives its
  // blocks back.
  if (struct stat s{}; knows(kStatIsPrompt) && sys::stat(fd_, s) == 0 && s.st_nlink > 0)
    ::close(fd_);
  else
    blocking([&] { ::close(fd_); });
}

Result<File> File::open(const std::string& path) {
  const int fd =
      blocking([&] { return sys::open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY); });
  if (fd < 0) return fail_errno(-fd);
  return File(fd);
}

File& File::operator=(File&& o) noexcept {
  File taken(std::move(o));  // which closes ours by what is known of ours
  std::swap(fd_, taken.fd_);
  std::swap(local_device_, taken.local_device_);
  const std::uint8_t known = known_.load(std::memory_order_relaxed);
  known_.store(taken.known_.load(std::memory_order_relaxed), std::memory_order_relaxed);
  taken.known_.store(known, std::memory_order_relaxed);
  return *this;
}

Result<std::size_t> File::read_at(std::span<std::byte> into, std::uint64_t offset) const {
  std::size_t got = 0;
  Wait wait = Wait::perhaps;
  if (!into.empty() && !knows(kCacheIsUntold)) {
    const ssize_t n = sys::read_cached(fd_, into, offset);
    // Nothing is no end: Linux 5.9 and 5.10 say so of what is not cached (preadv2(2), BUGS).
    if (n > 0) got = static_cast<std::size_t>(n);
    // EPERM, ENOSYS: sandboxes that do not know the call.
    if (n == -EOPNOTSUPP || n == -ENOSYS || n == -EPERM)
      known_.fetch_or(kCacheIsUntold, std::memory_order_relaxed);
    if (got == into.size()) return got;
    if (n == -EAGAIN) wait = Wait::surely;
  }
  const Result<std::size_t> rest = read_waiting(into.subspan(got), offset + got, wait);
  if (rest) return got + *rest;
  if (got > 0) return got;  // the next read says what is wrong
  return rest;
}

bool File::seems_cached(std::uint64_t offset, std::uint64_t count) const noexcept {
  if (count == 0 || knows(kCacheIsUntold)) return false;
  const auto has = [this](std::uint64_t at) {
    std::byte byte;
    const ssize_t n = sys::read_cached(fd_, std::span(&byte, 1), at);
    return n > 0;
  };
  return has(offset) && (count == 1 || has(offset + count - 1));
}

Result<std::size_t> File::read_waiting(std::span<std::byte> into, std::uint64_t offset,
                                       Wait wait) const {
  const auto read = [&] { return sys::read_at(fd_, into, offset); };
  for (;;) {
    const ssize_t n = wait == Wait::surely ? blocking_long(read) : blocking(read);
    if (n >= 0) return static_cast<std::size_t>(n);
    if (n != -EINTR) return fail_errno(static_cast<int>(-n));
  }
}

Result<struct stat> File::stat() const {
  struct stat s{};
  if (knows(kStatIsPrompt)) {
    if (const int r = sys::stat(fd_, s); r < 0) return fail_errno(-r);
    return s;
  }
  if (const int r = blocking([&] { return sys::stat(fd_, s); }); r < 0) return fail_errno(-r);
  if (local_device_ != 0 && s.st_dev == local_device_)
    known_.fetch_or(kStatIsPrompt, std::memory_order_relaxed);
  return s;
}

Result<Directory> Directory::open(const std::string& path) {
  dev_t local_device = 0;
  const int fd = blocking([&] {
    const int opened = sys::open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct stat s{};
    if (opened >= 0 && sys::is_local(opened) && sys::stat(opened, s) == 0) local_device = s.st_dev;
    return opened;
  });
  if (fd < 0) return fail_errno(-fd);
  return Directory(File(fd), local_device);
}

Result<File> Directory::open_beneath(const std::string& relative) const {
  // A zero byte would end the path early: "a.txt\0.jpg" must not open a.txt.
  if (relative.find('\0') != std::string::npos) return fail_errno(ENOENT);
  // A network's file system may wait in the open itself.
  static std::atomic<bool> lacks_cached{false};
  if (local_device_ != 0 && !lacks_cached.load(std::memory_order_relaxed)) {
    const int fd = open_beneath_cached(dir_.fd(), relative);
    if (fd >= 0) {
      File file(fd);
      file.local_device_ = local_device_;
      file.known_.store(File::kStatIsPrompt, std::memory_order_relaxed);  // it is on the same mount
      return file;
    }
    if (fd == -ENOENT) return fail_errno(ENOENT);
    if (fd == -ENOSYS) lacks_cached.store(true, std::memory_order_relaxed);
  }
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
  File file(fd);
  file.local_device_ = local_device_;
  return file;
}

}  // namespace treadle::net
