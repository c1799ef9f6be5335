#include <treadle/http/multipart.h>

#include <treadle/http/error.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "display_name.h"
#include "multipart_stream.h"

namespace treadle::http {

std::string_view MultipartPart::name() const noexcept { return stream_->disposition().name; }
std::optional<std::string_view> MultipartPart::filename() const noexcept {
  return stream_->disposition().filename;
}
std::string MultipartPart::display_name() const {
  return http::display_name(stream_->disposition().filename.value_or(std::string()));
}
std::string_view MultipartPart::content_type() const noexcept {
  return headers().get("Content-Type");
}
HeaderView MultipartPart::headers() const noexcept { return stream_->headers(); }

Result<std::size_t> MultipartPart::read(std::span<std::byte> into) {
  if (into.empty()) return 0;
  const Result<std::string_view> some = stream_->data(into.size());
  if (!some) return fail(some.error());
  std::memcpy(into.data(), some->data(), some->size());
  return some->size();
}

Result<std::string> MultipartPart::read_all(std::size_t limit) {
  std::string all;
  for (;;) {
    const Result<std::string_view> some = stream_->data();
    if (!some) return fail(some.error());
    if (some->empty()) return all;
    if (some->size() > limit - all.size())
      return stream_->refuse(Errc::form_too_large, "a part beyond the handler's limit");
    all += *some;
  }
}

MultipartReader::MultipartReader(std::unique_ptr<detail::MultipartStream> stream) noexcept
    : stream_(std::move(stream)) {}
MultipartReader::MultipartReader(MultipartReader&&) noexcept = default;
MultipartReader& MultipartReader::operator=(MultipartReader&&) noexcept = default;
MultipartReader::~MultipartReader() = default;

Result<MultipartReader> MultipartReader::open(const Request& req, const MultipartOptions& options) {
  auto stream = detail::MultipartStream::open(req, options);
  if (!stream) return fail(stream.error());
  return MultipartReader(std::move(*stream));
}

Result<MultipartPart*> MultipartReader::next_part() {
  const Result<bool> more = stream_->next_part();
  if (!more) return fail(more.error());
  return *more ? &stream_->part() : nullptr;
}

}  // namespace treadle::http
