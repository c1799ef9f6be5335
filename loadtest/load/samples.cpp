#include "samples.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace load {

Samples::Samples(std::size_t expected) {
  values_.resize(expected);
  values_.clear();
}

std::int64_t Samples::percentile(double share) {
  if (values_.empty()) return 0;
  const auto n = static_cast<double>(values_.size());
  const auto rank = static_cast<std::size_t>(std::max(1.0, std::ceil(share * n)));
  const auto at = values_.begin() + static_cast<std::ptrdiff_t>(std::min(rank, values_.size()) - 1);
  std::nth_element(values_.begin(), at, values_.end());
  return *at;
}

std::string Samples::json(const std::string& prefix) {
  static constexpr struct {
    const char* name;
    double share;
  } kShares[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p999", 0.999}, {"max", 1.0}};
  std::string out;
  for (const auto& s : kShares) {
    char field[96];
    std::snprintf(field, sizeof field, "%s\"%s%s_us\":%.3f", out.empty() ? "" : ",", prefix.c_str(),
                  s.name, static_cast<double>(percentile(s.share)) / 1000);
    out += field;
  }
  return out;
}

}  // namespace load
