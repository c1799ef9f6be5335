#include <treadle/http/compress.h>

#include <fmt/format.h>

#include <treadle/http/error.h>
#include <treadle/http/request.h>
#include <treadle/http/response.h>
#include <treadle/http/server.h>
#include <treadle/http/status.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "../content_coding.h"
#include "../decoder.h"
#include "../field_list.h"
#include "../request_state.h"

namespace treadle::http {
namespace {

// A body as it was before it was compressed. Its errors are the inner body's as well, so that the
// server answers them as it does those of any body.
class DecodedBody final : public Body {
 public:
  DecodedBody(Body& inner, std::unique_ptr<detail::Decoder> decoder, std::uint64_t limit)
      : inner_(inner),
        decoder_(std::move(decoder)),
        limit_(limit),
        buffer_(std::make_unique_for_overwrite<std::byte[]>(kBuffer)) {}

  [[nodiscard]] Result<std::size_t> read(std::span<std::byte> into) override {
    if (error()) return fail(error());
    if (into.empty()) return 0;
    // One byte beyond the limit shows that there is more, and is given to nobody.
    if (limit_ != 0 && into.size() > limit_ - produced_)
      into = into.first(static_cast<std::size_t>(limit_ - produced_) + 1);
    for (;;) {
      if (pending_.empty() && !ended_) {
        if (auto ok = refill(); !ok) return fail(ok.error());
      }
      const detail::Decoder::Step step = decoder_->step(pending_, into);
      if (step.failed) return give_up(Errc::malformed_body);
      pending_ = pending_.subspan(step.consumed);
      produced_ += step.produced;
      if (limit_ != 0 && produced_ > limit_) return give_up(Errc::body_too_large);
      if (step.produced > 0) return step.produced;
      if (step.consumed > 0) continue;
      // Nothing more comes out of what there is.
      if (!pending_.empty()) return give_up(Errc::malformed_body);
      if (ended_) {
        if (!decoder_->whole() && came_) return give_up(Errc::malformed_body);
        return 0;
      }
    }
  }
  std::optional<std::uint64_t> content_length() const noexcept override { return {}; }
  HeaderView trailers() const noexcept override { return inner_.trailers(); }

 private:
  static constexpr std::size_t kBuffer = 16 * 1024;

  Result<void> refill() {
    const Result<std::size_t> n = inner_.read({buffer_.get(), kBuffer});
    if (!n) return stick(n.error());
    pending_ = {buffer_.get(), *n};
    ended_ = *n == 0;
    came_ = came_ || *n > 0;
    return {};
  }
  std::unexpected<std::error_code> give_up(Errc e) noexcept {
    stick_to(inner_, e);
    return stick(e);
  }

  Body& inner_;
  std::unique_ptr<detail::Decoder> decoder_;
  std::uint64_t limit_;  // 0: none
  std::uint64_t produced_ = 0;
  std::unique_ptr<std::byte[]> buffer_;
  std::span<const std::byte> pending_;  // of buffer_: not decoded yet
  bool ended_ = false;                  // the inner body has
  bool came_ = false;                   // it was not empty
};

// The request's body is another one until the scope ends.
class BodyScope {
 public:
  BodyScope(detail::RequestState& state, Body& body) noexcept
      : state_(state), before_(std::exchange(state.body, &body)) {}
  ~BodyScope() { state_.body = before_; }
  BodyScope(const BodyScope&) = delete;
  BodyScope& operator=(const BodyScope&) = delete;

 private:
  detail::RequestState& state_;
  Body* before_;
};

// One more of those at one time, for as long as it lives.
class ActiveScope {
 public:
  explicit ActiveScope(std::atomic<std::size_t>& active) noexcept
      : active_(active), others_(active.fetch_add(1, std::memory_order_relaxed)) {}
  ~ActiveScope() { active_.fetch_sub(1, std::memory_order_relaxed); }
  ActiveScope(const ActiveScope&) = delete;
  ActiveScope& operator=(const ActiveScope&) = delete;
  std::size_t others() const noexcept { return others_; }

 private:
  std::atomic<std::size_t>& active_;
  std::size_t others_;
};

// What the body is coded with: identity when nothing is said; nothing when it is not for us.
std::optional<Coding> coding_of(const HeaderView& headers) {
  std::optional<Coding> coding = Coding::identity;
  int count = 0;
  for (const HeaderField& field : headers) {
    if (!equal_ignore_case(field.name, "Content-Encoding")) continue;
    FieldList list(field.value);
    while (const auto member = list.next()) {
      coding = coding_by_name(*member);
      if (!coding || ++count > 1) return {};
    }
  }
  return coding;
}

void forget_coding(std::vector<HeaderField>& headers) {
  std::erase_if(headers, [](const HeaderField& field) {
    return equal_ignore_case(field.name, "Content-Encoding") ||
           equal_ignore_case(field.name, "Content-Length");
  });
}

}  // namespace

Middleware decompress(DecompressOptions options) {
  const auto active = std::make_shared<std::atomic<std::size_t>>(0);
  return [options, active](Handler next) -> Handler {
    return [options, active, next = std::move(next)](Response& res, const Request& req) {
      const std::optional<Coding> coding = coding_of(req.headers());
      if (!coding) {
        res.send_error(status::kUnsupportedMediaType);
        res.header("Accept-Encoding", "gzip, br, zstd");
        return;
      }
      if (coding == Coding::identity || req.content_length() == 0) return next(res, req);
      const ActiveScope place(*active);
      auto decoder = place.others() < options.max_active ? detail::make_decoder(*coding) : nullptr;
      if (!decoder) {
        res.send_error(status::kServiceUnavailable);
        res.header("Retry-After", "1");
        return;
      }
      detail::RequestState& state = req.state();
      DecodedBody body(req.body(), std::move(decoder), options.limit.value_or(state.limits->body));
      forget_coding(state.head.edit_headers());
      const BodyScope scope(state, body);
      next(res, req);
    };
  };
}

}  // namespace treadle::http
