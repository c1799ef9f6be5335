#include "access_log.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <new>
#include <optional>
#include <string_view>
#include <thread>
#include <utility>

#include <treadle/log.h>

#include "line_file.h"
#include "log_gate.h"

namespace treadle::http::detail {
namespace {

// How often a full pipe is left alone to see whether something else has come up.
constexpr std::chrono::milliseconds kStall(100);
// And how often drops are reported.
constexpr std::chrono::seconds kReport(1);

// The process's signals are for its other threads: one that lands here would find no runtime. This
// also keeps SIGPIPE and SIGXFSZ from ending the process.
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

std::uint64_t lines_in(std::string_view text) noexcept {
  return static_cast<std::uint64_t>(std::ranges::count(text, '\n'));
}

}  // namespace

struct AccessLog::State {
  State(AccessLogOptions o, LineFile f) : options(std::move(o)), file(std::move(f)) {
    lines.reserve(options.buffer);
    batch.reserve(options.buffer);
  }

  void record(std::string_view line);
  bool flush();
  bool end();
  // The writer thread's:
  void run() noexcept;
  void take(std::unique_lock<std::mutex>& guard);
  void write_batch();
  bool give_up();
  void turn_to_following();
  bool unreported() const noexcept;
  void report();

  const AccessLogOptions options;
  std::atomic<std::uint64_t> dropped{0};  // a counter that nothing else hangs on

  std::mutex lock;
  std::condition_variable wake;     // the writer's: lines have come, or somebody wants something
  std::condition_variable settled;  // flush()'s and end()'s: a batch is done with
  std::string lines;                // under lock, as are the following
  std::optional<LineFile> next;     // from reopen(), for what comes after `lines`
  std::uint64_t asked = 0;          // lines queued and files reopened, ever
  std::uint64_t done = 0;           // of these, finished with
  bool hurry = false;               // the writer should not wait for more
  std::optional<TimePoint> ending;  // no more lines come; when to give up
  std::optional<std::uint64_t> stuck_at;  // `done`, when a flush() gave up
  bool ended = false;                     // the writer touches nothing any more

