#include "process.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <treadle/log.h>

namespace treadle::apps {

bool open_standard_descriptors() noexcept {
  // The kernel gives the lowest free number, so the first one above 2 means that there was no gap.
  // Without O_CLOEXEC: a child should have them, too.
  for (;;) {
    int fd = ::open("/dev/null", O_RDWR);
    if (fd < 0) return false;
    if (fd <= STDERR_FILENO) continue;
    ::close(fd);
    return true;
  }
}

void raise_descriptor_limit() noexcept {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  if (::setrlimit(RLIMIT_NOFILE, &limit) != 0)
    log::warn("the limit on open files stays at its soft value");
}

}  // namespace treadle::apps
