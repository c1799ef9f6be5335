// Compressors for content codings, behind one interface.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include <treadle/pool.h>

#include "body_filter.h"
#include "content_coding.h"

namespace treadle::http::detail {

// Compresses one body after another. One goroutine at a time; never parks.
class Encoder {
 public:
  virtual ~Encoder() = default;
  Encoder(const Encoder&) = delete;
  Encoder& operator=(const Encoder&) = delete;

  // Begins a body, of `size` bytes where that is known. False when memory is short.
  virtual bool begin(std::optional<std::uint64_t> size) = 0;
  virtual BodyFilter::Step step(std::string_view in, std::span<char> out, BodyFilter::Op op) = 0;
  // The body is over, or given up: lets go of what the next one cannot use.
  virtual void end() noexcept {}

 protected:
  Encoder() = default;
};

// A new one; null for identity. Throws std::bad_alloc when memory is short.
std::unique_ptr<Encoder> make_encoder(Coding coding, int level);

// Encoders of one coding and level for anybody to use. They are large (gzip 0.3 MB, br and zstd
// some 1.5 MB), so that making one costs more than a small body: a few idle ones are kept.
class EncoderPool {
 public:
  EncoderPool(Coding coding, int level)
      : pool_([coding, level] { return make_encoder(coding, level); }, kMaxIdle) {}
  using Handle = Pool<Encoder>::Handle;
  Handle get() { return pool_.get(); }

 private:
  static constexpr std::size_t kMaxIdle = 4;  // for each P
  Pool<Encoder> pool_;
};

}  // namespace treadle::http::detail
