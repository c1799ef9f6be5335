// A request without a connection, for what reads one.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <treadle/http/request.h>
#include <treadle/http/server.h>

#include "request_state.h"

namespace treadle::test {

// A body that gives its text in reads of `piece` bytes at most, and counts them.
class FakeBody final : public http::Body {
 public:
  explicit FakeBody(std::string text, std::size_t piece = 1 << 20)
      : text_(std::move(text)), piece_(piece) {}

  Result<std::size_t> read(std::span<std::byte> into) override {
    if (error()) return fail(error());
    ++reads;
    if (at_ == text_.size() && ends_with) return stick(ends_with);
    const std::size_t n = std::min({into.size(), piece_, text_.size() - at_});
    std::memcpy(into.data(), text_.data() + at_, n);
    at_ += n;
    return n;
  }
  std::optional<std::uint64_t> content_length() const noexcept override { return {}; }
  http::HeaderView trailers() const noexcept override { return {}; }

  std::size_t given() const noexcept { return at_; }

  std::size_t reads = 0;
  std::error_code ends_with;  // in place of the end

 private:
  std::string text_;
  std::size_t at_ = 0;
  std::size_t piece_;
};

// Not to be asked for its address.
struct FakeRequest {
  FakeRequest(std::string content_type, std::string text, std::size_t piece = 1 << 20)
      : type(std::move(content_type)), body(std::move(text), piece) {
    state.body = &body;
    state.limits = &limits;
    if (!type.empty()) state.head.headers.push_back({"Content-Type", type});
  }

  std::string type;
  FakeBody body;
  http::RequestLimits limits;
  http::detail::RequestState state;
  http::Request request{state};
};

}  // namespace treadle::test
