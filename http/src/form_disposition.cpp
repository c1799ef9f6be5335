#include "form_disposition.h"

#include <string_view>
#include <utility>

#include "field_list.h"
#include "media_type.h"
#include "url.h"

namespace treadle::http {
namespace {

std::unexpected<FormDispositionError> malformed(const char* why) {
  return std::unexpected(FormDispositionError{Errc::malformed_form, why});
}

// RFC 8187 3.2.1: charset ' [language] ' percent-encoded text.
std::optional<std::string> decode_extended(std::string_view value) {
  const std::size_t first = value.find('\'');
  if (first == std::string_view::npos || !equal_ignore_case(value.substr(0, first), "UTF-8"))
    return std::nullopt;
  const std::size_t second = value.find('\'', first + 1);
  if (second == std::string_view::npos) return std::nullopt;
  auto text = percent_decode(value.substr(second + 1));
  if (text && !is_field_value(*text)) return std::nullopt;
  return text;
}

bool plain_encoding(std::string_view encoding) noexcept {
  return encoding.empty() || equal_ignore_case(encoding, "binary") ||
         equal_ignore_case(encoding, "8bit") || equal_ignore_case(encoding, "7bit");
}

}  // namespace

std::expected<FormDisposition, FormDispositionError> read_form_disposition(HeaderView part) {
  if (part.count("Content-Disposition") != 1)
    return malformed("a part without a Content-Disposition of its own");
  if (part.count("Content-Type") > 1) return malformed("a part with two Content-Types");
  if (!plain_encoding(part.get("Content-Transfer-Encoding")))
    return std::unexpected(
        FormDispositionError{Errc::unsupported_media_type, "a part with a transfer encoding"});

  const std::string_view value = part.get("Content-Disposition");
  const std::size_t end = std::min(value.find(';'), value.size());
  if (!equal_ignore_case(trim_ows(value.substr(0, end)), "form-data"))
    return malformed("a part that is no form-data");
  std::optional<std::string> name;
  std::optional<std::string> filename;
  std::optional<std::string> extended;
  ParameterReader parameters(value.substr(end));
  for (;;) {
    const ParameterReader::Step step = parameters.next();
    if (step == ParameterReader::Step::bad) return malformed("bad Content-Disposition");
    if (step == ParameterReader::Step::end) break;
    std::optional<std::string>* to = equal_ignore_case(parameters.name(), "name")        ? &name
                                     : equal_ignore_case(parameters.name(), "filename")  ? &filename
                                     : equal_ignore_case(parameters.name(), "filename*") ? &extended
                                                                                         : nullptr;
    if (to == nullptr) continue;
    if (*to) return malformed("a parameter of Content-Disposition comes twice");
    *to = parameters.value();
  }
  if (!name) return malformed("a part without a name");
  if (!filename && extended) {
    filename = decode_extended(*extended);
    if (!filename) return malformed("bad filename*");
  }
  return FormDisposition{std::move(*name), std::move(filename)};
}

}  // namespace treadle::http
