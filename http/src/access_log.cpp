#include "access_log.h"

#include <pthread.h>
#include <signal.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>

#include <treadle/log.h>

#include "date_cache.h"

namespace treadle::http::detail {
namespace {

// How long lines gather before they are written: few system calls, and a reader still sees them at
// once.
constexpr auto kGather = std::chrono::milliseconds(50);

bool needs_escape(char c) noexcept {
  const auto byte = static_cast<unsigned char>(c);
  return byte < 0x20 || byte > 0x7e || c == '"' || c == '\\';
}

void append(fmt::memory_buffer& out, std::string_view text) {
  out.append(text.data(), text.data() + text.size());
}

// The process's signals are for its other threads: one that lands here would find no runtime.
class SignalsBlocked {
 public:
  SignalsBlocked() noexcept {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &old_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t old_{};
};

}  // namespace

struct AccessLog::Sink {
  std::unique_ptr<spdlog::sinks::sink> out;

  // Writes finished lines; false when the disk refused them.
  bool write(std::string_view lines) noexcept {
    try {
      lines.remove_suffix(1);  // the formatter ends what it is given with a newline of its own
      out->log(spdlog::details::log_msg("access", spdlog::level::info,
                                        spdlog::string_view_t(lines.data(), lines.size())));
      out->flush();
      return true;
    } catch (const std::exception& e) {
      log::error("http: access log: {}", e.what());
      return false;
    }
  }
};

void append_escaped(fmt::memory_buffer& out, std::string_view text, std::size_t most) {
  constexpr std::string_view kHex = "0123456789abcdef";
  if (text.empty()) return append(out, "-");
  for (const char c : text.substr(0, most)) {
    if (!needs_escape(c)) {
      out.push_back(c);
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    append(out, "\\x");
    out.push_back(kHex[byte >> 4]);
    out.push_back(kHex[byte & 15]);
  }
}

Result<std::unique_ptr<AccessLog>> AccessLog::open(const std::string& path) {
  auto sink = std::make_unique<Sink>();
  try {
    if (path == "-")
      sink->out = std::make_unique<spdlog::sinks::stdout_sink_st>();
    else
      sink->out = std::make_unique<spdlog::sinks::basic_file_sink_st>(path);
  } catch (const spdlog::spdlog_ex&) {
    const int error = errno;
    return fail_errno(error != 0 ? error : EIO);
  }
  sink->out->set_formatter(std::make_unique<spdlog::pattern_formatter>("%v"));
  return std::unique_ptr<AccessLog>(new AccessLog(std::move(sink)));
}

AccessLog::AccessLog(std::unique_ptr<Sink> sink) : sink_(std::move(sink)) {
  lines_.reserve(kBuffer);
  SignalsBlocked blocked;
  writer_ = std::thread([this] { run(); });
}

AccessLog::~AccessLog() {
  {
    std::lock_guard guard(lock_);
    ending_ = true;
  }
  wake_.notify_one();
  writer_.join();
}

void AccessLog::record(const AccessRecord& r) {
  fmt::memory_buffer line;
  append(line, r.peer.host());
  append(line, " - - [");
  const CachedText time = log_time();
  append(line, {time.data(), kLogTimeSize});
  append(line, "] \"");
  if (r.method.empty()) {
    append(line, "-");
  } else {
    append_escaped(line, r.method);
    line.push_back(' ');
    append_escaped(line, r.target);
    append(line, r.minor_version == 0 ? " HTTP/1.0" : " HTTP/1.1");
  }
  fmt::format_to(std::back_inserter(line), "\" {} {} \"", r.status, r.bytes);
  append_escaped(line, r.referer);
  append(line, "\" \"");
  append_escaped(line, r.user_agent);
  const auto us = std::chrono::duration_cast<std::chrono::microseconds>(r.took).count();
  fmt::format_to(std::back_inserter(line), "\" {}.{:06}\n", us / 1'000'000, us % 1'000'000);

  bool wake = false;
  {
    std::lock_guard guard(lock_);
    const std::size_t before = lines_.size();
    if (before + line.size() > kBuffer) {
      dropped_.fetch_add(1, std::memory_order_relaxed);
      return;
    }
    lines_.append(line.data(), line.size());
    // The first line wakes the writer, and the one that makes the buffer half full hurries it.
    wake = before == 0 || (before <= kBuffer / 2 && lines_.size() > kBuffer / 2);
  }
  if (wake) wake_.notify_one();
}

void AccessLog::flush() {
  std::unique_lock guard(lock_);
  if (!lines_.empty()) {
    hurry_ = true;
    wake_.notify_one();
  }
  written_.wait(guard, [this] { return lines_.empty() && !writing_; });
}

void AccessLog::run() {
  pthread_setname_np(pthread_self(), "access-log");
  std::string batch;
  batch.reserve(kBuffer);
  std::unique_lock guard(lock_);
  for (;;) {
    wake_.wait(guard, [this] { return ending_ || !lines_.empty(); });
    wake_.wait_for(guard, kGather,
                   [this] { return ending_ || hurry_ || lines_.size() > kBuffer / 2; });
    batch.swap(lines_);
    writing_ = true;
    hurry_ = false;
    const bool last = ending_;
    guard.unlock();
    if (!batch.empty() && !sink_->write(batch))
      dropped_.fetch_add(static_cast<std::uint64_t>(std::count(batch.begin(), batch.end(), '\n')),
                         std::memory_order_relaxed);
    batch.clear();
    guard.lock();
    writing_ = false;
    written_.notify_all();
    if (last) return;
  }
}

}  // namespace treadle::http::detail
