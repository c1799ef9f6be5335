#include "process.h"

#include <fcntl.h>
#include <unistd.h>

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

}  // namespace treadle::apps
