#include "spill_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include <treadle/blocking.h>

namespace treadle::http::detail {
namespace {

// blocking() may park before its call, and compilers may keep errno's address over a park: these
// read it, and are never inlined into a function that parks. They return -errno for a failure.

[[gnu::noinline]] int open_nameless(const char* directory) noexcept {
  // O_EXCL: nor can it ever be given a name.
  const int fd = ::open(directory, O_TMPFILE | O_EXCL | O_RDWR | O_CLOEXEC, S_IRUSR | S_IWUSR);
  return fd < 0 ? -errno : fd;
}

[[gnu::noinline]] int open_unlinked(std::string path) noexcept {
  const int fd = ::mkostemp(path.data(), O_CLOEXEC);  // mode 0600
  if (fd < 0) return -errno;
  if (::unlink(path.c_str()) == 0) return fd;
  const int error = errno;
  ::close(fd);
  return -error;
}

[[gnu::noinline]] ssize_t write_at(int fd, std::string_view bytes, std::uint64_t offset) noexcept {
  const ssize_t n = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
  return n < 0 ? -errno : n;
}

std::string directory_or_default(const std::string& directory) {
  if (!directory.empty()) return directory;
  const char* named = std::getenv("TMPDIR");
  return named != nullptr && *named != '\0' ? named : "/tmp";
}

// What open(2) answers where O_TMPFILE is not known: by a file system, or by a kernel or sandbox
// that sees a directory opened for writing.
bool lacks_tmpfile(int error) noexcept {
  return error == EOPNOTSUPP || error == EISDIR || error == EINVAL || error == ENOSYS;
}

}  // namespace

Result<SpillFile> SpillFile::create(const std::string& directory) {
  const std::string where = directory_or_default(directory);
  const int fd = blocking([&] { return open_nameless(where.c_str()); });
  if (fd >= 0) return SpillFile(fd);
  if (lacks_tmpfile(-fd)) return create_unlinked(where);
  return fail_errno(-fd);
}

Result<SpillFile> SpillFile::create_unlinked(const std::string& directory) {
  std::string path = directory_or_default(directory) + "/treadle-XXXXXX";
  const int fd = blocking([&] { return open_unlinked(std::move(path)); });
  if (fd < 0) return fail_errno(-fd);
  return SpillFile(fd);
}

Result<void> SpillFile::append(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = blocking([&] { return write_at(file_->fd(), bytes, size_); });
    if (n == -EINTR) continue;
    if (n <= 0) return fail_errno(n == 0 ? EIO : static_cast<int>(-n));
    size_ += static_cast<std::uint64_t>(n);
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return {};
}

}  // namespace treadle::http::detail
