// treadle-stress: everything at once, for a given time.
//
//   treadle-stress --seconds 600 --procs 4 --seed 7 --verbose
//   TREADLE_SCHED_SEED=9 treadle-stress --only channels,timers
//
// The time is cut into short phases. Each runs a random choice of the loads, each with a few
// drivers, and ends with the process idle: what a busy scheduler repairs by chance (a wake-up that
// was lost, a timer nobody looks at) shows when little else goes on. A phase that does not end is
// reported with a dump of all goroutines.
#include <unistd.h>

#include <atomic>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <thread>

#include <treadle/dump.h>
#include <treadle/go.h>
#include <treadle/runtime.h>
#include <treadle/testing.h>
#include <treadle/wait_group.h>

#include "stress/stress.h"

namespace treadle::stress {

namespace {

using namespace std::chrono_literals;

struct Options {
  std::uint64_t seconds = 10;
  std::uint64_t seed = 0;  // 0: drawn
  std::uint64_t procs = 0;
  std::string only;
  bool verbose = false;
} options;

std::atomic<std::uint64_t> phase{0};

std::vector<Load>& registry() {
  static std::vector<Load> all;
  return all;
}

// One goroutine that repeats a load's round until its phase is over.
struct Driver {
  const Load* load;
  Random random;
  std::atomic<bool> ended{false};
  std::atomic<std::uint64_t> rounds{0};
};
// The phase's, for the report; written between phases.
std::vector<std::unique_ptr<Driver>> drivers;

std::uint64_t patience_seconds() {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return 120;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
  return 120;
#endif
#endif
  return 60;
}

void watch(const std::atomic<bool>& done) {
  std::uint64_t seen = phase.load();
  auto since = std::chrono::steady_clock::now();
  while (!done) {
    std::this_thread::sleep_for(200ms);
    const auto now = std::chrono::steady_clock::now();
    if (const std::uint64_t p = phase.load(); p != seen) {
      seen = p;
      since = now;
    } else if (now - since > std::chrono::seconds(patience_seconds())) {
      std::string stuck;
      for (const auto& d : drivers)
        if (!d->ended)
          stuck += fmt::format(" {} (after {} rounds)", d->load->name, d->rounds.load());
      broken(fmt::format("phase {} does not end; still there:{}", seen, stuck));
    }
  }
}

std::vector<const Load*> chosen_loads() {
  std::vector<const Load*> chosen;
  for (const Load& load : loads()) {
    const std::string_view name = load.name;
    const std::string padded = "," + options.only + ",";
    if (options.only.empty() || padded.find("," + std::string(name) + ",") != std::string::npos)
      chosen.push_back(&load);
  }
  if (chosen.empty()) {
    std::fprintf(stderr, "no load is called \"%s\"; see --list\n", options.only.c_str());
    std::exit(2);
  }
  return chosen;
}

// The loads of one phase: all of them, one alone, or any.
void choose_drivers(const std::vector<const Load*>& all, Random& random) {
  drivers.clear();
  const int kind = random.below(4);
  const int alone = random.below(static_cast<int>(all.size()));
  for (std::size_t i = 0; i < all.size(); ++i) {
    const bool in = kind == 0 || (kind == 1 ? static_cast<int>(i) == alone : random.once_in(3));
    if (!in) continue;
    for (int n = random.between(1, kind == 0 ? 2 : 4); n > 0; --n)
      drivers.push_back(std::make_unique<Driver>(all[i], random.fork()));
  }
}

void run_phase(Duration length) {
  const Deadline end = Deadline::after(length);
  WaitGroup wg;
  wg.add(static_cast<std::int64_t>(drivers.size()));
  for (const auto& d : drivers)
    go([&wg, &driver = *d, end] {
      do {
        driver.load->round(driver.random);
        ++driver.rounds;
      } while (!end.passed());
      driver.ended = true;
      wg.done();
    });
  wg.wait();
}

// A goroutine that has said it is done has a few instructions to go.
void expect_nothing_left(std::uint64_t before) {
  const Deadline limit = Deadline::after(std::chrono::seconds(patience_seconds()));
  while (runtime_stats().goroutines > before) {
    if (limit.passed())
      broken(fmt::format("{} goroutines left behind", runtime_stats().goroutines - before));
    (void)sleep(100us);
  }
}

void summary(const std::vector<const Load*>& all, const std::vector<std::uint64_t>& rounds) {
  std::printf("%-12s %12s\n", "load", "rounds");
  for (std::size_t i = 0; i < all.size(); ++i)
    std::printf("%-12s %12llu\n", all[i]->name, static_cast<unsigned long long>(rounds[i]));
  const RuntimeStats s = runtime_stats();
  std::printf(
      "%llu phases; %llu goroutines, %llu parks, %llu steals, %llu handoffs, "
      "%llu preemptions, %llu yields on request, %llu threads at the end\n",
      static_cast<unsigned long long>(phase.load()), static_cast<unsigned long long>(s.spawned),
      static_cast<unsigned long long>(s.parks), static_cast<unsigned long long>(s.steals),
      static_cast<unsigned long long>(s.handoffs), static_cast<unsigned long long>(s.preemptions),
      static_cast<unsigned long long>(s.yields_on_request),
      static_cast<unsigned long long>(s.threads));
}

void stress() {
  const auto all = chosen_loads();
  std::vector<std::uint64_t> rounds(all.size());
  Random random(options.seed);
  const std::uint64_t before = runtime_stats().goroutines;
  const Deadline end = Deadline::after(std::chrono::seconds(options.seconds));
  while (!end.passed()) {
    choose_drivers(all, random);
    const Duration length = random.once_in(4) ? Duration(300ms) : random.up_to(60ms);
    if (options.verbose) {
      std::printf("phase %llu:", static_cast<unsigned long long>(phase.load()));
      for (const auto& d : drivers) std::printf(" %s", d->load->name);
      std::printf("\n");
      std::fflush(stdout);
    }
    run_phase(length);
    expect_nothing_left(before);
    for (const auto& d : drivers)
      for (std::size_t i = 0; i < all.size(); ++i)
        if (all[i] == d->load) rounds[i] += d->rounds;
    ++phase;
    if (random.once_in(8)) std::this_thread::sleep_for(random.up_to(20ms));  // Ms go to sleep
  }
  summary(all, rounds);
}

[[noreturn]] void usage(const char* bad) {
  if (bad) std::fprintf(stderr, "treadle-stress: cannot understand \"%s\"\n", bad);
  std::fprintf(bad ? stderr : stdout,
               "usage: treadle-stress [--seconds N] [--seed N] [--procs N] [--only load,load] "
               "[--verbose] [--list]\n");
  std::exit(bad ? 2 : 0);
}

std::uint64_t number(const char* text) {
  std::uint64_t n = 0;
  const char* end = text ? text + std::strlen(text) : nullptr;
  if (!text || std::from_chars(text, end, n).ptr != end || end == text) usage(text ? text : "");
  return n;
}

void parse(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view name = argv[i];
    const char* value = i + 1 < argc ? argv[i + 1] : nullptr;
    if (name == "--verbose") {
      options.verbose = true;
    } else if (name == "--list") {
      for (const Load& load : loads()) std::printf("%-12s %s\n", load.name, load.what);
      std::exit(0);
    } else if (name == "--help") {
      usage(nullptr);
    } else if (name == "--only" && value) {
      options.only = value;
      ++i;
    } else if (name == "--seconds" || name == "--seed" || name == "--procs") {
      (name == "--seconds" ? options.seconds
       : name == "--seed"  ? options.seed
                           : options.procs) = number(value);
      ++i;
    } else {
      usage(argv[i]);
    }
  }
  if (options.seed == 0) options.seed = std::random_device()() | 1u;
}

}  // namespace

Registered::Registered(const Load& load) { registry().push_back(load); }

const std::vector<Load>& loads() { return registry(); }

void broken(const std::string& what) {
  static std::atomic<bool> failed{false};
  if (failed.exchange(true)) ::pause();
  std::fflush(stdout);
  std::fprintf(stderr, "treadle-stress: %s\nrepeat with --seed %llu (scheduler's seed: %llu)\n",
               what.c_str(), static_cast<unsigned long long>(options.seed),
               static_cast<unsigned long long>(testing::sched_seed()));
  dump_goroutines(STDERR_FILENO);
  std::abort();
}

int main(int argc, char** argv) {
  parse(argc, argv);
  std::printf("seed %llu, %llu s\n", static_cast<unsigned long long>(options.seed),
              static_cast<unsigned long long>(options.seconds));
  std::fflush(stdout);
  std::atomic<bool> done{false};
  std::thread watchdog([&done] { watch(done); });
  RuntimeOptions runtime;
  runtime.max_procs = static_cast<int>(options.procs);
  run(runtime, [] { stress(); });
  done = true;
  watchdog.join();
  return 0;
}

}  // namespace treadle::stress

int main(int argc, char** argv) { return treadle::stress::main(argc, argv); }
