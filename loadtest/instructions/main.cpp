// treadle-instructions: operations of the scheduler and of the server, for callgrind to count.
// run.sh runs it, says what it found and compares.
//
//   treadle-instructions --list         the cases
//   treadle-instructions --about        what the figures depend on
//   treadle-instructions CASE           does n operations, then 2 n, and prints n
//   treadle-instructions CASE N         the same with n = N, rounded up to what the case can do
//
// Without valgrind it does the same and counts nothing.
#include <gnu/libc-version.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include <treadle/runtime.h>

#include "cases.h"

namespace {

using instructions::Case;

std::vector<Case> all_cases() {
  std::vector<Case> all = instructions::scheduler_cases();
  for (const Case& c : instructions::server_cases()) all.push_back(c);
  return all;
}

void about() {
#ifdef __clang__
  std::puts("compiler: clang " __VERSION__);
#else
  std::puts("compiler: g++ " __VERSION__);
#endif
  std::puts("flags: " TREADLE_FLAGS);
  // The C library has several memcpy and the like, and takes what the CPU can do.
  std::printf("libc: %s, %s\n", ::gnu_get_libc_version(),
              __builtin_cpu_supports("avx2") ? "AVX2" : "no AVX2");
}

int usage(const std::string& what) {
  std::fprintf(stderr, "treadle-instructions: %s\n", what.c_str());
  return 2;
}

// 0 when it is no count.
std::int64_t parse_count(std::string_view text) {
  std::int64_t n = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  const bool whole = error == std::errc() && end == text.data() + text.size();
  return whole && n >= 1 && n <= 1'000'000'000 ? n : 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2 || argc > 3) return usage("wants --list, --about, or a case and how often");
  const std::string_view name = argv[1];
  const std::vector<Case> cases = all_cases();
  if (name == "--list") {
    for (const Case& c : cases) std::printf("%s\n", std::string(c.name).c_str());
    return EXIT_SUCCESS;
  }
  if (name == "--about") {
    about();
    return EXIT_SUCCESS;
  }
  const auto found = std::ranges::find(cases, name, &Case::name);
  if (found == cases.end()) return usage("no case '" + std::string(name) + "' (see --list)");
  std::int64_t n = argc == 3 ? parse_count(argv[2]) : found->count;
  if (n == 0) return usage("'" + std::string(argv[2]) + "' is no count of operations");
  n = (n + found->step - 1) / found->step * found->step;
  treadle::run({.max_procs = 1}, [&] { instructions::count_operations(found->prepare, n); });
  return EXIT_SUCCESS;
}
