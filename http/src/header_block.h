// A response's header fields, laid out as they will be sent.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text_room.h"

namespace treadle::http::detail {

// "Name: value\r\n" lines in one string, so that a warm block neither allocates nor has to be
// formatted. Names compare without case. An invalid name (RFC 9110 5.6.2) or a value with a control
// character panics: it would let whoever feeds the value write fields, or responses, of his own.
//
// A handler mostly sets the same fields each time. So the lines of before clear() stay behind the
// end of text(): a field that is the very one which stood at its place is taken back by a
// comparison, instead of being checked and written again.
class HeaderBlock {
 public:
  // No name or value may point into the block itself.
  void set(std::string_view name, std::string_view value);  // in place of all of that name
  void add(std::string_view name, std::string_view value);
  void remove(std::string_view name) noexcept;
  // The first value of that name.
  std::optional<std::string_view> get(std::string_view name) const noexcept;
  bool has(std::string_view name) const noexcept { return find(name) != nullptr; }
  // The lines whose names `present` lacks; Vary lines always, since they add up. No more than
  // text().
  void put_missing(TextRoom& to, const HeaderBlock& present) const noexcept;
  void clear() noexcept { count_ = size_ = 0; }  // keeps its memory

  std::string_view text() const noexcept { return {text_.data(), size_}; }
  bool empty() const noexcept { return count_ == 0; }

  // Whether text() is what it was at the last mark(). May say no where it is.
  bool as_marked() const noexcept { return !changed_ && count_ == lines_.size(); }
  void mark() noexcept {
    drop_rest();
    changed_ = false;
  }

 private:
  struct Line {
    std::uint32_t begin;
    std::uint32_t name_size;
    std::uint32_t value_size;
    std::uint32_t size() const noexcept { return name_size + 2 + value_size + 2; }
  };
  std::string_view name_of(const Line& line) const noexcept;
  const Line* find(std::string_view name) const noexcept;
  bool comes_again(std::string_view name, std::string_view value) noexcept;
  void append(std::string_view name, std::string_view value);
  void drop_rest() noexcept;

  std::string text_;
  std::vector<Line> lines_;  // in the order of text_
  std::size_t count_ = 0;    // how many of the lines are in force
  std::size_t size_ = 0;     // of their text
  bool changed_ = true;      // since the last mark()
};

}  // namespace treadle::http::detail
