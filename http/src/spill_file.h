// A file without a name, for what does not fit into memory.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include <treadle/net/file.h>
#include <treadle/result.h>

namespace treadle::http::detail {

// Readable and writable by this process only (mode 0600, no name in the file system), gone with its
// last handle, also when the process is killed. Belongs to one goroutine; file() may be shared.
// Calls block the M under a hint, never the P.
class SpillFile {
 public:
  SpillFile() noexcept = default;

  // Makes one in `directory`; empty: $TMPDIR, else /tmp. By O_TMPFILE, or where the file system has
  // none by a name that is removed at once. Errors: the system's.
  static Result<SpillFile> create(const std::string& directory);
  // The second of these ways.
  static Result<SpillFile> create_unlinked(const std::string& directory);

  // Errors: the system's (ENOSPC, EDQUOT, EIO...).
  Result<void> append(std::string_view bytes);
  std::uint64_t size() const noexcept { return size_; }
  const std::shared_ptr<const net::File>& file() const noexcept { return file_; }
  explicit operator bool() const noexcept { return file_ != nullptr; }

 private:
  explicit SpillFile(int adopted_fd) : file_(std::make_shared<const net::File>(adopted_fd)) {}

  std::shared_ptr<const net::File> file_;
  std::uint64_t size_ = 0;
};

}  // namespace treadle::http::detail
