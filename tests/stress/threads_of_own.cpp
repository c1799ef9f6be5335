// Goroutines tied to threads, and children of the process.
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <treadle/chan.h>
#include <treadle/context.h>
#include <treadle/go.h>
#include <treadle/os_thread.h>
#include <treadle/subprocess.h>
#include <treadle/wait_group.h>

#include <csignal>
#include <string>

#include "stress/stress.h"

namespace treadle::stress {
namespace {

[[gnu::noinline]] pthread_t this_thread() noexcept {
  asm volatile("" ::: "memory");
  return ::pthread_self();
}

// Some stay tied to the end, and take their threads with them.
void tied(Random& random) {
  auto ch = make_chan<int>(static_cast<std::size_t>(random.below(3)));
  const int n = random.between(1, 4), each = random.between(1, 40);
  WaitGroup wg;
  wg.add(2 * n);
  for (int i = 0; i < n; ++i) {
    go([&wg, ch, each, leaves = random.once_in(2), random = random.fork()]() mutable {
      lock_os_thread();
      const pthread_t mine = this_thread();
      for (int k = 0; k < each; ++k) {
        ch.send(k);
        if (random.once_in(8)) gosched();
        if (random.once_in(8)) (void)sleep(random.up_to(std::chrono::microseconds(100)));
        if (random.once_in(16)) burn(random.below(100'000));
        require(::pthread_equal(mine, this_thread()), "a tied goroutine has moved");
      }
      if (leaves) unlock_os_thread();
      wg.done();
    });
    go([&wg, ch, each] {
      for (int k = 0; k < each; ++k) require(ch.recv().has_value(), "tied: a closed channel");
      wg.done();
    });
  }
  wg.wait();
}

// Echoes, exit codes, signals and contexts that kill.
void child(Random& random) {
  switch (random.below(4)) {
    case 0: {
      const std::string text(static_cast<std::size_t>(random.below(100'000)), 'x');
      const auto out = Subprocess::output({.args = {"cat"}}, text);
      if (!out) return;  // descriptors or processes have run out
      require(out->status.success() && out->out == text, "cat: {}, {} bytes of {}",
              out->status.to_string(), out->out.size(), text.size());
      return;
    }
    case 1: {
      const int code = random.below(100);
      auto sh = Subprocess::spawn({.args = {"sh", "-c", "exit " + std::to_string(code)}});
      if (!sh) return;
      const auto end = sh->wait();
      require(end && end->code() == code, "sh: exit code {}", code);
      return;
    }
    case 2: {
      auto sleeper = Subprocess::spawn({.args = {"sleep", "1000"}});
      if (!sleeper) return;
      (void)sleep(random.up_to(std::chrono::milliseconds(2)));
      (void)sleeper->kill();
      const auto end = sleeper->wait();
      require(end && end->signal() == SIGKILL, "sleep outlived its SIGKILL");
      return;
    }
    default: {
      const auto limit = with_timeout(background(), random.up_to(std::chrono::milliseconds(5)));
      auto sleeper = Subprocess::spawn({.args = {"sleep", "1000"}, .context = limit.context});
      if (!sleeper) return;
      require(!sleeper->wait(), "sleep outlived its context");
    }
  }
}

void children(Random& random) {
  WaitGroup wg;
  const int n = random.between(1, 3);
  wg.add(n);
  for (int i = 0; i < n; ++i)
    go([&wg, random = random.fork()]() mutable {
      child(random);
      wg.done();
    });
  wg.wait();
}

const Registered tied_load{{"tied", "goroutines tied to their threads", &tied}};
const Registered children_load{{"children", "child processes that end in every way", &children}};

}  // namespace
}  // namespace treadle::stress
