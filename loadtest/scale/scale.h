// What the cases share: one operation beside n others of a kind that wait meanwhile (goroutines,
// timers, connections), or, for the yield, among n that run.
//
// Everything runs on one P, and preemption is off: that P goes from one goroutine to the next only
// where a call parks or yields. So fields that goroutines share are plain.
#pragma once

#include <cstdint>
#include <functional>
#include <random>
#include <string_view>
#include <vector>

#include "../instructions/count.h"
#include "runtime/sched.h"

namespace scale {

using instructions::Body;

struct Case {
  std::string_view name;
  std::string_view what;  // an operation, in words
  std::int64_t most;      // n that it can be asked for
  bool whole_laps;        // n operations at least, so that all n take part in a measurement
  // Brings the n about, for as long as the process lives.
  Body (*prepare)(std::int64_t n);
};

std::vector<Case> goroutine_cases();
std::vector<Case> timer_cases();
std::vector<Case> connection_cases();

// The calling goroutine waits until somebody readies it, after storing itself in `here`.
void park(treadle::rt::G*& here);
void ready(treadle::rt::G* g);

// A number from 0 to n - 1, of a sequence that is the same in each run.
class Random {
 public:
  std::int64_t below(std::int64_t n) {
    return static_cast<std::int64_t>(next_() % static_cast<std::uint64_t>(n));
  }

 private:
  std::minstd_rand next_{42};
};

}  // namespace scale