  // The writer thread's own.
  LineFile file;
  std::string batch;
  std::optional<LineFile> following;  // to be written to after this batch
  std::uint64_t reported = 0;         // of `dropped`
  std::error_code last_error;         // since the last report
  LogGate gate{kReport};
};

Result<std::unique_ptr<AccessLog>> AccessLog::open(const AccessLogOptions& options) {
  auto file = LineFile::open(options.path);
  if (!file) return fail(file.error());
  std::unique_ptr<AccessLog> log(new AccessLog(std::make_shared<State>(options, std::move(*file))));
  try {
    const SignalsBlocked blocked;
    log->writer_ = std::thread([state = log->state_] { state->run(); });
  } catch (const std::system_error& e) {
    return fail(e.code());
  }
  return log;
}

AccessLog::AccessLog(std::shared_ptr<State> state)
    : format_(state->options.format), state_(std::move(state)) {}

AccessLog::~AccessLog() {
  if (!writer_.joinable()) return;
  if (state_->end())
    writer_.join();
  else
    writer_.detach();  // a write that does not return
}

void AccessLog::record(const AccessRecord& r) {
  try {
    LogLine line;
    if (format_ == AccessLogFormat::json)
      append_json(line, r);
    else
      append_combined(line, r);
    state_->record({line.data(), line.size()});
  } catch (const std::bad_alloc&) {  // a very long line
    state_->dropped.fetch_add(1, std::memory_order_relaxed);
  }
}

Result<void> AccessLog::reopen() {
  if (state_->options.path == "-") return {};
  auto file = LineFile::open(state_->options.path);
  if (!file) return fail(file.error());
  {
    std::lock_guard guard(state_->lock);
    // Of two that come quickly the later counts; the earlier one is closed below, outside the lock.
    if (state_->next)
      std::swap(*state_->next, *file);
    else
      state_->next.emplace(std::move(*file));
    ++state_->asked;
  }
  state_->wake.notify_one();
  return {};
}

bool AccessLog::flush() { return state_->flush(); }

std::uint64_t AccessLog::dropped() const noexcept {
  return state_->dropped.load(std::memory_order_relaxed);
}

void AccessLog::State::record(std::string_view line) {
  bool notify = false;
  {
    std::lock_guard guard(lock);
    const std::size_t before = lines.size();
    if (before + line.size() > options.buffer) {
      dropped.fetch_add(1, std::memory_order_relaxed);
      return;
    }
    lines.append(line);
    ++asked;
    // The first line wakes the writer, and the one that makes the buffer half full hurries it.
    const std::size_t half = options.buffer / 2;
    notify = before == 0 || (before <= half && lines.size() > half);
  }
  if (notify) wake.notify_one();
}

bool AccessLog::State::flush() {
  std::unique_lock guard(lock);
  const std::uint64_t all = asked;
  if (done >= all) return true;
  hurry = true;
  wake.notify_one();
  if (settled.wait_for(guard, options.patience, [&] { return done >= all; })) return true;
  stuck_at = done;
  return false;
}

// False when the writer has not come to its end in time.
bool AccessLog::State::end() {
  std::unique_lock guard(lock);
  // Where a flush() has just waited in vain it would be so again.
  const auto patience = stuck_at == done ? std::chrono::milliseconds(0) : options.patience;
  ending = Clock::now() + patience;
  wake.notify_one();
  if (settled.wait_for(guard, patience + 5 * kStall, [&] { return ended; })) return true;
  const std::uint64_t left = asked - done;
  guard.unlock();
  log::error("http: access log: {}: {} lines could not be written in time", options.path, left);
  return false;
}

void AccessLog::State::run() noexcept {
  pthread_setname_np(pthread_self(), "access-log");
  std::unique_lock guard(lock);
  for (;;) {
    take(guard);
    const std::uint64_t mark = asked;
    const bool last = ending.has_value();
    guard.unlock();
    try {
      write_batch();
      if (unreported() && (last || gate.pass())) report();
    } catch (const std::bad_alloc&) {
      dropped.fetch_add(lines_in(batch), std::memory_order_relaxed);
      batch.clear();
    }
    guard.lock();
    done = mark;
    if (last) break;
    settled.notify_all();
  }
  ended = true;
  settled.notify_all();
}

// Waits for something to do, and takes it over.
void AccessLog::State::take(std::unique_lock<std::mutex>& guard) {
  const auto wanted = [&] { return ending || done != asked; };
  // A report that came too early is due later even if nothing more is logged.
  if (unreported())
    wake.wait_for(guard, kReport, wanted);
  else
    wake.wait(guard, wanted);
  wake.wait_for(guard, options.gather,
                [&] { return ending || next || hurry || lines.size() > options.buffer / 2; });
  hurry = false;
  batch.swap(lines);
  following.swap(next);
}

void AccessLog::State::write_batch() {
  std::string_view rest = batch;
  while (!rest.empty()) {
    const auto [bytes, error] = file.write(rest, kStall);
    rest.remove_prefix(bytes);
    if (!error) break;
    const bool full = error == std::errc::resource_unavailable_try_again;
    if (full) {
      if (unreported() && gate.pass()) report();
      if (!give_up()) continue;
    }
    // A file that stays full, or refuses, may have been replaced by one that does not.
    if (following) {
      turn_to_following();
      continue;
    }
    if (!full) last_error = error;
    dropped.fetch_add(lines_in(rest), std::memory_order_relaxed);
    break;
  }
  batch.clear();
  if (following) turn_to_following();
}

// Whether a pipe that stays full has been waited for long enough.
bool AccessLog::State::give_up() {
  std::lock_guard guard(lock);
  if (!following) following.swap(next);
  return following || (ending && Clock::now() >= *ending);
}

void AccessLog::State::turn_to_following() {
  if (file.torn()) dropped.fetch_add(1, std::memory_order_relaxed);
  file = std::move(*following);
  following.reset();  // the old file, which is closed here
}

bool AccessLog::State::unreported() const noexcept {
  return last_error || dropped.load(std::memory_order_relaxed) != reported;
}

void AccessLog::State::report() {
  const std::uint64_t now = dropped.load(std::memory_order_relaxed);
  if (last_error)
    log::error("http: access log: {}: {}; {} lines dropped", options.path, last_error.message(),
               now - reported);
  else
    log::warn("http: access log: {}: too slow; {} lines dropped", options.path, now - reported);
  reported = now;
  last_error.clear();
}

}  // namespace treadle::http::detail
