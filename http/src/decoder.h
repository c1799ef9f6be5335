// Decompressors for content codings, behind one interface.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "content_coding.h"

namespace treadle::http::detail {

// Decompresses one body. One goroutine at a time; never parks. Its memory is bounded whatever the
// body says: windows beyond 8 MB of zstd (RFC 9659) and 16 MB of br are refused.
class Decoder {
 public:
  struct Step {
    std::size_t consumed = 0;
    std::size_t produced = 0;
    bool failed = false;  // malformed, or memory is short
  };

  virtual ~Decoder() = default;
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  // Takes from `in` and puts into `out`, which is not empty. Does neither when it needs more input.
  virtual Step step(std::span<const std::byte> in, std::span<std::byte> out) = 0;
  // Whether what was taken so far is whole, so that the body may end here. Streams of gzip and
  // frames of zstd may follow one another.
  virtual bool whole() const noexcept = 0;

 protected:
  Decoder() = default;
};

// Null for identity, and when memory is short.
std::unique_ptr<Decoder> make_decoder(Coding coding);

}  // namespace treadle::http::detail
