#include "input_buffer.h"

#include <cstring>

namespace treadle::http::detail {

void InputBuffer::reallocate(std::size_t capacity) {
  auto data = std::make_unique_for_overwrite<char[]>(capacity);
  if (end_ > 0) std::memcpy(data.get(), data_.get(), end_);
  data_ = std::move(data);
  capacity_ = capacity;
}

void InputBuffer::move_to_front() noexcept {
  if (begin_ == 0) return;
  std::memmove(data_.get(), data_.get() + begin_, end_ - begin_);
  end_ -= begin_;
  begin_ = 0;
}

void InputBuffer::begin_head() {
  if (empty() || end_ + kBodyRoom <= capacity_) return;
  move_to_front();
  if (end_ + kBodyRoom > capacity_) reallocate(capacity_ * 2);
}

std::span<std::byte> InputBuffer::room_for_head() {
  move_to_front();
  if (capacity_ == 0) reallocate(kInitial);
  // The parser's limits end this: a head that long is refused before it fills the next size.
  if (end_ + kBodyRoom >= capacity_) reallocate(capacity_ * 2);
  return std::as_writable_bytes(std::span(data_.get() + end_, capacity_ - kBodyRoom - end_));
}

std::span<std::byte> InputBuffer::room_for_body() noexcept {
  begin_ = end_ = pinned_;
  // Not all there may be: what follows the body must not make begin_head() grow the block again and
  // again.
  const std::size_t most = pinned_ + kBodyRoom < kInitial ? kInitial - pinned_ : kBodyRoom;
  return std::as_writable_bytes(std::span(data_.get() + end_, most));
}

void InputBuffer::shrink() noexcept {
  if (capacity_ <= kInitial) return;
  data_.reset();
  capacity_ = 0;
}

}  // namespace treadle::http::detail
