// Formatted text to a descriptor or to a function, without allocation.
#pragma once

#include <cstdarg>
#include <cstddef>
#include <string_view>

namespace treadle::rt {

class TextOut {
 public:
  using Write = void (*)(void* arg, std::string_view text);
  TextOut(Write how, void* arg) noexcept : write_(how), arg_(arg) {}
  // To a descriptor, in whole; errors are ignored.
  explicit TextOut(int fd) noexcept;

  // A piece of at most 2 KiB; what is longer is cut. No more than a line, or its end is cut with
  // it.
  [[gnu::format(printf, 2, 3)]] void print(const char* format, ...);
  void write(std::string_view text) { write_(arg_, text); }

 private:
  Write write_;
  void* arg_;
};

}  // namespace treadle::rt
