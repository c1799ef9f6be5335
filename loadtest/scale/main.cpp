// treadle-scale: whether an operation is as much work beside a million others as beside a hundred.
//
// A process measures one case for one n; treadle-scale --help says how it is asked. All of them are
// run by loadtest/compare --case scale, which builds it; --full draws the plots besides.
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>
#include <string_view>

#include <treadle/runtime.h>

#include "scale.h"

namespace {

using scale::Case;

constexpr double kRoundNs = 1e8;    // of a round, at least
constexpr std::int64_t kStep = 16;  // operations that a case may do together
constexpr std::int64_t kCounted = 10'000;

std::vector<Case> all_cases() {
  std::vector<Case> all = scale::goroutine_cases();
  for (const auto& more : {scale::timer_cases(), scale::connection_cases()})
    all.insert(all.end(), more.begin(), more.end());
  return all;
}

// Of the whole process: what others on this CPU take meanwhile is not in it.
double cpu_ns() {
  timespec t{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) * 1e9 + static_cast<double>(t.tv_nsec);
}

double time_of(const scale::Body& body, std::int64_t count) {
  const double begin = cpu_ns();
  body(count);
  return cpu_ns() - begin;
}

std::int64_t rounded_up(std::int64_t count) { return (count + kStep - 1) / kStep * kStep; }

void measure(const Case& c, std::int64_t n, std::int64_t rounds) {
  const scale::Body body = c.prepare(n);
  std::int64_t count = rounded_up(c.whole_laps ? std::max<std::int64_t>(n, 1000) : 1000);
  // The first run warms up; from then on what it took says how often a round has to do it.
  (void)time_of(body, count);
  for (double took = 0; (took = time_of(body, count)) < kRoundNs;)
    count = rounded_up(static_cast<std::int64_t>(static_cast<double>(count) *
                                                 std::clamp(1.1 * kRoundNs / took, 1.1, 10.0)));
  for (std::int64_t i = 0; i < rounds; ++i) {
    std::printf("ns=%.2f\n", time_of(body, count) / static_cast<double>(count));
    std::fflush(stdout);
  }
}

constexpr const char* kUsage =
    R"(usage: treadle-scale CASE N [ROUNDS]   a line "ns=F" for each round (5): CPU nanoseconds of an
                                       operation beside N others
       treadle-scale CASE N count      for callgrind: does some operations, then twice as many
       treadle-scale --list            the cases: name, the largest N, an operation in words
)";

// The reason comes last: it is what remains where somebody keeps but the end.
int refuse(const std::string& why) {
  std::fprintf(stderr, "%streadle-scale: %s\n", kUsage, why.c_str());
  return 2;
}

// 0 when it is no whole number from 1 to `most`.
std::int64_t number(std::string_view text, std::int64_t most) {
  std::int64_t n = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  const bool whole = error == std::errc() && end == text.data() + text.size();
  return whole && n >= 1 && n <= most ? n : 0;
}

void list(const std::vector<Case>& cases) {
  for (const Case& c : cases)
    std::printf("%s %lld %s\n", std::string(c.name).c_str(), static_cast<long long>(c.most),
                std::string(c.what).c_str());
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<Case> cases = all_cases();
  if (argc == 2 && std::string_view(argv[1]) == "--list") {
    list(cases);
    return EXIT_SUCCESS;
  }
  if (argc == 2 && (std::string_view(argv[1]) == "--help" || std::string_view(argv[1]) == "-h")) {
    std::fputs(kUsage, stdout);
    return EXIT_SUCCESS;
  }
  if (argc < 3 || argc > 4) return refuse("wants a case and N, or --list");
  const auto c = std::ranges::find(cases, std::string_view(argv[1]), &Case::name);
  if (c == cases.end()) return refuse("no case '" + std::string(argv[1]) + "'");
  const std::int64_t n = number(argv[2], c->most);
  if (n < 100)
    return refuse(std::string(argv[1]) + " takes N from 100 to " + std::to_string(c->most));
  const std::string_view how = argc == 4 ? argv[3] : "5";
  const std::int64_t rounds = how == "count" ? 0 : number(how, 1000);
  if (rounds == 0 && how != "count")
    return refuse("'" + std::string(how) + "' is neither a number of rounds nor count");
  treadle::run({.max_procs = 1, .preempt = treadle::Feature::off}, [&] {
    if (rounds > 0)
      measure(*c, n, rounds);
    else
      instructions::count_operations([&] { return c->prepare(n); },
                                     rounded_up(c->whole_laps ? std::max(n, kCounted) : kCounted));
    // Without taking a million goroutines and timers apart.
    std::fflush(stdout);
    std::_Exit(EXIT_SUCCESS);
  });
  return EXIT_FAILURE;
}
