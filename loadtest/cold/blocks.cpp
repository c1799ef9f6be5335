#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <limits>
#include <numeric>
#include <random>
#include <string>

#include "cold.h"
#include "cold_file.h"

namespace cold {

namespace {

std::int64_t clock_ns(clockid_t clock) noexcept {
  timespec t{};
  ::clock_gettime(clock, &t);
  return t.tv_sec * 1'000'000'000 + t.tv_nsec;
}

std::int64_t bytes_from_disk() {
  std::ifstream in("/proc/self/io");
  for (std::string name; in >> name;)
    if (std::int64_t value = 0; name == "read_bytes:" && in >> value) return value;
  return 0;
}

Usage usage() {
  rusage r{};
  ::getrusage(RUSAGE_SELF, &r);
  return {now(), clock_ns(CLOCK_PROCESS_CPUTIME_ID), r.ru_nvcsw + r.ru_nivcsw, bytes_from_disk()};
}

}  // namespace

std::int64_t now() noexcept { return clock_ns(CLOCK_MONOTONIC); }

void fail(std::string_view what, int error) {
  std::fprintf(stderr, "treadle-cold: %s%s%s\n", std::string(what).c_str(), error != 0 ? ": " : "",
               error != 0 ? std::strerror(error) : "");
  std::_Exit(EXIT_FAILURE);
}

Blocks::Blocks(std::size_t size, std::uint64_t file_bytes, std::size_t concurrency, double seconds)
    : size_(size),
      offsets_(file_bytes / size),
      warm_(std::min(2 * concurrency, offsets_.size() / 4)),
      length_(static_cast<std::int64_t>(seconds * 1e9)),
      end_(std::numeric_limits<std::int64_t>::max()) {
  for (std::size_t i = 0; i < offsets_.size(); ++i) offsets_[i] = i * size;
  std::ranges::shuffle(offsets_, std::mt19937_64(7));
}

std::optional<std::uint64_t> Blocks::next() {
  const std::size_t i = next_.fetch_add(1, std::memory_order_relaxed);
  if (i >= offsets_.size() || now() >= end_.load(std::memory_order_relaxed)) return {};
  if (i == warm_) {
    begin_ = usage();
    end_.store(begin_.when + length_, std::memory_order_relaxed);
  }
  given_.fetch_add(1, std::memory_order_relaxed);
  return offsets_[i];
}

void Blocks::check(std::span<const std::byte> block, std::uint64_t offset) const {
  if (!is_from(block, offset)) fail("read something else than what was written");
}

void Blocks::report() const {
  const Usage end = usage();
  const auto n = static_cast<double>(given_.load(std::memory_order_relaxed) - warm_);
  if (n < 1) fail("not one block was counted");
  const auto each = [n](std::int64_t from, std::int64_t to) {
    return static_cast<double>(to - from) / n;
  };
  const double wall = each(begin_.when, end.when);
  std::printf("blocks %.0f\nus %.3f\nmb_s %.1f\ncpu_us %.3f\nbusy %.3f\nswitches %.2f\n", n,
              wall / 1e3, static_cast<double>(size_) * 1e3 / wall,
              each(begin_.cpu_ns, end.cpu_ns) / 1e3, each(begin_.cpu_ns, end.cpu_ns) / wall,
              each(begin_.switches, end.switches));
  std::printf("from_disk %.3f\n",
              each(begin_.disk_bytes, end.disk_bytes) / static_cast<double>(size_));
}

void Ticks::report() {
  if (late_.empty()) fail("not one tick");
  std::ranges::sort(late_);
  const auto us = [this](std::size_t i) { return static_cast<double>(late_[i]) / 1e3; };
  const std::size_t n = late_.size();
  std::printf("ticks %zu\nlate_p50_us %.1f\nlate_p99_us %.1f\nlate_max_us %.1f\n", n, us(n / 2),
              us(n * 99 / 100), us(n - 1));
}

}  // namespace cold
