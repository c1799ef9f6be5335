#include "accept_encoding.h"

#include <array>
#include <cstddef>
#include <optional>

#include <treadle/http/header.h>

#include "chars.h"
#include "field_list.h"

namespace treadle::http {
namespace {

constexpr std::size_t kCodings = 4;
constexpr int kFullWeight = 1000;

std::size_t index_of(Coding coding) noexcept { return static_cast<std::size_t>(coding); }

// qvalue (RFC 9110 12.4.2) in thousandths: at most three digits behind the dot, and 1 at most.
std::optional<int> parse_qvalue(std::string_view text) noexcept {
  if (text.empty() || text.size() > 5 || (text[0] != '0' && text[0] != '1')) return std::nullopt;
  if (text.size() > 1 && text[1] != '.') return std::nullopt;
  int value = (text[0] - '0') * kFullWeight;
  int unit = kFullWeight / 10;
  for (std::size_t i = 2; i < text.size(); ++i, unit /= 10) {
    if (!chars::is_digit(text[i])) return std::nullopt;
    value += (text[i] - '0') * unit;
  }
  if (value > kFullWeight) return std::nullopt;
  return value;
}

// What stands behind a coding's name: nothing, or ";q=" and a weight.
std::optional<int> parse_weight(std::string_view parameters) noexcept {
  parameters = trim_ows(parameters);
  if (parameters.empty()) return kFullWeight;
  parameters = trim_ows(parameters.substr(1));
  if (parameters.size() < 2 || chars::to_lower(parameters[0]) != 'q' || parameters[1] != '=')
    return std::nullopt;
  return parse_qvalue(parameters.substr(2));
}

struct Weights {
  std::array<std::optional<int>, kCodings> named;
  std::optional<int> others;  // "*"

  std::optional<int> of(Coding coding) const noexcept {
    const std::optional<int>& own = named[index_of(coding)];
    return own ? own : others;
  }
};

// Where a member comes twice, the last one counts.
Weights parse(std::string_view accept) noexcept {
  Weights weights;
  FieldList list(accept);
  while (const auto member = list.next()) {
    const std::size_t semicolon = member->find(';');
    const std::string_view name = trim_ows(member->substr(0, semicolon));
    const auto weight = semicolon == std::string_view::npos
                            ? std::optional(kFullWeight)
                            : parse_weight(member->substr(semicolon));
    if (!weight) continue;
    if (name == "*") {
      weights.others = weight;
    } else if (const auto coding = coding_by_name(name)) {
      weights.named[index_of(*coding)] = weight;
    }
  }
  return weights;
}

}  // namespace

std::string_view coding_name(Coding coding) noexcept {
  switch (coding) {
    case Coding::identity: break;
    case Coding::br: return "br";
    case Coding::zstd: return "zstd";
    case Coding::gzip: return "gzip";
  }
  return {};
}

std::optional<Coding> coding_by_name(std::string_view name) noexcept {
  if (equal_ignore_case(name, "identity")) return Coding::identity;
  if (equal_ignore_case(name, "br")) return Coding::br;
  if (equal_ignore_case(name, "zstd")) return Coding::zstd;
  if (equal_ignore_case(name, "gzip") || equal_ignore_case(name, "x-gzip")) return Coding::gzip;
  return std::nullopt;
}

namespace accept_encoding {

Coding choose(std::string_view accept, std::span<const Coding> available) noexcept {
  return negotiate(accept, available).coding;
}

Choice negotiate(std::string_view accept, std::span<const Coding> available) noexcept {
  if (accept.empty()) return {};
  const Weights weights = parse(accept);
  // Not named, identity may always be sent, but a coding that is asked for at all is liked better.
  int best_weight = weights.of(Coding::identity).value_or(0);
  Coding best = Coding::identity;
  for (const Coding coding : available) {
    const int weight = weights.of(coding).value_or(0);
    const bool better = best == Coding::identity ? weight >= best_weight : weight > best_weight;
    if (weight == 0 || !better) continue;
    best = coding;
    best_weight = weight;
  }
  return {best, weights.of(Coding::identity) == 0};
}

}  // namespace accept_encoding
}  // namespace treadle::http
