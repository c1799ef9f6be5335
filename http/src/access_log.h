// The access log: a line per request, written by a thread of its own.
#pragma once

#include <fmt/format.h>

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include <treadle/net/addr.h>
#include <treadle/result.h>
#include <treadle/timer.h>

namespace treadle::http::detail {

// One line's worth. Views are copied, escaped and cut before record() returns.
struct AccessRecord {
  const net::SocketAddress& peer;
  std::string_view method;  // empty with the rest of the request line when it could not be read
  std::string_view target;
  int minor_version = 1;
  int status = 0;
  std::uint64_t bytes = 0;  // of body
  std::string_view referer;
  std::string_view user_agent;
  Duration took{};
};

// Appends lines in the combined format, with the duration in seconds at the end:
//
//   127.0.0.1 - - [06/Nov/1994:08:49:37 +0000] "GET / HTTP/1.1" 200 12 "-" "curl/8" 0.000123
//
// Requests never wait for the disk: lines gather in a bounded buffer that the writer thread swaps
// for an empty one, and a line that finds it full is dropped and counted. The writer sleeps while
// there is nothing to write, and gathers for a moment when there is.
class AccessLog {
 public:
  // Opens `path` for appending, or standard output for "-". Never parks; any thread.
  static Result<std::unique_ptr<AccessLog>> open(const std::string& path);
  ~AccessLog();  // writes what there is

  // Never parks; any thread.
  void record(const AccessRecord& r);
  // Waits until all that was recorded before has been written. Blocks the thread.
  void flush();
  std::uint64_t dropped() const noexcept { return dropped_.load(std::memory_order_relaxed); }

 private:
  struct Sink;
  explicit AccessLog(std::unique_ptr<Sink> sink);
  void run();

  static constexpr std::size_t kBuffer = 1024 * 1024;  // bytes that wait for the disk at most

  std::unique_ptr<Sink> sink_;  // the writer's own
  std::atomic<std::uint64_t> dropped_{0};
  std::mutex lock_;
  std::condition_variable wake_;     // the writer's: lines have come, or somebody wants them out
  std::condition_variable written_;  // flush()'s: a batch is out
  std::string lines_;                // under lock_, as are the following
  bool writing_ = false;             // the writer has a batch in its hands
  bool hurry_ = false;               // it should not wait for more
  bool ending_ = false;
  std::thread writer_;
};

// Appends `text` with quotes, backslashes, control characters and all beyond ASCII as \xHH, cut
// after `most` bytes of it; "-" when it is empty. What a client sends can neither forge lines nor
// drive a terminal.
void append_escaped(fmt::memory_buffer& out, std::string_view text, std::size_t most = 2048);

}  // namespace treadle::http::detail
