// Line ends by memchr, stray control characters by one count over the whole section. Both stay well
// below what llhttp costs.
#include "field_scan.h"

#include <algorithm>

#include "byte_vectors.h"

namespace treadle::http {
namespace {

// How many control characters but HT there are.
std::size_t count_controls(std::string_view text) noexcept {
  constexpr std::size_t kStep = sizeof(Bytes16);
  constexpr std::size_t kSteps = 255;  // how many a byte can count
  std::size_t total = 0;
  while (text.size() >= kStep) {
    const std::size_t steps = std::min(text.size() / kStep, kSteps);
    Bytes16 counts{};
    for (std::size_t i = 0; i < steps; ++i) counts -= control_mask(load16(text.data() + i * kStep));
    for (std::size_t i = 0; i < kStep; ++i) total += counts[i];
    text.remove_prefix(steps * kStep);
  }
  const Bytes16 counts = control_mask(load_tail(text));
  for (std::size_t i = 0; i < kStep; ++i) total += counts[i] & 1;
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
