// The bytes a connection has received and not yet used.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

namespace treadle::http::detail {

// One block of memory:  [ pinned | used | unread | room ]
//
// While a handler runs, the head is pinned, into which it holds views unless the parser remembers
// it: it neither moves nor is it written over. Invariant: when a head is parsed, kBodyRoom is free
// behind all that was read, so that a body can always be read behind the pinned head without moving
// it.
class InputBuffer {
 public:
  static constexpr std::size_t kInitial = 16 * 1024;
  static constexpr std::size_t kBodyRoom = 4 * 1024;

  std::string_view unread() const noexcept { return {data_.get() + begin_, end_ - begin_}; }
  bool empty() const noexcept { return begin_ == end_; }
  void consume(std::size_t n) noexcept { begin_ += n; }
  void append(std::size_t n) noexcept { end_ += n; }  // n bytes were read into the room
  void clear() noexcept { begin_ = end_ = pinned_ = 0; }

  // Call before a head is parsed: a body may have been read right up to the block's end, together
  // with the beginning of what follows it.
  void begin_head();
  // Room for more of a head, growing when there is none. Moves the unread bytes to the front.
  std::span<std::byte> room_for_head();
  // Room for more of a body; all bytes must have been used. At least kBodyRoom.
  std::span<std::byte> room_for_body() noexcept;

  // Keeps the bytes used so far where they are, until unpin().
  void pin() noexcept { pinned_ = begin_; }
  void unpin() noexcept { pinned_ = 0; }

  // Gives memory beyond the initial size back.
  void shrink() noexcept;

 private:
  void move_to_front() noexcept;
  void reallocate(std::size_t capacity);

  std::unique_ptr<char[]> data_;
  std::size_t capacity_ = 0;
  std::size_t pinned_ = 0;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

}  // namespace treadle::http::detail
