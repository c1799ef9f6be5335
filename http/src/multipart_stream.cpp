#include "multipart_stream.h"

#include <treadle/http/error.h>

#include <optional>
#include <string>
#include <utility>

#include "media_type.h"
#include "request_content.h"

namespace treadle::http::detail {
namespace {

std::optional<std::string> boundary_of(std::string_view parameters) {
  std::optional<std::string> boundary;
  ParameterReader reader(parameters);
  for (;;) {
    switch (reader.next()) {
      case ParameterReader::Step::bad: return std::nullopt;
      case ParameterReader::Step::end:
        if (boundary && !is_multipart_boundary(*boundary)) boundary.reset();
        return boundary;
      case ParameterReader::Step::parameter: break;
    }
    if (!equal_ignore_case(reader.name(), "boundary")) continue;
    if (boundary) return std::nullopt;
    boundary = reader.value();
  }
}

const char* text_of(MultipartError e) noexcept {
  switch (e) {
    case MultipartError::bad_delimiter: return "a line begins as a delimiter and is none";
    case MultipartError::bad_head: return "bad head of a part";
    case MultipartError::head_too_large: return "head of a part too large";
    case MultipartError::padding: return "too much before or behind the parts";
    case MultipartError::ended_early: return "no closing delimiter";
    case MultipartError::none: break;
  }
  return "";
}

}  // namespace

Result<std::unique_ptr<MultipartStream>> MultipartStream::open(const Request& req,
                                                               const MultipartOptions& options) {
  const auto type = parse_media_type(content_type_of(req.headers()));
  if (!type || !type->is("multipart", "form-data"))
    return refuse_content(req, Errc::unsupported_media_type, "no multipart form");
  const auto boundary = boundary_of(type->parameters);
  if (!boundary) return refuse_content(req, Errc::malformed_form, "no proper boundary");
  const RequestLimits& limits = limits_of(req);
  return std::make_unique<MultipartStream>(
      req, *boundary, MultipartLimits{.part_head = options.part_head.value_or(limits.part_head)},
      options.parts.value_or(limits.form_pairs));
}

MultipartStream::MultipartStream(const Request& req, std::string_view boundary,
                                 const MultipartLimits& limits, std::size_t max_parts)
    : request_(req),
      parser_(boundary, limits),
      max_parts_(max_parts),
      buffer_(std::make_unique_for_overwrite<std::byte[]>(kBuffer)) {}

std::unexpected<std::error_code> MultipartStream::refuse(std::error_code error,
                                                         std::string_view why) {
  error_ = error;
  return refuse_content(request_, error, why);
}

// False at the end of the body.
Result<bool> MultipartStream::fill() {
  if (!input_.empty()) return true;
  if (at_end_) return false;
  const Result<std::size_t> n = request_.body().read({buffer_.get(), kBuffer});
  if (!n) {
    error_ = n.error();
    return fail(error_);
  }
  at_end_ = *n == 0;
  input_ = {reinterpret_cast<const char*>(buffer_.get()), *n};
  return !at_end_;
}

// Parses on until there is something to tell; `none` at the end of the body.
Result<MultipartParser::Event> MultipartStream::step() {
  if (error_) return fail(error_);
  for (;;) {
    const Result<bool> more = fill();
    if (!more) return fail(more.error());
    MultipartError bad = MultipartError::none;
    if (*more) {
      const MultipartParser::Step step = parser_.next(input_);
      input_.remove_prefix(step.consumed);
      data_ = step.data;
      if (step.event == MultipartParser::Event::none) continue;
      if (step.event != MultipartParser::Event::error) return step.event;
      bad = parser_.error();
    } else {
      bad = parser_.finish();
      if (bad == MultipartError::none) return MultipartParser::Event::none;
    }
    return refuse(
        bad == MultipartError::head_too_large ? Errc::form_too_large : Errc::malformed_form,
        text_of(bad));
  }
}

Result<bool> MultipartStream::next_part() {
  data_ = {};
  for (;;) {
    const auto event = step();
    if (!event) return fail(event.error());
    switch (*event) {
      case MultipartParser::Event::none: return false;
      case MultipartParser::Event::part:
        if (auto ok = begin_part(); !ok) return fail(ok.error());
        return true;
      case MultipartParser::Event::part_end: in_part_ = false; break;
      case MultipartParser::Event::data:
      case MultipartParser::Event::error: break;  // data nobody wanted
    }
  }
}

Result<void> MultipartStream::begin_part() {
  if (parts_ == max_parts_) return refuse(Errc::form_too_large, "too many parts");
  ++parts_;
  auto disposition = read_form_disposition(parser_.headers());
  if (!disposition) return refuse(disposition.error().error, disposition.error().why);
  disposition_ = std::move(*disposition);
  in_part_ = true;
  return {};
}

Result<std::string_view> MultipartStream::data() { return data(std::string_view::npos); }

Result<std::string_view> MultipartStream::data(std::size_t most) {
  if (error_) return fail(error_);
  while (data_.empty() && in_part_) {
    const auto event = step();
    if (!event) return fail(event.error());
    in_part_ = *event == MultipartParser::Event::data;
  }
  const std::string_view some = data_.substr(0, most);
  data_.remove_prefix(some.size());
  return some;
}

}  // namespace treadle::http::detail
