// Chunked transfer coding, the writing side (RFC 9112 7.1). Pure: only formats.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace treadle::http {

// The line before a chunk's data: its size in hex and CRLF. Send view(), the data, kChunkEnd.
// Never make one of size 0: that would end the body.
//
//   ChunkHead head(data.size());
//   iovec v[] = {head.view(), data, kChunkEnd};
class ChunkHead {
 public:
  explicit ChunkHead(std::uint64_t size) noexcept;
  std::string_view view() const noexcept { return {text_.data() + begin_, text_.size() - begin_}; }

 private:
  std::array<char, 18> text_{};  // 16 digits and CRLF, written from the end
  std::size_t begin_;
};

inline constexpr std::string_view kChunkEnd = "\r\n";
// The last chunk and an empty trailer section.
inline constexpr std::string_view kLastChunk = "0\r\n\r\n";

}  // namespace treadle::http
