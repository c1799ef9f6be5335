// Preconditions, in the order RFC 9110 13.2.2 gives.
#include "conditional.h"

#include <cstddef>

#include "field_list.h"
#include "http_date.h"

namespace treadle::http {
namespace {

// Seconds after which a date of modification tells one state of a representation from all others.
constexpr std::int64_t kDateSettles = 2;

// An entity tag at the beginning of `text`, with W/ and quotes; empty when there is none.
std::string_view leading_etag(std::string_view text) noexcept {
  std::size_t at = text.starts_with("W/") ? 2 : 0;
  if (at >= text.size() || text[at] != '"') return {};
  for (++at; at < text.size(); ++at) {
    const auto c = static_cast<unsigned char>(text[at]);
    if (c == '"') return text.substr(0, at + 1);
    if (c <= 0x20 || c == 0x7f) return {};  // etagc, RFC 9110 8.8.3
  }
  return {};
}

bool is_etag(std::string_view text) noexcept {
  return !text.empty() && leading_etag(text).size() == text.size();
}

std::string_view opaque(std::string_view etag) noexcept {
  return etag.starts_with("W/") ? etag.substr(2) : etag;
}

// Whether any field called `name` is "*", which matches what exists, or lists an etag equal to
// `etag`. Tags may contain commas, so the list is read tag by tag; behind what is no tag the rest
// of a field is dropped.
template <class Equal>
bool list_matches(const HeaderView& headers, std::string_view name, const Validators& current,
                  Equal equal) noexcept {
  for (const HeaderField& field : headers) {
    if (!equal_ignore_case(field.name, name)) continue;
    if (field.value == "*") {
      if (current.exists) return true;
      continue;
    }
    std::string_view rest = field.value;
    while (true) {
      const std::size_t begin = rest.find_first_not_of(" \t,");
      if (begin == std::string_view::npos) break;
      rest.remove_prefix(begin);
      const std::string_view etag = leading_etag(rest);
      if (etag.empty()) break;
      rest.remove_prefix(etag.size());
      // What follows a tag is the end or a comma; `"a"x` is no tag.
      const std::size_t next = rest.find_first_not_of(" \t");
      if (next != std::string_view::npos && rest[next] != ',') break;
      if (current.exists && equal(etag, current.etag)) return true;
    }
  }
  return false;
}

// The date of the field called `name`; nothing when it is missing, unreadable or comes twice.
std::optional<std::int64_t> date_of(const HeaderView& headers, std::string_view name,
                                    std::int64_t now) noexcept {
  if (headers.count(name) != 1) return std::nullopt;
  return parse_http_date(headers.get(name), now);
}

}  // namespace

bool etag_strong_equal(std::string_view a, std::string_view b) noexcept {
  return a == b && is_etag(a) && !a.starts_with("W/");
}

bool etag_weak_equal(std::string_view a, std::string_view b) noexcept {
  return opaque(a) == opaque(b) && is_etag(a) && is_etag(b);
}

Precondition evaluate_preconditions(std::string_view method, const HeaderView& headers,
                                    const Validators& current, std::int64_t now) noexcept {
  const bool reads = method == "GET" || method == "HEAD";
  if (headers.has("If-Match")) {
    if (!list_matches(headers, "If-Match", current, etag_strong_equal)) {
      return Precondition::failed;
    }
  } else if (current.last_modified) {
    const auto since = date_of(headers, "If-Unmodified-Since", now);
    if (since && *current.last_modified > *since) return Precondition::failed;
  }

  if (headers.has("If-None-Match")) {
    if (list_matches(headers, "If-None-Match", current, etag_weak_equal)) {
      return reads ? Precondition::not_modified : Precondition::failed;
    }
  } else if (reads && current.last_modified) {
    const auto since = date_of(headers, "If-Modified-Since", now);
    if (since && *current.last_modified <= *since) return Precondition::not_modified;
  }
  return Precondition::proceed;
}

bool if_range_holds(const HeaderView& headers, const Validators& current,
                    std::int64_t now) noexcept {
  const std::size_t count = headers.count("If-Range");
  if (count == 0) return true;
  if (count > 1 || !current.exists) return false;
  const std::string_view value = headers.get("If-Range");
  if (is_etag(value)) return etag_strong_equal(value, current.etag);
  const auto date = parse_http_date(value, now);
  if (!date || !current.last_modified || *date != *current.last_modified) return false;
  // RFC 9110 8.8.2.2: within a second a file may change again and keep its date.
  return *date + kDateSettles <= now;
}

}  // namespace treadle::http
