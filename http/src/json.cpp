// JSON bodies: what they must be, and how nlohmann::json is kept from throwing and from recursing
// as deep as a client likes.
#include <treadle/http/json.h>

#include <treadle/http/request.h>
#include <treadle/http/response.h>
#include <treadle/http/status.h>
#include <treadle/log.h>

#include <fmt/format.h>

#include <iterator>
#include <utility>

#include "json_builder.h"
#include "json_printer.h"
#include "media_type.h"
#include "request_content.h"
#include "response_writer.h"

namespace treadle::http {
namespace {

constexpr std::size_t kMaxDepth = 200;

// Counts what the library's parser reads, for where an error is: what it tells the builder lacks
// the position of any but its own errors.
class CountedText {
 public:
  using iterator_category = std::forward_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  CountedText() noexcept = default;
  CountedText(const char* at, const char** furthest) noexcept : at_(at), furthest_(furthest) {}
  reference operator*() const noexcept { return *at_; }
  CountedText& operator++() noexcept {
    ++at_;
    if (furthest_ != nullptr) *furthest_ = at_;
    return *this;
  }
  CountedText operator++(int) noexcept {
    CountedText before = *this;
    ++*this;
    return before;
  }
  bool operator==(const CountedText& other) const noexcept { return at_ == other.at_; }

 private:
  const char* at_ = nullptr;
  const char** furthest_ = nullptr;
};

bool is_json(std::string_view content_type) noexcept {
  const auto type = parse_media_type(content_type);
  if (!type) return false;
  if (type->is("application", "json")) return true;
  constexpr std::string_view kSuffix = "+json";
  return type->subtype.size() > kSuffix.size() &&
         equal_ignore_case(type->subtype.substr(type->subtype.size() - kSuffix.size()), kSuffix);
}

Result<void> refuse_value(Response& res, const char* why) {
  log::error("http: a value cannot be written as JSON: {}", why);
  if (!res.head_sent()) (void)res.send_error(status::kInternalServerError);
  return fail(Errc::unprintable_json);
}

}  // namespace

std::expected<nlohmann::json, JsonError> parse_json(std::string_view text,
                                                    const JsonOptions& options) {
  if (options.depth > kMaxDepth) throw Panic("treadle::http: JsonOptions::depth exceeds 200");
  // The library takes a NUL for the end of its input, and what is behind it would go unseen.
  if (const std::size_t nul = text.find('\0'); nul != std::string_view::npos)
    return std::unexpected(JsonError{Errc::malformed_json, nul + 1, "NUL"});
  detail::JsonBuilder builder(options);
  const char* const begin = text.begin();
  const char* furthest = begin;
  if (nlohmann::json::sax_parse(CountedText(begin, &furthest), CountedText(text.end(), nullptr),
                                &builder))
    return std::move(builder.root());
  JsonError error = builder.error();
  error.position = static_cast<std::size_t>(furthest - begin);
  return std::unexpected(error);
}

Result<nlohmann::json> read_json(const Request& req, const JsonOptions& options) {
  if (!is_json(detail::content_type_of(req.headers())))
    return detail::refuse_content(req, Errc::unsupported_media_type, "no JSON");
  const Result<std::string> text = req.body().read_all(options.size);
  if (!text) return fail(text.error());
  auto value = parse_json(*text, options);
  if (value) return std::move(*value);
  return detail::refuse_content(
      req, value.error().code,
      fmt::format("{} at byte {}", value.error().reason, value.error().position));
}

Result<void> write_json(Response& res, const nlohmann::json& value) {
  detail::JsonPrinter printer;
  switch (printer.print(value, kMaxDepth)) {
    case detail::JsonPrinter::Outcome::printed: break;
    case detail::JsonPrinter::Outcome::too_deep: return refuse_value(res, "nested too deep");
    case detail::JsonPrinter::Outcome::not_utf8: return refuse_value(res, "a string is not UTF-8");
  }
  if (!res.head_sent() && !res.writer().headers().has("Content-Type"))
    res.content_type("application/json");
  return res.write(printer.text());
}

}  // namespace treadle::http
