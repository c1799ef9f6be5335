// Subprocess: other programs, started by posix_spawn, their pipes and their ends.
//
//   auto out = treadle::Subprocess::output({.args = {"git", "rev-parse", "HEAD"}});
//   if (out && out->status.success()) use(out->out);
//
//   auto child = treadle::Subprocess::spawn({.args = {"sort"},
//                                            .in = treadle::Redirect::pipe(),
//                                            .out = treadle::Redirect::pipe()});
//   child->in().write_all("b\na\n");
//   child->in().close();
//   auto sorted = child->out().read_all();
//   treadle::ExitStatus status = *child->wait();
#pragma once

#include <sys/types.h>

#include <csignal>
#include <cstddef>
#include <memory>
#include <optional>
#include <source_location>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <treadle/context.h>
#include <treadle/detail/poll_desc.h>
#include <treadle/result.h>
#include <treadle/timer.h>

namespace treadle {

// Where one of a child's standard descriptors leads. A value.
class Redirect {
 public:
  static Redirect inherit() { return {Kind::inherit, {}, -1}; }  // the parent's
  static Redirect null() { return {Kind::file, "/dev/null", -1}; }
  static Redirect pipe() { return {Kind::pipe, {}, -1}; }  // to Subprocess::in(), out() or err()
  // Opened by the child, relative to the parent's directory: for reading as its input; as an output
  // truncated, or made with mode 0666 less the umask.
  static Redirect file(std::string path) { return {Kind::file, std::move(path), -1}; }
  static Redirect append(std::string path) { return {Kind::append, std::move(path), -1}; }
  // A descriptor of the caller's, borrowed until spawn() has returned.
  static Redirect fd(int number) { return {Kind::fd, {}, number}; }
  // For the error output: to where the output goes.
  static Redirect to_out() { return {Kind::to_out, {}, -1}; }

 private:
  friend class Subprocess;
  enum class Kind { inherit, pipe, file, append, fd, to_out };
  Redirect(Kind k, std::string path, int number) : kind_(k), path_(std::move(path)), fd_(number) {}
  Kind kind_;
  std::string path_;
  int fd_;
};

// What to start, and how.
struct Command {
  // The program and its arguments. A name without a slash is looked up in the parent's PATH.
  std::vector<std::string> args = {};
  // The whole environment, as "NAME=value"; none: the parent's.
  std::optional<std::vector<std::string>> env = std::nullopt;
  // The child's directory; empty: the parent's. A program given by a relative path is looked up
  // from there.
  std::string cwd = {};
  Redirect in = Redirect::null();
  Redirect out = Redirect::inherit();
  Redirect err = Redirect::inherit();
  // When it is done before the child has ended, the child is killed: by SIGKILL, or if `grace` is
  // above zero by SIGTERM first, and by SIGKILL when it is still there after `grace`.
  Context context = {};
  Duration grace = Duration::zero();
  // The child leads a process group of its own, and all signals of ours go to the whole group:
  // what it has started itself is reached too.
  bool own_group = false;
};

// How a child has ended: by exit() with a code, or by a signal.
class ExitStatus {
 public:
  bool success() const noexcept { return exited() && value_ == 0; }
  bool exited() const noexcept { return signal_ == Signal::none; }
  int code() const noexcept { return exited() ? value_ : -1; }
  int signal() const noexcept { return exited() ? 0 : value_; }  // 0: by exit()
  bool core_dumped() const noexcept { return signal_ == Signal::core; }
  std::string to_string() const;  // "exit code 3", "signal 9 (Killed)"
  friend bool operator==(ExitStatus, ExitStatus) noexcept = default;

  // For the runtime's own use: from waitid()'s si_code and si_status.
  ExitStatus(int how, int status) noexcept;

 private:
  enum class Signal : unsigned char { none, killed, core };
  Signal signal_;
  int value_;
};

// The parent's end of a pipe from a child. Move-only; closed by its destructor. One reader at a
// time; close() may come from any goroutine or thread. Honours the current Context.
class PipeReader {
 public:
  PipeReader() noexcept = default;  // closed
  // Reads up to into.size() bytes; 0 means that all who could write have closed (or `into` is
  // empty). Errors: closed, canceled, timed_out, else the system's code.
  // Parks the calling G; on a plain thread it blocks that thread.
  [[nodiscard]] Result<std::size_t> read(std::span<std::byte> into);
  // All that comes until the end. What came before an error is lost.
  [[nodiscard]] Result<std::string> read_all();
  // Of present and future reads; Deadline::never() removes it. Never parks.
  void set_deadline(Deadline d);
  // Wakes a reader with `closed`. Idempotent; never parks.
  void close() noexcept { pd_.close(); }

