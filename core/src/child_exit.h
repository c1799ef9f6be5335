// The end of a child process, as something a goroutine can wait for.
#pragma once

#include <sys/types.h>

#include <memory>
#include <mutex>

#include <treadle/context.h>
#include <treadle/detail/poll_desc.h>
#include <treadle/one_shot.h>
#include <treadle/subprocess.h>

namespace treadle::rt {

// By a pidfd, which the poller watches. Where there is none (kernels before 5.3, a sandbox, no
// descriptor left) by a goroutine that blocks its thread in waitid().
//
// The child is a zombie from its end until reap(), and only reap() takes it away: until then its
// pid is nobody else's. `mutex_` keeps signals and reaping apart; nothing of treadle is called
// under it.
class ChildExit {
 public:
  enum class By { pidfd, thread };
  explicit ChildExit(pid_t pid, By by = By::pidfd);

  // Waits until the child has ended; it is not reaped by that. One goroutine at a time. Errors: the
  // context's, or timed_out.
  Result<void> wait(const Context& ctx, Deadline deadline);
  // After wait() has succeeded. ECHILD when somebody else did.
  Result<ExitStatus> reap();
  // ESRCH once it was reaped. `group`: to its whole process group.
  enum class Target { process, group };
  Result<void> kill(int signal, Target target) noexcept;

 private:
  Result<void> wait_pidfd(const Context& ctx, Deadline deadline);

  const pid_t pid_;
  detail::Pollable pidfd_;
  std::optional<OneShotReceiver<void>> ended_;  // By::thread
  bool seen_ = false;                           // wait() has succeeded
  std::mutex mutex_;
  bool reaped_ = false;  // under mutex_
};

}  // namespace treadle::rt
