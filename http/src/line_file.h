// LineFile: a log file that is written to in whole lines and never waited for in vain.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>

#include <treadle/result.h>

namespace treadle::http::detail {

// Appends to a file, a FIFO, a device or standard output. Several processes may append to the same
// file: each write(2) is of whole lines, and O_APPEND keeps them apart; to a pipe it is of at most
// PIPE_BUF bytes where lines are not longer, which the kernel keeps together as well.
//
// When a write ends within a line (a full disk does that) the line's rest is kept, and written
// before anything else once the disk takes it: so no line is ever torn.
//
// Pipes and devices are written to without blocking, and waited for as long as the caller says. A
// FIFO needs no reader: it is opened for reading, too, so that opening does not wait and readers
// may come and go. Used by one thread at a time, with SIGPIPE blocked or ignored.
class LineFile {
 public:
  // Opens `path` for appending, makes it (0640) where there is none; "-" is standard output. May
  // wait for the disk, not for a FIFO's reader. Errors: the system's.
  static Result<LineFile> open(const std::string& path);
  LineFile(LineFile&& o) noexcept;
  LineFile& operator=(LineFile&& o) noexcept;
  ~LineFile();

  struct Written {
    // Of the text given: up to the end of the last line that was written or begun.
    std::size_t bytes = 0;
    // Empty when all was written. EAGAIN: a pipe stayed full; the rest may be tried again.
    std::error_code error;
  };
  // `lines` ends with a newline. Blocks the thread: on a disk as long as that takes, on a pipe or a
  // device that is full no longer than `patience` without progress.
  Written write(std::string_view lines, std::chrono::milliseconds patience);

  // Whether a line was begun and its rest could not be written yet.
  bool torn() const noexcept { return !rest_.empty(); }

 private:
  enum class Kind : std::uint8_t { disk, stream, socket };
  LineFile(int fd, Kind kind) noexcept : fd_(fd), kind_(kind) {}
  static LineFile standard_output(int fd);

  std::size_t piece(std::string_view lines) const noexcept;
  std::error_code put(std::string_view& bytes, std::chrono::milliseconds patience);

  int fd_;
  Kind kind_;
  std::string rest_;  // of the line that was begun
};

}  // namespace treadle::http::detail
