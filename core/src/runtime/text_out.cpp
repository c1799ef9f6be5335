#include "runtime/text_out.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>

namespace treadle::rt {

namespace {

void write_all(void* arg, std::string_view text) {
  const int fd = static_cast<int>(reinterpret_cast<std::intptr_t>(arg));
  while (!text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(n));
  }
}

}  // namespace

TextOut::TextOut(int fd) noexcept
    : write_(&write_all), arg_(reinterpret_cast<void*>(static_cast<std::intptr_t>(fd))) {}

void TextOut::print(const char* format, ...) {
  char line[2048];
  std::va_list args;
  va_start(args, format);
  const int n = std::vsnprintf(line, sizeof line, format, args);
  va_end(args);
  if (n <= 0) return;
  std::size_t size = static_cast<std::size_t>(n);
  if (size >= sizeof line) {
    size = sizeof line - 1;
    line[size - 1] = '\n';
  }
  write({line, size});
}

}  // namespace treadle::rt
