#include "encoder.h"

#include <brotli/encode.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <bit>
#include <limits>
#include <new>

namespace treadle::http::detail {
namespace {

using Op = BodyFilter::Op;
using Step = BodyFilter::Step;

// Windows of 256 KB: more costs memory for each response and gains little for what is sent to
// browsers.
constexpr int kWindowBits = 18;

// zlib counts in 32 bits.
std::size_t at_most_32_bits(std::size_t n) noexcept {
  return std::min<std::size_t>(n, std::numeric_limits<uInt>::max());
}

class GzipEncoder final : public Encoder {
 public:
  explicit GzipEncoder(int level) {
    constexpr int kGzip = 16;  // added to the window's bits it means gzip's framing
    constexpr int kMemoryLevel = 8;
    if (::deflateInit2(&z_, level, Z_DEFLATED, MAX_WBITS + kGzip, kMemoryLevel,
                       Z_DEFAULT_STRATEGY) != Z_OK)
      throw std::bad_alloc();
  }
  ~GzipEncoder() override { ::deflateEnd(&z_); }

  bool begin(std::optional<std::uint64_t>) override { return ::deflateReset(&z_) == Z_OK; }

  Step step(std::string_view in, std::span<char> out, Op op) override {
    const std::size_t offered = at_most_32_bits(in.size());
    const std::size_t room = at_most_32_bits(out.size());
    z_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(in.data()));
    z_.avail_in = static_cast<uInt>(offered);
    z_.next_out = reinterpret_cast<Bytef*>(out.data());
    z_.avail_out = static_cast<uInt>(room);
    const bool all = offered == in.size();
    const int mode = !all || op == Op::run ? Z_NO_FLUSH : op == Op::flush ? Z_SYNC_FLUSH : Z_FINISH;
    const int result = ::deflate(&z_, mode);
    Step step{.consumed = offered - z_.avail_in, .produced = room - z_.avail_out};
    // Z_BUF_ERROR: there was nothing to do, which is what a second flush finds.
    step.failed = result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR;
    const bool taken = all && z_.avail_in == 0;
    switch (op) {
      case Op::run: step.done = taken; break;
      case Op::flush: step.done = taken && z_.avail_out > 0; break;
      case Op::finish: step.done = result == Z_STREAM_END; break;
    }
    return step;
  }

 private:
  z_stream z_{};
};

class BrotliEncoder final : public Encoder {
 public:
  explicit BrotliEncoder(int level) : level_(level) {}

  // The library has no way to begin again with the same state.
  bool begin(std::optional<std::uint64_t> size) override {
    state_.reset(::BrotliEncoderCreateInstance(nullptr, nullptr, nullptr));
    if (!state_) return false;
    ::BrotliEncoderSetParameter(state_.get(), BROTLI_PARAM_QUALITY,
                                static_cast<std::uint32_t>(level_));
    int window = kWindowBits;
    if (size) {
      window = std::clamp(static_cast<int>(std::bit_width(*size)), int{BROTLI_MIN_WINDOW_BITS},
                          kWindowBits);
      const std::uint64_t hint = std::min<std::uint64_t>(*size, std::uint64_t{1} << 30);
      ::BrotliEncoderSetParameter(state_.get(), BROTLI_PARAM_SIZE_HINT,
                                  static_cast<std::uint32_t>(hint));
    }
    ::BrotliEncoderSetParameter(state_.get(), BROTLI_PARAM_LGWIN,
                                static_cast<std::uint32_t>(window));
    return true;
  }
  void end() noexcept override { state_.reset(); }

  Step step(std::string_view in, std::span<char> out, Op op) override {
    const BrotliEncoderOperation mode = op == Op::run     ? BROTLI_OPERATION_PROCESS
                                        : op == Op::flush ? BROTLI_OPERATION_FLUSH
                                                          : BROTLI_OPERATION_FINISH;
    std::size_t in_left = in.size();
    std::size_t out_left = out.size();
    const auto* from = reinterpret_cast<const std::uint8_t*>(in.data());
    auto* to = reinterpret_cast<std::uint8_t*>(out.data());
    const bool ok = ::BrotliEncoderCompressStream(state_.get(), mode, &in_left, &from, &out_left,
                                                  &to, nullptr) == BROTLI_TRUE;
    Step step{.consumed = in.size() - in_left, .produced = out.size() - out_left, .failed = !ok};
    switch (op) {
      case Op::run: step.done = in_left == 0; break;
      case Op::flush:
        step.done = in_left == 0 && ::BrotliEncoderHasMoreOutput(state_.get()) == BROTLI_FALSE;
        break;
      case Op::finish: step.done = ::BrotliEncoderIsFinished(state_.get()) == BROTLI_TRUE; break;
    }
    return step;
  }

 private:
  struct Destroy {
    void operator()(BrotliEncoderState* s) const noexcept { ::BrotliEncoderDestroyInstance(s); }
  };
  int level_;
  std::unique_ptr<BrotliEncoderState, Destroy> state_;
};

class ZstdEncoder final : public Encoder {
 public:
  explicit ZstdEncoder(int level) : context_(::ZSTD_createCCtx()) {
    if (!context_) throw std::bad_alloc();
    ::ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_compressionLevel, level);
    ::ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_windowLog, kWindowBits);
  }

  bool begin(std::optional<std::uint64_t> size) override {
    ::ZSTD_CCtx_reset(context_.get(), ZSTD_reset_session_only);
    return !size || ::ZSTD_isError(::ZSTD_CCtx_setPledgedSrcSize(context_.get(), *size)) == 0;
  }

  Step step(std::string_view in, std::span<char> out, Op op) override {
    const ZSTD_EndDirective mode = op == Op::run     ? ZSTD_e_continue
                                   : op == Op::flush ? ZSTD_e_flush
                                                     : ZSTD_e_end;
    ZSTD_inBuffer from{in.data(), in.size(), 0};
    ZSTD_outBuffer to{out.data(), out.size(), 0};
    const std::size_t left = ::ZSTD_compressStream2(context_.get(), &to, &from, mode);
    Step step{.consumed = from.pos, .produced = to.pos, .failed = ::ZSTD_isError(left) != 0};
    step.done = from.pos == from.size && (op == Op::run || left == 0);
    return step;
  }

 private:
  struct Destroy {
    void operator()(ZSTD_CCtx* c) const noexcept { ::ZSTD_freeCCtx(c); }
  };
  std::unique_ptr<ZSTD_CCtx, Destroy> context_;
};

}  // namespace

std::unique_ptr<Encoder> make_encoder(Coding coding, int level) {
  switch (coding) {
    case Coding::gzip: return std::make_unique<GzipEncoder>(level);
    case Coding::br: return std::make_unique<BrotliEncoder>(level);
    case Coding::zstd: return std::make_unique<ZstdEncoder>(level);
    case Coding::identity: break;
  }
  return nullptr;
}

}  // namespace treadle::http::detail