 private:
  friend class Subprocess;
  explicit PipeReader(detail::Pollable pd) noexcept : pd_(std::move(pd)) {}
  detail::Pollable pd_;
};

// The parent's end of a pipe to a child; as PipeReader.
class PipeWriter {
 public:
  PipeWriter() noexcept = default;
  // Writes all of it. Errors: EPIPE when nobody can read any more; closed, canceled, timed_out.
  // Parks the calling G; on a plain thread it blocks that thread.
  Result<void> write_all(std::string_view text);
  void set_deadline(Deadline d);
  // The child reads the end of its input once this is closed. Idempotent; never parks.
  void close() noexcept { pd_.close(); }

 private:
  friend class Subprocess;
  explicit PipeWriter(detail::Pollable pd) noexcept : pd_(std::move(pd)) {}
  detail::Pollable pd_;
};

// A child. Move-only. A goroutine of its own waits for it and reaps it in any case, so that there
// are no zombies; the program must neither ignore SIGCHLD nor wait for children it did not start.
//   The destructor of a child that has not ended kills it (SIGKILL) and does not wait, unless
// detach() was called.
//   The child gets no descriptor but 0, 1 and 2, an empty signal mask, and SIGPIPE's default
//   action;
// signals the program ignores stay ignored, all others act as by default.
class Subprocess {
 public:
  // Starts it. Errors: ENOENT for a missing program or directory, EACCES, EMFILE and the rest of
  // what posix_spawn and pipe report; Errc::invalid for text with a zero byte in it; the command's
  // context's when it is done already. Empty `args`, to_out() for anything but the error output,
  // and a negative `grace` panic. Blocks the thread for a moment, never the P; any thread.
  static Result<Subprocess> spawn(const Command& command,
                                  std::source_location site = std::source_location::current());

  struct Output;
  // Starts it, gives it `input`, collects what it writes to both outputs until they end, and waits
  // for it. `out`, and `err` unless it is to_out(), become pipes; `in` does when there is input.
  // The command's context is the current one unless it has one. That the child does not read its
  // input is no error, nor is a bad exit status. Errors: as spawn() and wait(); when the context
  // ends before the outputs do, its error. Parks the calling G; on a plain thread it blocks that
  // thread.
  static Result<Output> output(Command command, std::string_view input = {});

  Subprocess(Subprocess&& o) noexcept = default;
  Subprocess& operator=(Subprocess&& o) noexcept;
  ~Subprocess();

  pid_t pid() const noexcept;
  // The parent's ends of what was redirected to pipe(); closed ones otherwise.
  PipeWriter& in() noexcept { return in_; }
  PipeReader& out() noexcept { return out_; }
  PipeReader& err() noexcept { return err_; }

  // Waits for its end. Leaves the pipes alone: a child that writes more than a pipe holds does not
  // end before that is read. Errors: the command's context's, when the child was killed for it;
  // `canceled` or `timed_out` when the current Context, or `ctx`, ends first: the child goes on;
  // ECHILD when somebody else has reaped it.
  // May be called by several, and again. Parks the calling G; on a plain thread it blocks that
  // thread.
  Result<ExitStatus> wait() const;
  Result<ExitStatus> wait(const Context& ctx) const;
  // How it has ended, if it has, whatever the reason. Never parks.
  std::optional<ExitStatus> status() const noexcept;

  // Sends a signal; ESRCH when it has ended already. Never parks; any thread.
  Result<void> kill(int signal = SIGKILL) const;
  Result<void> terminate() const { return kill(SIGTERM); }
  // The destructor will let it run on. It is still reaped, and killed for its context.
  void detach() noexcept { detached_ = true; }

 private:
  struct State;  // core/src/subprocess.cpp
  struct Plan;
  Subprocess() = default;

  std::shared_ptr<State> state_;  // null once moved from
  PipeWriter in_;
  PipeReader out_;
  PipeReader err_;
  bool detached_ = false;
};

struct Subprocess::Output {
  ExitStatus status;
  std::string out;
  std::string err;
};

}  // namespace treadle
