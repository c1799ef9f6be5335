// What the microbenchmarks share.
//
// Each case is the same work as its namesake in go/ and fiber/main.cpp: a body that does n
// operations, called until the wanted time has passed; what it reports is time divided by
// operations. Whatever the body sets up (a few goroutines, channels) is part of it, in all three
// alike. Beside the time stand the user-mode instructions and cycles of an operation, which a busy
// machine disturbs less, where the kernel lets us count them.
#pragma once

#include <benchmark/benchmark.h>

#include <cstdint>
#include <string>
#include <vector>

namespace micro {

// `batch` operations at a time, enough that the set-up is lost among them.
using Body = void (*)(std::int64_t n);
void add_case(const char* name, std::int64_t batch, Body body);

// A case that measures once and reports counters of its own.
using Measure = void (*)(benchmark::State& state);
void add_single(const char* name, Measure measure);

// Reports mean, median, 99th percentile and maximum, in microseconds.
void report_delays(benchmark::State& state, std::vector<std::int64_t> nanoseconds);
std::int64_t now() noexcept;
// The number of a "Name:   123 kB" line of a file in /proc; 0 when there is none.
std::int64_t proc_kb(const char* file, const std::string& name);

void add_switch_cases();
void add_spawn_cases();
void add_select_cases();
void add_timer_cases();
void add_call_cases();
void add_preemption_cases();
void add_memory_cases();

}  // namespace micro
