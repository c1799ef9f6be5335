// Calls that block the thread, hinted and not, and goroutines that only compute. The P goes away
// under them at any moment; thread, errno and thread_locals stay.
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include <treadle/blocking.h>
#include <treadle/chan.h>
#include <treadle/context.h>
#include <treadle/go.h>
#include <treadle/mutex.h>
#include <treadle/wait_group.h>

#include <cerrno>
#include <ctime>

#include "stress/stress.h"

namespace treadle::stress {
namespace {

[[gnu::noinline]] pthread_t this_thread() noexcept {
  asm volatile("" ::: "memory");
  return ::pthread_self();
}
[[gnu::noinline]] int read_errno() noexcept {
  asm volatile("" ::: "memory");
  return errno;
}

void thread_sleep(Duration d) noexcept {
  const timespec t{d.count() / 1'000'000'000, d.count() % 1'000'000'000};
  ::nanosleep(&t, nullptr);
}

// A pipe whose reader blocks its thread; null ends when descriptors have run out.
struct BlockingPipe {
  int fds[2] = {-1, -1};
  BlockingPipe() { (void)!::pipe2(fds, O_CLOEXEC); }
  ~BlockingPipe() {
    for (const int fd : fds)
      if (fd >= 0) ::close(fd);
  }
  BlockingPipe(const BlockingPipe&) = delete;
  BlockingPipe& operator=(const BlockingPipe&) = delete;
  bool ok() const noexcept { return fds[0] >= 0; }
  char read_byte() const noexcept {
    char c = 0;
    ssize_t n;
    do n = ::read(fds[0], &c, 1);
    while (n < 0 && errno == EINTR);
    return n == 1 ? c : '\0';
  }
  void write_byte(char c) const noexcept { (void)!::write(fds[1], &c, 1); }
};

void hinted(Random& random) {
  const Duration d = random.up_to(std::chrono::microseconds(random.once_in(8) ? 2'000 : 60));
  const pthread_t before = this_thread();
  int seen = 0;
  const auto call = [&] {
    if (!random.once_in(3)) thread_sleep(d);
    errno = 42;
  };
  if (random.once_in(4))
    blocking_long(call);
  else
    blocking(call);
  seen = read_errno();
  require(::pthread_equal(before, this_thread()), "blocking() moved the goroutine");
  require(seen == 42, "blocking() changed errno to {}", seen);
}

// One goroutine blocks its thread until another one writes.
void fed(Random& random) {
  const BlockingPipe pipe;
  if (!pipe.ok()) return;
  WaitGroup wg;
  wg.add(1);
  const int how = random.below(3);
  go([&wg, &pipe, how] {
    char c = 0;
    if (how == 0) c = pipe.read_byte();  // nobody is told
    if (how == 1) blocking([&] { c = pipe.read_byte(); });
    if (how == 2) blocking_long([&] { c = pipe.read_byte(); });
    require(c == 'x', "a blocked read ended with {}", static_cast<int>(c));
    wg.done();
  });
  (void)sleep(random.up_to(std::chrono::microseconds(300)));
  pipe.write_byte('x');
  wg.wait();
}

void round(Random& random) {
  WaitGroup wg;
  const int n = random.between(1, 6);
  wg.add(n);
  for (int i = 0; i < n; ++i)
    go([&wg, random = random.fork()]() mutable {
      for (int k = random.between(1, 20); k > 0; --k) hinted(random);
      if (random.once_in(3)) fed(random);
      wg.done();
    });
  wg.wait();
}

// Many calls that never park, with computing in between: asked to give way, it stays where it is.
void busy(Random& random) {
  const pthread_t before = this_thread();
  auto ch = make_chan<int>(1);
  Mutex mutex;
  for (int i = random.between(1, 300); i > 0; --i) {
    burn(random.below(50'000));
    require(ch.try_send(i) && ch.try_recv() == i, "a channel of its own lost a value");
    require(mutex.try_lock(), "a mutex of its own was locked");
    mutex.unlock();
    const auto made = with_timeout(background(), std::chrono::hours(1));
    made.cancel();
  }
  require(::pthread_equal(before, this_thread()), "a call that does not park moved the goroutine");
}

void hog(Random& random) {
  if (random.once_in(3)) return busy(random);
  burn(random.once_in(4) ? random.below(30'000'000) : random.below(300'000));
}

const Registered calls{{"blocking", "hinted and unhinted calls that block the thread", &round}};
const Registered hogs{{"hogs", "computing, and calls that never park", &hog}};

}  // namespace
}  // namespace treadle::stress
