// Range, Content-Range and multipart/byteranges.
#include "range.h"

#include <algorithm>
#include <limits>
#include <optional>

#include <treadle/http/header.h>

#include "chars.h"
#include "field_list.h"

namespace treadle::http {
namespace {

constexpr std::uint64_t kMax = std::numeric_limits<std::uint64_t>::max();

// A number of digits only; one that does not fit is as good as the largest.
std::optional<std::uint64_t> parse_position(std::string_view digits) noexcept {
  if (digits.empty()) return std::nullopt;
  std::uint64_t value = 0;
  for (const char c : digits) {
    if (!chars::is_digit(c)) return std::nullopt;
    const auto digit = static_cast<std::uint64_t>(c - '0');
    value = value > (kMax - digit) / 10 ? kMax : value * 10 + digit;
  }
  return value;
}

// One range-spec against the size: a length of 0 means that nothing of it is there. Nothing when it
// is malformed.
std::optional<ByteRange> resolve(std::string_view spec, std::uint64_t size) noexcept {
  const std::size_t dash = spec.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  const std::string_view first_text = spec.substr(0, dash);
  const std::string_view last_text = spec.substr(dash + 1);

  if (first_text.empty()) {  // -n: the last n bytes
    const auto suffix = parse_position(last_text);
    if (!suffix) return std::nullopt;
    const std::uint64_t length = std::min(*suffix, size);
    return ByteRange{size - length, length};
  }
  const auto first = parse_position(first_text);
  const auto last = last_text.empty() ? kMax : parse_position(last_text);
  if (!first || !last || *last < *first) return std::nullopt;
  if (*first >= size) return ByteRange{0, 0};
  return ByteRange{*first, std::min(*last, size - 1) - *first + 1};
}

void append_range(std::string& out, const ByteRange& range, std::uint64_t size) {
  out += "bytes ";
  out += std::to_string(range.first);
  out += '-';
  out += std::to_string(range.first + range.length - 1);
  out += '/';
  out += std::to_string(size);
}

}  // namespace

RangeSet parse_range(std::string_view value, std::uint64_t size) noexcept {
  constexpr std::string_view kUnit = "bytes=";
  RangeSet set;
  if (size == 0 || value.size() < kUnit.size() ||
      !equal_ignore_case(value.substr(0, kUnit.size()), kUnit)) {
    return set;
  }

  const RangeSet whole;
  FieldList list(value.substr(kUnit.size()));
  std::size_t specs = 0;
  std::uint64_t sum = 0;
  while (const auto spec = list.next()) {
    const auto range = resolve(*spec, size);
    if (!range || ++specs > RangeSet::kMaxRanges) return whole;
    if (range->length == 0) continue;
    // Lengths are at most `size` each, and the sum so far too: this cannot wrap.
    if (range->length > size - sum) return whole;
    sum += range->length;
    set.ranges_[set.count_++] = *range;
  }
  if (specs == 0) return whole;
  set.outcome_ = set.count_ == 0 ? RangeOutcome::unsatisfiable : RangeOutcome::partial;
  return set;
}

std::string content_range(const ByteRange& range, std::uint64_t size) {
  std::string out;
  append_range(out, range, size);
  return out;
}

std::string unsatisfied_content_range(std::uint64_t size) {
  return "bytes */" + std::to_string(size);
}

std::string multipart_part_head(std::string_view boundary, std::string_view content_type,
                                const ByteRange& range, std::uint64_t size) {
  std::string out;
  out.reserve(boundary.size() + content_type.size() + 120);
  out.append("\r\n--").append(boundary).append("\r\n");
  if (!content_type.empty()) out.append("Content-Type: ").append(content_type).append("\r\n");
  out.append("Content-Range: ");
  append_range(out, range, size);
  out.append("\r\n\r\n");
  return out;
}

std::string multipart_end(std::string_view boundary) {
  std::string out("\r\n--");
  return out.append(boundary).append("--\r\n");
}

std::uint64_t multipart_length(std::string_view boundary, std::string_view content_type,
                               std::span<const ByteRange> ranges, std::uint64_t size) {
  std::uint64_t total = multipart_end(boundary).size();
  for (const ByteRange& range : ranges) {
    total += multipart_part_head(boundary, content_type, range, size).size() + range.length;
  }
  return total;
}

}  // namespace treadle::http
