// Range requests (RFC 9110 14). Pure functions.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace treadle::http {

struct ByteRange {
  std::uint64_t first = 0;
  std::uint64_t length = 0;  // never 0 in a result
  bool operator==(const ByteRange&) const = default;
};

enum class RangeOutcome : std::uint8_t {
  whole,          // ignore the field: 200 with everything
  partial,        // 206: one range as it is, several as multipart/byteranges
  unsatisfiable,  // 416 with Content-Range: bytes */size
};

// What a Range field asks of a representation of some size.
class RangeSet {
 public:
  static constexpr std::size_t kMaxRanges = 16;

  RangeOutcome outcome() const noexcept { return outcome_; }
  // In the order asked for; empty unless partial.
  std::span<const ByteRange> ranges() const noexcept { return {ranges_.data(), count_}; }

 private:
  friend RangeSet parse_range(std::string_view value, std::uint64_t size) noexcept;

  RangeOutcome outcome_ = RangeOutcome::whole;
  std::size_t count_ = 0;
  std::array<ByteRange, kMaxRanges> ranges_{};
};

// Reads the value of a Range field. Units other than bytes, malformed values, more than kMaxRanges
// ranges, ranges that together exceed the size, and an empty representation give `whole`: a server
// may always ignore Range, and answering such requests in parts only serves to burn its time.
// Call it for GET only (RFC 9110 14.2), after if_range_holds().
RangeSet parse_range(std::string_view value, std::uint64_t size) noexcept;

// "bytes 0-99/1234", the value of Content-Range in a 206.
std::string content_range(const ByteRange& range, std::uint64_t size);
// "bytes */1234", the value of Content-Range in a 416.
std::string unsatisfied_content_range(std::uint64_t size);

// multipart/byteranges (RFC 9110 14.6): each part is multipart_part_head(), then the range's bytes;
// after the last part multipart_end(). `boundary` is the caller's, at most 70 bytes of token
// characters, and must not occur in the data: draw it at random.
std::string multipart_part_head(std::string_view boundary, std::string_view content_type,
                                const ByteRange& range, std::uint64_t size);
std::string multipart_end(std::string_view boundary);
// Content-Length of all parts, their heads and the end.
std::uint64_t multipart_length(std::string_view boundary, std::string_view content_type,
                               std::span<const ByteRange> ranges, std::uint64_t size);

}  // namespace treadle::http
