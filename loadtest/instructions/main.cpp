// treadle-instructions: operations of the scheduler and of the server, for callgrind to count.
// run.sh runs it, says what it found and compares.
//
//   treadle-instructions --list         the cases
//   treadle-instructions CASE           does n operations, then 2 n, and prints n
//   treadle-instructions CASE N         the same with n = N, rounded up to what the case can do
//
// Without valgrind it does the same and counts nothing.
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include <treadle/runtime.h>

#include "cases.h"
#include "runtime/sched.h"

namespace {

using instructions::Case;

std::vector<Case> all_cases() {
  std::vector<Case> all = instructions::scheduler_cases();
  for (const Case& c : instructions::server_cases()) all.push_back(c);
  return all;
}

// sysmon is held up meanwhile. It takes Ps from goroutines that are slow by the clock, and under
// valgrind all are: it would take one in every hinted system call.
void run_case(const Case& c, std::int64_t n) {
  const treadle::rt::LockGuard no_revoker(treadle::rt::sched.revoker);
  const instructions::Body body = c.prepare();
  body(n);
  instructions::begin_count();
  body(n);
  instructions::end_count("once");
  instructions::begin_count();
  body(2 * n);
  instructions::end_count("twice");
  std::printf("operations=%lld\n", static_cast<long long>(n));
}

int usage(const std::string& what) {
  std::fprintf(stderr, "treadle-instructions: %s\n", what.c_str());
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2 || argc > 3) return usage("--list, or a case and how often");
  const std::string_view name = argv[1];
  if (name == "--list") {
    for (const Case& c : all_cases())
      std::printf("%.*s\n", static_cast<int>(c.name.size()), c.name.data());
    return EXIT_SUCCESS;
  }
  for (const Case& c : all_cases()) {
    if (c.name != name) continue;
    std::int64_t n = c.count;
    if (argc == 3) {
      const std::string_view text = argv[2];
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
      if (error != std::errc() || end != text.data() + text.size() || n < 1 || n > 1'000'000'000)
        return usage("'" + std::string(text) + "' is no count of operations");
      n = (n + c.step - 1) / c.step * c.step;
    }
    treadle::run({.max_procs = 1}, [&] { run_case(c, n); });
    return EXIT_SUCCESS;
  }
  return usage("no case '" + std::string(name) + "' (see --list)");
}
