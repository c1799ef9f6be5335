#include "random_bytes.h"

#include <sys/random.h>
#include <sys/types.h>

#include <cerrno>
#include <cstdlib>

#include <treadle/log.h>

namespace treadle::http {

void fill_random(void* to, std::size_t size) noexcept {
  // Up to 256 bytes come whole; only the wait for entropy right after boot can be interrupted.
  for (;;) {
    if (::getrandom(to, size, 0) == static_cast<ssize_t>(size)) return;
    if (errno != EINTR) break;
  }
  log::error("http: getrandom: no random bytes from the kernel");
  std::abort();
}

}  // namespace treadle::http
