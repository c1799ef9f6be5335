// The access log: a line per request, written by a thread of its own.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>

#include <treadle/http/server.h>
#include <treadle/result.h>

#include "access_log_line.h"

namespace treadle::http::detail {

// What open() may be told; all but the path is for tests, which shrink it.
struct AccessLogOptions {
  std::string path{};  // a file, a FIFO or a device; "-" for standard output
  AccessLogFormat format = AccessLogFormat::combined;
  std::size_t buffer = 1024 * 1024;  // bytes of lines that wait for the disk at most
  // How long lines gather before they are written: few system calls, and a reader still sees them
  // at once.
  std::chrono::milliseconds gather{50};
  // What flush(), and the end, give a file that takes nothing.
  std::chrono::milliseconds patience{2000};
};

// Requests never wait for the disk: lines gather in a bounded buffer that the writer thread swaps
// for an empty one, and a line that finds it full is dropped and counted. The writer sleeps while
// there is nothing to write, and gathers for a moment when there is. What it cannot write it drops
// and counts, too, and goes on; the log says so once a second at most.
//
// Invariants:
//   - the buffer holds whole lines in the order of their record() calls, and never grows;
//   - each line is written whole to one file, or counted in dropped(), or both where the end came
//     between the two halves of a write;
//   - the lock is held for a copy of a line or a swap of two buffers, and over no call that waits
//     or enters the runtime.
//
// The writer is a thread and no goroutine, so a disk that stalls holds no P and needs no other
// thread. Its state outlives the AccessLog, which cannot wait for a write that never returns.
//
// Rejected: a buffer for each P. Lines of one connection would leave out of order, and at 20 ns a
// copy the one lock is held for less than a hundredth of a request's time.
class AccessLog {
 public:
  // Opens the file for appending. May wait for the disk; any thread. Errors: the system's.
  static Result<std::unique_ptr<AccessLog>> open(const AccessLogOptions& options);
  // Writes what there is, within the options' patience.
  ~AccessLog();
  AccessLog(const AccessLog&) = delete;
  AccessLog& operator=(const AccessLog&) = delete;

  // Formats and queues a line: some hundreds of nanoseconds, no allocation up to lines of 2 KB.
  // Never parks; any thread.
  void record(const AccessRecord& r);

  // Opens the path anew, for log rotation: rename the file, then call this. The writer brings what
  // is queued to the old file, as long as that takes it, and then turns to the new one; no line is
  // lost or torn. flush() waits for that. Where the path cannot be opened the old file stays, and
  // the error says why. Nothing happens for standard output.
  // May wait for the disk, so a goroutine calls it under treadle::blocking(). Any thread.
  Result<void> reopen();

  // Waits until all that was recorded, or reopened, before has been done; false when that took
  // longer than the options' patience. Blocks the thread; a goroutine calls it under
  // treadle::blocking(). Any thread.
  bool flush();

  // Lines that came when the buffer was full, or that the file refused.
  std::uint64_t dropped() const noexcept;

 private:
  struct State;
  explicit AccessLog(std::shared_ptr<State> state);

  const AccessLogFormat format_;
  const std::shared_ptr<State> state_;  // shared with the writer
  std::thread writer_;
};

}  // namespace treadle::http::detail
