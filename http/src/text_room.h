// Text that is put together where its length has a bound.
#pragma once

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace treadle::http::detail {

// Writes into room that append_text() has made.
class TextRoom {
 public:
  explicit TextRoom(char* at) noexcept : at_(at) {}
  TextRoom& put(std::string_view text) noexcept {
    at_ += text.copy(at_, text.size());
    return *this;
  }
  TextRoom& put(std::uint64_t number) noexcept {
    at_ = std::to_chars(at_, at_ + kNumber, number).ptr;
    return *this;
  }
  static constexpr std::size_t kNumber = 20;  // no number is longer
  const char* end() const noexcept { return at_; }

 private:
  char* at_;
};

// Calls `write` with a TextRoom for `most` bytes behind what `out` holds, and keeps what it wrote.
// One growth, and no more than a copy for each piece, where append() would look at the room for
// each.
template <class F>
void append_text(std::string& out, std::size_t most, F&& write) {
  const std::size_t before = out.size();
  out.resize_and_overwrite(before + most, [&](char* begin, std::size_t) {
    TextRoom room(begin + before);
    write(room);
    return static_cast<std::size_t>(room.end() - begin);
  });
}

}  // namespace treadle::http::detail
