#include "decoder.h"

#include <brotli/decode.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <limits>

namespace treadle::http::detail {
namespace {

using Step = Decoder::Step;

class GzipDecoder final : public Decoder {
 public:
  GzipDecoder() {
    constexpr int kGzip = 16;  // added to the window's bits it means gzip's framing
    ready_ = ::inflateInit2(&z_, MAX_WBITS + kGzip) == Z_OK;
  }
  ~GzipDecoder() override {
    if (ready_) ::inflateEnd(&z_);
  }
  bool ready() const noexcept { return ready_; }

  Step step(std::span<const std::byte> in, std::span<std::byte> out) override {
    constexpr std::size_t kMost = std::numeric_limits<uInt>::max();
    // RFC 1952 2.2: members follow one another.
    if (whole_ && !in.empty()) {
      ::inflateReset(&z_);
      whole_ = false;
    }
    const std::size_t offered = std::min(in.size(), kMost);
    const std::size_t room = std::min(out.size(), kMost);
    z_.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(in.data()));
    z_.avail_in = static_cast<uInt>(offered);
    z_.next_out = reinterpret_cast<Bytef*>(out.data());
    z_.avail_out = static_cast<uInt>(room);
    const int result = ::inflate(&z_, Z_NO_FLUSH);
    if (result == Z_STREAM_END) whole_ = true;
    return {.consumed = offered - z_.avail_in,
            .produced = room - z_.avail_out,
            .failed = result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR};
  }
  bool whole() const noexcept override { return whole_; }

 private:
  z_stream z_{};
  bool ready_ = false;
  bool whole_ = false;
};

class BrotliDecoder final : public Decoder {
 public:
  BrotliDecoder() : state_(::BrotliDecoderCreateInstance(nullptr, nullptr, nullptr)) {}
  bool ready() const noexcept { return state_ != nullptr; }

  Step step(std::span<const std::byte> in, std::span<std::byte> out) override {
    std::size_t in_left = in.size();
    std::size_t out_left = out.size();
    const auto* from = reinterpret_cast<const std::uint8_t*>(in.data());
    auto* to = reinterpret_cast<std::uint8_t*>(out.data());
    const BrotliDecoderResult result =
        ::BrotliDecoderDecompressStream(state_.get(), &in_left, &from, &out_left, &to, nullptr);
    // A stream has one end; what comes behind it belongs to nothing.
    const bool beyond = whole_ && !in.empty();
    whole_ = result == BROTLI_DECODER_RESULT_SUCCESS;
    return {.consumed = in.size() - in_left,
            .produced = out.size() - out_left,
            .failed = result == BROTLI_DECODER_RESULT_ERROR || beyond};
  }
  bool whole() const noexcept override { return whole_; }

 private:
  struct Destroy {
    void operator()(BrotliDecoderState* s) const noexcept { ::BrotliDecoderDestroyInstance(s); }
  };
  std::unique_ptr<BrotliDecoderState, Destroy> state_;
  bool whole_ = false;
};

class ZstdDecoder final : public Decoder {
 public:
  ZstdDecoder() : context_(::ZSTD_createDCtx()) {
    constexpr int kMostWindowBits = 23;
    if (context_) ::ZSTD_DCtx_setParameter(context_.get(), ZSTD_d_windowLogMax, kMostWindowBits);
  }
  bool ready() const noexcept { return context_ != nullptr; }

  Step step(std::span<const std::byte> in, std::span<std::byte> out) override {
    ZSTD_inBuffer from{in.data(), in.size(), 0};
    ZSTD_outBuffer to{out.data(), out.size(), 0};
    const std::size_t left = ::ZSTD_decompressStream(context_.get(), &to, &from);
    // At the end of a frame it says 0 once; asked again without input it begins the next one.
    if (from.pos > 0 || to.pos > 0) whole_ = left == 0;
    return {.consumed = from.pos, .produced = to.pos, .failed = ::ZSTD_isError(left) != 0};
  }
  bool whole() const noexcept override { return whole_; }

 private:
  struct Destroy {
    void operator()(ZSTD_DCtx* c) const noexcept { ::ZSTD_freeDCtx(c); }
  };
  std::unique_ptr<ZSTD_DCtx, Destroy> context_;
  bool whole_ = false;
};

template <class T>
std::unique_ptr<Decoder> if_ready() {
  auto made = std::make_unique<T>();
  if (!made->ready()) return nullptr;
  return made;
}

}  // namespace

std::unique_ptr<Decoder> make_decoder(Coding coding) {
  switch (coding) {
    case Coding::gzip: return if_ready<GzipDecoder>();
    case Coding::br: return if_ready<BrotliDecoder>();
    case Coding::zstd: return if_ready<ZstdDecoder>();
    case Coding::identity: break;
  }
  return nullptr;
}

}  // namespace treadle::http::detail
