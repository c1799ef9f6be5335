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
class HeaderBlock {
 public:
  // No name or value may point into the block itself.
  void set(std::string_view name, std::string_view value);  // in place of all of that name
  void add(std::string_view name, std::string_view value);
  void remove(std::string_view name) noexcept;
  // The first value of that name.
  std::optional<std::string_view> get(std::string_view name) const noexcept;
  // The lines whose names `present` lacks; Vary lines always, since they add up. No more than
  // text().
  void put_missing(TextRoom& to, const HeaderBlock& present) const noexcept;
  void clear() noexcept;  // keeps its memory

  std::string_view text() const noexcept { return text_; }

 private:
  struct Line {
    std::uint32_t begin;
    std::uint32_t name_size;
    std::uint32_t value_size;
    std::uint32_t size() const noexcept { return name_size + 2 + value_size + 2; }
  };
  std::string_view name_of(const Line& line) const noexcept;
  void append(std::string_view name, std::string_view value);

  std::string text_;
  std::vector<Line> lines_;  // in the order of text_
};

}  // namespace treadle::http::detail
