#include "setting_names.h"

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

namespace treadle::apps {

std::string flag_name(std::string_view key) {
  constexpr std::string_view kServer = "server.";
  if (key.starts_with(kServer)) key.remove_prefix(kServer.size());
  std::string name(key);
  std::ranges::replace_if(name, [](char c) { return c == '_' || c == '.'; }, '-');
  return name;
}

std::string variable_name(std::string_view key) {
  std::string name = "TREADLE_";
  for (const char c : key) {
    const bool small = c >= 'a' && c <= 'z';
    name += small ? static_cast<char>(c - 'a' + 'A') : (c == '.' || c == '-' ? '_' : c);
  }
  return name;
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i + 1);
    for (std::size_t j = 0; j < b.size(); ++j) {
      std::size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = std::exchange(row[j + 1], std::min({replaced, row[j] + 1, row[j + 1] + 1}));
    }
  }
  return row.back();
}

std::string closest_key(std::string_view key, std::span<const std::string> keys) {
  std::string best;
  std::size_t best_distance = 3;
  const std::string_view given = key.substr(key.rfind('.') + 1);
  for (const std::string& k : keys) {
    const std::string_view last = std::string_view(k).substr(k.rfind('.') + 1);
    const std::size_t distance = std::min(edit_distance(key, k), edit_distance(given, last) + 1);
    if (distance >= best_distance) continue;
    best_distance = distance;
    best = k;
  }
  return best;
}

std::string closest_variable(std::string_view name, std::span<const std::string> keys) {
  constexpr std::size_t kLong = 20;
  std::string best;
  std::size_t best_distance = name.size() < kLong ? 2 : 3;
  for (const std::string& k : keys) {
    std::string variable = variable_name(k);
    const std::size_t distance = edit_distance(name, variable);
    if (distance >= best_distance) continue;
    best_distance = distance;
    best = std::move(variable);
  }
  return best;
}

}  // namespace treadle::apps
