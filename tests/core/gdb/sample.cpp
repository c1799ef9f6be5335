// What gdb_test.sh looks at: goroutines that wait in functions of known names.
#include <cstdio>

#include <treadle/chan.h>
#include <treadle/go.h>
#include <treadle/labels.h>
#include <treadle/runtime.h>
#include <treadle/timer.h>

namespace {

using treadle::Chan;

[[gnu::noinline]] void wait_on_channel(const Chan<int>& gate, [[maybe_unused]] int argument) {
  (void)gate.recv();
  asm volatile("");
}
[[gnu::noinline]] void sleep_long() {
  (void)treadle::sleep(std::chrono::hours(1));
  asm volatile("");
}
[[gnu::noinline]] void compute_for_ever() {
  for (;;) asm volatile("");
}

}  // namespace

extern "C" [[gnu::noinline]] void sample_is_ready() { asm volatile(""); }

int main() {
  treadle::run({.max_procs = 2}, [] {
    auto gate = treadle::make_chan<int>();
    for (int i = 0; i < 3; ++i)
      treadle::go([gate, i] { wait_on_channel(gate, i); },
                  {.name = "waits", .labels = {{"number", std::to_string(i)}}});
    treadle::go([] { sleep_long(); });
    treadle::go([] { compute_for_ever(); }, {.name = "computes"});
    (void)treadle::sleep(std::chrono::milliseconds(50));
    sample_is_ready();
    std::puts("ready");
    std::fflush(stdout);
    (void)gate.recv();
  });
}
