// Cookies: what is read is what stands there, in one field or in several; what is set can be read
// back and never ends its field.
//
// Input: a Cookie field's value, '\n', a name, '\n', a value, '\n', a path.
#include <string>
#include <vector>

#include <treadle/http/cookie.h>
#include <treadle/result.h>

#include "fuzz.h"

using namespace treadle;
using namespace treadle::http;

namespace {

std::vector<CookiePair> read(CookieReader cookies) {
  std::vector<CookiePair> all;
  while (const auto c = cookies.next()) all.push_back(*c);
  return all;
}

bool same(const std::vector<CookiePair>& a, const std::vector<CookiePair>& b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i].name != b[i].name || a[i].value != b[i].value) return false;
  }
  return true;
}

void check_reading(std::string_view sent) {
  const auto cookies = read(CookieReader(sent));
  std::string rewritten;
  for (const CookiePair& c : cookies) {
    FUZZ_CHECK(c.name.find_first_of(";=") == std::string_view::npos);
    FUZZ_CHECK(c.value.find(';') == std::string_view::npos);
    FUZZ_CHECK(c.value.empty() || (c.value.front() != ' ' && c.value.back() != '\t'));
    rewritten.append(c.name).append("=").append(c.value).append("; ");
  }
  FUZZ_CHECK(same(read(CookieReader(rewritten)), cookies));

  std::vector<HeaderField> fields;
  for (std::string_view rest = sent;;) {
    const std::size_t end = rest.find(';');
    fields.push_back({"cookie", rest.substr(0, end)});
    fields.push_back({"X-Other", rest.substr(0, end)});
    if (end == std::string_view::npos) break;
    rest.remove_prefix(end + 1);
  }
  FUZZ_CHECK(same(read(CookieReader(HeaderView(fields))), cookies));
}

void check_writing(std::string_view name, std::string_view value, std::string_view path) {
  std::string text;
  try {
    text = format_cookie({.name = std::string(name),
                          .value = std::string(value),
                          .path = std::string(path),
                          .secure = true});
  } catch (const Panic&) {
    return;
  }
  FUZZ_CHECK(is_field_value(text));
  const auto parts = read(CookieReader(text));
  FUZZ_CHECK(parts.size() == (path.empty() ? 2u : 3u));
  FUZZ_CHECK(parts[0].name == name && parts[0].value == value);
  FUZZ_CHECK(path.empty() || parts[1].name == "Path");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  check_reading(input.until('\n'));
  const std::string_view name = input.until('\n');
  const std::string_view value = input.until('\n');
  check_writing(name, value, input.rest());
  return 0;
}
