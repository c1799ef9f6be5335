// Files, by calls that may wait for a disk and never hold a P meanwhile.
#pragma once

#include <sys/stat.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include <treadle/result.h>

namespace treadle::net {

// An open file. Reads are positional, so that several goroutines may share one. A call that may
// have to wait for the disk is a blocking system call under a hint (see blocking.h): it blocks the
// M, never the P, and does not park. What is in memory, names and contents, is had without one,
// since a hint has its price where others wait for the P. Usable from any thread.
class File {
 public:
  File() noexcept = default;
  explicit File(int adopted_fd) noexcept : fd_(adopted_fd) {}
  File(File&& o) noexcept
      : fd_(std::exchange(o.fd_, -1)),
        local_device_(o.local_device_),
        known_(o.known_.load(std::memory_order_relaxed)) {}
  File& operator=(File&& o) noexcept;
  ~File();

  // Opens for reading (O_RDONLY | O_CLOEXEC | O_NONBLOCK, so that a FIFO does not hang).
  [[nodiscard]] static Result<File> open(const std::string& path);

  // Bytes read at `offset`; 0 at the end of the file.
  [[nodiscard]] Result<std::size_t> read_at(std::span<std::byte> into, std::uint64_t offset) const;
  [[nodiscard]] Result<struct stat> stat() const;
  // Whether `count` bytes from `offset` on seem to be in the page cache: the first and the last of
  // them are. Never waits for the disk. False where the file system does not tell.
  [[nodiscard]] bool seems_cached(std::uint64_t offset, std::uint64_t count) const noexcept;

  int fd() const noexcept { return fd_; }
  explicit operator bool() const noexcept { return fd_ >= 0; }

 private:
  friend class Directory;
  enum Known : std::uint8_t {
    kStatIsPrompt = 1,   // its inode is in memory as long as it is open
    kCacheIsUntold = 2,  // the file system, or a sandbox, does not read from the page cache alone
  };
  bool knows(Known what) const noexcept {
    return (known_.load(std::memory_order_relaxed) & what) != 0;
  }
  enum class Wait : std::uint8_t { perhaps, surely };
  Result<std::size_t> read_waiting(std::span<std::byte> into, std::uint64_t offset,
                                   Wait wait) const;

  int fd_ = -1;
  dev_t local_device_ = 0;  // of a file system without a network; 0: none is known
  // Hints for speed only, found out by whoever comes first: relaxed.
  mutable std::atomic<std::uint8_t> known_{0};
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
  Directory(File dir, dev_t local_device) noexcept
      : dir_(std::move(dir)), local_device_(local_device) {}
  File dir_;
  dev_t local_device_;  // as File::local_device_
};

}  // namespace treadle::net
