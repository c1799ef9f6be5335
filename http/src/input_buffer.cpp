#include "input_buffer.h"

#include <cstring>

namespace treadle::http::detail {

void InputBuffer::reallocate(std::size_t capacity) {
  auto data = std::make_unique_for_overwrite<char[]>(capacity);
  if (end_ > 0) std::memcpy(data.get(), data_.get(), end_);
  data_ = std::move(data);
  capacity_ = capacity;
}

std::span<std::byte> InputBuffer::room_for_head() {
  if (begin_ > 0) {
    std::memmove(data_.get(), data_.get() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  if (capacity_ == 0) reallocate(kInitial);
  // The parser's limits end this: a head that long is refused before it fills the next size.
  if (end_ + kBodyRoom >= capacity_) reallocate(capacity_ * 2);
  return std::as_writable_bytes(std::span(data_.get() + end_, capacity_ - kBodyRoom - end_));
}

std::span<std::byte> InputBuffer::room_for_body() noexcept {
  begin_ = end_ = pinned_;
  return std::as_writable_bytes(std::span(data_.get() + end_, capacity_ - end_));
}

void InputBuffer::shrink() noexcept {
  if (capacity_ <= kInitial) return;
  data_.reset();
  capacity_ = 0;
}

}  // namespace treadle::http::detail
