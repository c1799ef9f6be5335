#include "runtime/thread_activity.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>

namespace treadle::rt {

Activity activity_of(int tid) noexcept {
  char path[48];
  *fmt::format_to_n(path, sizeof path - 1, "/proc/self/task/{}/syscall", tid).out = '\0';
  const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
  // No descriptor is left: what cannot be looked up for now is not held against the thread.
  if (fd < 0 && (errno == EMFILE || errno == ENFILE)) return Activity::runnable;
  if (fd < 0) return Activity::unknown;
  // "running", or the number of the call it waits in, or -1 when it waits for a page (proc(5)).
  char text[8];
  const ssize_t n = ::read(fd, text, sizeof text);
  ::close(fd);
  if (n <= 0) return Activity::unknown;
  return text[0] == 'r' ? Activity::runnable : Activity::blocked;
}

}  // namespace treadle::rt
