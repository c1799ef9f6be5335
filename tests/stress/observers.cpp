// What looks at everything from outside: dumps, statistics, and GOMAXPROCS that changes.
#include <fcntl.h>
#include <unistd.h>

#include <treadle/dump.h>
#include <treadle/mutex.h>
#include <treadle/runtime.h>

#include "stress/stress.h"

namespace treadle::stress {
namespace {

void dumps(Random& random) {
  const int fd = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  for (int i = random.between(1, 4); fd >= 0 && i > 0; --i) dump_goroutines(fd);
  if (fd >= 0) ::close(fd);
  const RuntimeStats s = runtime_stats();
  require(s.goroutines > 0 && s.goroutines < 1'000'000, "{} goroutines", s.goroutines);
  (void)sleep(random.up_to(std::chrono::milliseconds(1)));
}

void procs(Random& random) {
  static Mutex one_at_a_time;
  one_at_a_time.lock();
  const int before = set_max_procs(random.between(1, 8));
  (void)sleep(random.up_to(std::chrono::milliseconds(2)));
  set_max_procs(before);
  one_at_a_time.unlock();
}

const Registered dump_load{{"dumps", "dump_goroutines() and runtime_stats()", &dumps}};
const Registered procs_load{{"procs", "set_max_procs()", &procs}};

}  // namespace
}  // namespace treadle::stress
