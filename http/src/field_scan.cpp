// Line ends by memchr, stray control characters by one count over the whole section.
#include "field_scan.h"

#include <cstdint>

namespace treadle::http {
namespace {

// How many control characters but HT there are. Plain arithmetic on bytes, so that compilers make
// vector code of it; the sums of 255 bytes fit a byte.
std::size_t count_controls(std::string_view text) noexcept {
  std::size_t total = 0;
  while (!text.empty()) {
    const std::string_view block = text.substr(0, 255);
    std::uint8_t count = 0;
    for (const char c : block) {
      const auto byte = static_cast<std::uint8_t>(c);
      const bool control = (byte < 0x20) & (byte != '\t');
      count = static_cast<std::uint8_t>(count + (control | (byte == 0x7f)));
    }
    total += count;
    text.remove_prefix(block.size());
  }
  return total;
}

FieldScan::Result refuse(int status, const char* reason) noexcept {
  return {ParseStatus::error, 0, {status, reason}};
}

}  // namespace

FieldScan::Result FieldScan::scan(std::string_view bytes, std::size_t max_bytes,
                                  std::size_t max_fields) noexcept {
  while (true) {
    const std::size_t lf = bytes.find('\n', searched_);
    if (lf == std::string_view::npos) {
      searched_ = bytes.size();
      if (bytes.size() > max_bytes) return refuse(431, "header section too large");
      return {};
    }
    if (lf >= max_bytes) return refuse(431, "header section too large");
    if (lf == line_ || bytes[lf - 1] != '\r') return refuse(400, "line feed without its return");
    if (lf - 1 == line_) break;

    if (++fields_ > max_fields) return refuse(431, "too many header fields");
    const char first = bytes[line_];
    if (first == ' ' || first == '\t') return refuse(400, "folded header line");
    if (first == ':') return refuse(400, "header field without a name");
    line_ = searched_ = lf + 1;
  }
  const std::size_t size = line_ + 2;
  // Each line has two, its CR and LF; any other is a bare CR, a NUL or worse.
  if (count_controls(bytes.substr(0, size)) != 2 * (fields_ + 1)) {
    return refuse(400, "control character in a header line");
  }
  return {ParseStatus::complete, size, {}};
}

}  // namespace treadle::http
