#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace load {

// Every latency of a measurement, in nanoseconds: percentiles are exact, no bucket rounds them.
class Samples {
 public:
  // Room for that many, touched now rather than while measuring.
  explicit Samples(std::size_t expected);

  void add(std::int64_t ns) { values_.push_back(ns); }
  void clear() { values_.clear(); }
  std::size_t size() const { return values_.size(); }

  // The smallest value that at least this share (0 to 1) of the samples do not exceed; 0 of none.
  std::int64_t percentile(double share);

  // "PREFIXp50_us":1.234, and the same for 90, 99, 99.9 % and the largest.
  std::string json(const std::string& prefix);

 private:
  std::vector<std::int64_t> values_;
};

}  // namespace load
