#include "media_type.h"

#include <treadle/http/header.h>

#include "field_list.h"

namespace treadle::http {

bool MediaType::is(std::string_view wanted_type, std::string_view wanted_subtype) const noexcept {
  return equal_ignore_case(type, wanted_type) && equal_ignore_case(subtype, wanted_subtype);
}

std::optional<MediaType> parse_media_type(std::string_view value) noexcept {
  const std::size_t end = value.find(';');
  const std::string_view name = trim_ows(value.substr(0, end));
  const std::size_t slash = name.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  MediaType t{name.substr(0, slash), name.substr(slash + 1), {}};
  if (!is_token(t.type) || !is_token(t.subtype)) return std::nullopt;
  if (end != std::string_view::npos) t.parameters = value.substr(end);
  return t;
}

// `rest_` begins after the opening quote; afterwards, after the closing one.
bool ParameterReader::read_quoted() {
  for (std::size_t i = 0; i < rest_.size(); ++i) {
    char c = rest_[i];
    if (c == '"') {
      rest_.remove_prefix(i + 1);
      return true;
    }
    if (c == '\\' && i + 1 < rest_.size() && (rest_[i + 1] == '"' || rest_[i + 1] == '\\'))
      c = rest_[++i];
    value_ += c;
  }
  return false;
}

ParameterReader::Step ParameterReader::next() {
  rest_ = trim_ows(rest_);
  do {
    if (rest_.empty()) return Step::end;
    if (rest_.front() != ';') return Step::bad;
    rest_ = trim_ows(rest_.substr(1));
  } while (rest_.empty() || rest_.front() == ';');  // RFC 9110 5.6.6: a parameter may be empty

  const std::size_t equals = rest_.find('=');
  if (equals == std::string_view::npos) return Step::bad;
  name_ = trim_ows(rest_.substr(0, equals));
  if (!is_token(name_)) return Step::bad;
  rest_ = trim_ows(rest_.substr(equals + 1));
  value_.clear();
  if (rest_.starts_with('"')) {
    rest_.remove_prefix(1);
    return read_quoted() ? Step::parameter : Step::bad;
  }
  value_ = rest_.substr(0, rest_.find_first_of("; \t\""));
  rest_.remove_prefix(value_.size());
  return value_.empty() ? Step::bad : Step::parameter;
}

}  // namespace treadle::http
