// Chunk heads, written from the last digit to the first.
#include "chunked_writer.h"

namespace treadle::http {

ChunkHead::ChunkHead(std::uint64_t size) noexcept : begin_(text_.size() - 2) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  text_[begin_] = '\r';
  text_[begin_ + 1] = '\n';
  do {
    text_[--begin_] = kDigits[size & 15];
    size >>= 4;
  } while (size != 0);
}

}  // namespace treadle::http
