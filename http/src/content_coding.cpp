#include "content_coding.h"

#include <algorithm>

#include "chars.h"
#include "field_list.h"

namespace treadle::http {
namespace {

constexpr int kUnsaid = -1;

// A qvalue in thousandths (RFC 9110 12.4.2); nothing when it is malformed.
std::optional<int> parse_weight(std::string_view text) noexcept {
  if (text.empty() || text.size() > 5 || (text[0] != '0' && text[0] != '1')) return {};
  if (text.size() > 1 && text[1] != '.') return {};
  int weight = (text[0] - '0') * 1000;
  int unit = 100;
  for (const char c : text.substr(std::min<std::size_t>(2, text.size()))) {
    if (!chars::is_digit(c)) return {};
    weight += (c - '0') * unit;
    unit /= 10;
  }
  if (weight > 1000) return {};
  return weight;
}

struct Weights {
  std::array<int, 4> of{kUnsaid, kUnsaid, kUnsaid, kUnsaid};  // by Coding
  int star = kUnsaid;

  void take(std::string_view member) noexcept {
    const std::size_t semicolon = member.find(';');
    const std::string_view name = trim_ows(member.substr(0, semicolon));
    int weight = 1000;
    if (semicolon != std::string_view::npos) {
      const std::string_view parameter = trim_ows(member.substr(semicolon + 1));
      if (!parameter.starts_with("q=") && !parameter.starts_with("Q=")) return;
      const auto parsed = parse_weight(parameter.substr(2));
      if (!parsed) return;
      weight = *parsed;
    }
    if (name == "*") star = weight;
    if (const auto coding = coding_by_name(name)) of[static_cast<std::size_t>(*coding)] = weight;
  }
  int weight(Coding coding) const noexcept {
    const int own = of[static_cast<std::size_t>(coding)];
    return own != kUnsaid ? own : star;
  }
};

}  // namespace

std::string_view coding_name(Coding coding) noexcept {
  constexpr std::array<std::string_view, 4> kNames{"identity", "gzip", "br", "zstd"};
  return kNames[static_cast<std::size_t>(coding)];
}

std::optional<Coding> coding_by_name(std::string_view name) noexcept {
  for (const Coding coding : {Coding::identity, Coding::gzip, Coding::br, Coding::zstd})
    if (equal_ignore_case(name, coding_name(coding))) return coding;
  if (equal_ignore_case(name, "x-gzip")) return Coding::gzip;
  return {};
}

CodingChoice choose_coding(const HeaderView& headers, std::span<const Coding> ours) noexcept {
  Weights weights;
  for (const HeaderField& field : headers) {
    if (!equal_ignore_case(field.name, "Accept-Encoding")) continue;
    FieldList list(field.value);
    while (const auto member = list.next()) weights.take(*member);
  }
  CodingChoice choice;
  choice.identity_refused = weights.weight(Coding::identity) == 0;
  // What is named outweighs an identity that goes without saying.
  int best = std::max(weights.of[static_cast<std::size_t>(Coding::identity)], 0);
  bool found = false;
  for (const Coding coding : ours) {
    const int weight = weights.weight(coding);
    if (weight <= 0 || weight < best || (found && weight == best)) continue;
    choice.coding = coding;
    best = weight;
    found = true;
  }
  return choice;
}

bool is_compressible(std::string_view media_type) noexcept {
  std::string_view type = trim_ows(media_type.substr(0, media_type.find(';')));
  constexpr std::array<std::string_view, 19> kTypes{
      "application/javascript",
      "application/json",
      "application/x-javascript",
      "application/x-ndjson",
      "application/xml",
      "application/wasm",
      "application/graphql",
      "application/rtf",
      "application/sql",
      "application/toml",
      "application/yaml",
      "application/x-sh",
      "application/x-tar",
      "application/vnd.ms-fontobject",
      "font/otf",
      "font/ttf",
      "image/bmp",
      "image/svg+xml",
      "image/x-icon",
  };
  const auto is = [&](std::string_view known) { return equal_ignore_case(type, known); };
  const auto ends = [&](std::string_view suffix) {
    return type.size() > suffix.size() &&
           equal_ignore_case(type.substr(type.size() - suffix.size()), suffix);
  };
  return equal_ignore_case(type.substr(0, 5), "text/") || ends("+json") || ends("+xml") ||
         std::ranges::any_of(kTypes, is);
}

}  // namespace treadle::http
