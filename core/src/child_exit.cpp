#include "child_exit.h"

#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include <treadle/blocking.h>
#include <treadle/go.h>

namespace treadle::rt {

namespace {

using detail::Pollable;
using detail::PollMode;

int open_pidfd(pid_t pid) noexcept {
  const int fd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
  return fd < 0 ? -errno : fd;  // close-on-exec as all pidfds
}

// One look, or a wait that blocks the thread; the child stays where it is. 0: it runs.
int look(pid_t pid, int flags) noexcept {
  siginfo_t info{};
  int r;
  do {
    r = ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT | flags);
  } while (r != 0 && errno == EINTR);
  return r != 0 || info.si_pid != 0;  // an error: somebody else has reaped it
}

}  // namespace

ChildExit::ChildExit(pid_t pid, By by) : pid_(pid) {
  if (by == By::pidfd)
    if (const int fd = open_pidfd(pid); fd >= 0)
      if (auto pd = Pollable::open(fd)) {
        pidfd_ = std::move(*pd);
        return;
      }
  auto [sender, receiver] = make_one_shot<void>();
  ended_.emplace(std::move(receiver));
  go([pid, tx = std::move(sender)] {
    blocking_long([pid] { return look(pid, 0); });
    tx.send();
  });
}

Result<void> ChildExit::wait_pidfd(const Context& ctx, Deadline deadline) {
  const ContextScope scope(ctx);
  pidfd_.set_deadline(PollMode::read, deadline);
  for (;;) {
    // The look comes first: an end that is there counts before the context.
    const auto standing = pidfd_.prepare(PollMode::read);
    if (look(pid_, WNOHANG)) return {};
    if (!standing) return standing;
    if (auto r = pidfd_.wait(PollMode::read); !r && !look(pid_, WNOHANG)) return r;
  }
}

Result<void> ChildExit::wait(const Context& ctx, Deadline deadline) {
  if (seen_) return {};
  Result<void> r;
  if (pidfd_)
    r = wait_pidfd(ctx, deadline);
  else
    r = ended_->wait(with_deadline(ctx, deadline).context);
  seen_ = r.has_value();
  return r;
}

Result<ExitStatus> ChildExit::reap() {
  siginfo_t info{};
  int error = 0;
  {
    const std::lock_guard hold(mutex_);
    reaped_ = true;
    if (::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG) != 0) error = errno;
  }
  pidfd_.close();  // nobody waits there; the number is not needed any more
  if (error != 0 || info.si_pid == 0) return fail_errno(error != 0 ? error : ECHILD);
  return ExitStatus(info.si_code, info.si_status);
}

Result<void> ChildExit::kill(int signal, Target target) noexcept {
  int error = ESRCH;
  {
    const std::lock_guard hold(mutex_);
    if (!reaped_) error = ::kill(target == Target::group ? -pid_ : pid_, signal) == 0 ? 0 : errno;
  }
  if (error != 0) return fail_errno(error);
  return {};
}

}  // namespace treadle::rt
