// Files, by calls that may wait for a disk and never hold a P meanwhile.
#pragma once

#include <sys/stat.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include <treadle/result.h>

namespace treadle::net {

// An open file. Reads are positional, so that several goroutines may share one. Every call is a
// blocking system call under a hint (see blocking.h): it blocks the M, never the P, and does not
// park. Usable from any thread.
class File {
 public:
  File() noexcept = default;
  explicit File(int adopted_fd) noexcept : fd_(adopted_fd) {}
  File(File&& o) noexcept : fd_(std::exchange(o.fd_, -1)) {}
  File& operator=(File o) noexcept {
    std::swap(fd_, o.fd_);
    return *this;
  }
  ~File();

  // Opens for reading (O_RDONLY | O_CLOEXEC | O_NONBLOCK, so that a FIFO does not hang).
  [[nodiscard]] static Result<File> open(const std::string& path);

  // Bytes read at `offset`; 0 at the end of the file.
  [[nodiscard]] Result<std::size_t> read_at(std::span<std::byte> into, std::uint64_t offset) const;
  [[nodiscard]] Result<struct stat> stat() const;

  int fd() const noexcept { return fd_; }
  explicit operator bool() const noexcept { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

// A directory below which files are opened, and never outside: no "..", no absolute path and no
// symbolic link leads out (openat2 with RESOLVE_BENEATH; where the kernel lacks it, each segment
// is opened in turn with O_NOFOLLOW, so that symbolic links are refused).
class Directory {
 public:
  [[nodiscard]] static Result<Directory> open(const std::string& path);

  // Opens `relative` ("a/b.txt"; "" is the directory itself) for reading. Errors: ENOENT; EXDEV or
  // ELOOP for what would leave the root; EACCES.
  [[nodiscard]] Result<File> open_beneath(const std::string& relative) const;

 private:
  explicit Directory(File dir) noexcept : dir_(std::move(dir)) {}
  File dir_;
};

}  // namespace treadle::net
