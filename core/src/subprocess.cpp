// Subprocess: the child's end and its handle. How it is started stands in subprocess_spawn.cpp, how
// its end is noticed in child_exit.cpp.
//
// A goroutine supervises each child: it waits for the end, or kills for the context, reaps, and
// publishes the outcome. It alone calls reap(); handles only look at what was published.
#include <treadle/subprocess.h>

#include <fmt/core.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <treadle/go.h>
#include <treadle/wait_group.h>

#include "subprocess_state.h"

namespace treadle {

using detail::Pollable;
using detail::PollMode;

ExitStatus::ExitStatus(int how, int status) noexcept
    : signal_(how == CLD_EXITED   ? Signal::none
              : how == CLD_DUMPED ? Signal::core
                                  : Signal::killed),
      value_(status) {}

std::string ExitStatus::to_string() const {
  if (exited()) return fmt::format("exit code {}", value_);
  const char* name = ::sigdescr_np(value_);
  return fmt::format("signal {} ({}{})", value_, name ? name : "unknown",
                     core_dumped() ? ", core dumped" : "");
}

void Subprocess::State::supervise() {
  Result<void> ended = exit.wait(context, Deadline::never());
  if (!ended) {
    const bool gentle = grace > Duration::zero();
    (void)exit.kill(gentle ? SIGTERM : SIGKILL, target);
    if (gentle && !exit.wait(background(), Deadline::after(grace)))
      (void)exit.kill(SIGKILL, target);
    (void)exit.wait(background(), Deadline::never());
  }
  const auto how = exit.reap();
  {
    const std::lock_guard hold(mutex);
    if (how) status = *how;
  }
  if (!ended && how && !how->success())
    outcome = fail(ended.error());  // killed for it, or died of something else meanwhile
  else
    outcome = how;
  running.done();
}

Subprocess& Subprocess::operator=(Subprocess&& o) noexcept {
  Subprocess old(std::move(*this));
  state_ = std::move(o.state_);
  in_ = std::move(o.in_);
  out_ = std::move(o.out_);
  err_ = std::move(o.err_);
  detached_ = o.detached_;
  return *this;
}

Subprocess::~Subprocess() {
  if (state_ && !detached_) (void)kill();
}

pid_t Subprocess::pid() const noexcept { return state_->pid; }

Result<ExitStatus> Subprocess::wait() const { return wait(current_context()); }

Result<ExitStatus> Subprocess::wait(const Context& ctx) const {
  // A child that has ended counts before the context.
  if (auto r = state_->running.wait(ctx); !r) return fail(r.error());
  return *state_->outcome;
}

std::optional<ExitStatus> Subprocess::status() const noexcept {
  const std::lock_guard hold(state_->mutex);
  return state_->status;
}

Result<void> Subprocess::kill(int signal) const {
  return state_->exit.kill(signal, state_->target);
}

namespace {

// Out of line: errno is not named in functions that park. Negative: -errno.
[[gnu::noinline]] ssize_t read_some(int fd, std::span<std::byte> into) noexcept {
  ssize_t n;
  do {
    n = ::read(fd, into.data(), into.size());
  } while (n < 0 && errno == EINTR);
  return n < 0 ? -errno : n;
}
// The runtime ignores SIGPIPE, or the program handles it.
[[gnu::noinline]] ssize_t write_some(int fd, std::string_view text) noexcept {
  ssize_t n;
  do {
    n = ::write(fd, text.data(), text.size());
  } while (n < 0 && errno == EINTR);
  return n < 0 ? -errno : n;
}

// Calls `attempt` until it moves something. Negative answers are -errno.
template <class Attempt>
Result<std::size_t> when_ready(const Pollable& pd, PollMode mode, Attempt attempt) {
  if (!pd) return fail(Errc::closed);
  const Pollable::Use use(pd);
  if (!use.ok()) return fail(Errc::closed);
  for (;;) {
    if (auto r = pd.prepare(mode); !r) return fail(r.error());
    const ssize_t n = attempt(pd.fd());
    if (n >= 0) return static_cast<std::size_t>(n);
    if (n != -EAGAIN) return fail_errno(static_cast<int>(-n));
    if (auto r = pd.wait(mode); !r) return fail(r.error());
  }
}

}  // namespace

Result<std::size_t> PipeReader::read(std::span<std::byte> into) {
  if (into.empty()) return 0;
  return when_ready(pd_, PollMode::read, [&](int fd) { return read_some(fd, into); });
}

Result<std::string> PipeReader::read_all() {
  constexpr std::size_t kRoom = 16 * 1024;
  std::string all;
  std::size_t size = 0;
  for (;;) {
    if (all.size() - size < kRoom) all.resize(std::max(2 * all.size(), kRoom));
    const auto n = read(std::as_writable_bytes(std::span(all).subspan(size)));
    if (!n) return fail(n.error());
    if (*n == 0) break;
    size += *n;
  }
  all.resize(size);
  return all;
}

void PipeReader::set_deadline(Deadline d) {
  if (pd_) pd_.set_deadline(PollMode::read, d);
}

Result<void> PipeWriter::write_all(std::string_view text) {
  while (!text.empty()) {
    const auto n = when_ready(pd_, PollMode::write, [&](int fd) { return write_some(fd, text); });
    if (!n) return fail(n.error());
    text.remove_prefix(*n);
  }
  return {};
}

void PipeWriter::set_deadline(Deadline d) {
  if (pd_) pd_.set_deadline(PollMode::write, d);
}

Result<Subprocess::Output> Subprocess::output(Command command, std::string_view input) {
  if (command.context == background()) command.context = current_context();
  command.out = Redirect::pipe();
  if (command.err.kind_ != Redirect::Kind::to_out) command.err = Redirect::pipe();
  if (!input.empty()) command.in = Redirect::pipe();
  auto child = spawn(command);
  if (!child) return fail(child.error());
  Output output{.status = {CLD_EXITED, 0}, .out = {}, .err = {}};
  Result<std::string> out;
  Result<std::string> err;
  // Three at a time, whatever order the child reads and writes in.
  WaitGroup streams;
  streams.add(3);
  go([&] {
    (void)child->in().write_all(input);
    child->in().close();
    streams.done();
  });
  go([&] {
    out = child->out().read_all();
    streams.done();
  });
  go([&] {
    if (child->err().pd_) err = child->err().read_all();
    streams.done();
  });
  const auto status = child->wait(background());
  // What the child has left behind may hold the pipes open: then the context ends the wait.
  const Result<void> ended = status ? streams.wait(command.context) : fail(status.error());
  if (!ended) {
    child->in().close();
    child->out().close();
    child->err().close();
    streams.wait();
    return fail(ended.error());
  }
  if (!out) return fail(out.error());
  if (!err) return fail(err.error());
  return Output{.status = *status, .out = std::move(*out), .err = std::move(*err)};
}

}  // namespace treadle
