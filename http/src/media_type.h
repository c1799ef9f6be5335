// Media types and dispositions: a value, and the parameters that follow it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace treadle::http {

// "text/html; charset=utf-8" taken apart (RFC 9110 8.3.1). Views into what was parsed.
struct MediaType {
  std::string_view type;        // "text"
  std::string_view subtype;     // "html"
  std::string_view parameters;  // what follows, with its first ';'; for a ParameterReader

  bool is(std::string_view wanted_type, std::string_view wanted_subtype) const noexcept;
};
// Nothing when it is none.
std::optional<MediaType> parse_media_type(std::string_view value) noexcept;

// Walks `; name=value` parameters, as lenient as what clients send wants it: a value without quotes
// goes on to the next ';' or space, so that `boundary=----=_Part_1` is whole. In a quoted one a
// backslash escapes only a quote and a backslash, so that `filename="C:\a\b.txt"` keeps its path.
class ParameterReader {
 public:
  enum class Step : std::uint8_t { parameter, end, bad };

  explicit ParameterReader(std::string_view parameters) noexcept : rest_(parameters) {}

  Step next();
  // Of the last parameter.
  std::string_view name() const noexcept { return name_; }
  const std::string& value() const noexcept { return value_; }

 private:
  bool read_quoted();

  std::string_view rest_;
  std::string_view name_;
  std::string value_;
};

}  // namespace treadle::http
