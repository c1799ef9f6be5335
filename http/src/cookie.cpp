// Cookies: read as leniently as browsers need, written as strictly as RFC 6265 4.1.1 asks.
#include <treadle/http/cookie.h>

#include <treadle/http/request.h>
#include <treadle/http/response.h>
#include <treadle/result.h>

#include <algorithm>

#include "chars.h"
#include "field_list.h"
#include "http_date.h"

namespace treadle::http {
namespace {

[[noreturn]] void reject(const Cookie& cookie, const char* why) {
  const std::string name = is_token(cookie.name) ? " \"" + cookie.name + "\"" : "";
  throw Panic("treadle::http: cookie" + name + ": " + why);
}

// RFC 6265 4.1.1 cookie-octet.
constexpr bool is_cookie_octet(char c) noexcept {
  return c > 0x20 && c < 0x7f && c != '"' && c != ',' && c != ';' && c != '\\';
}

// What may stand in an attribute's value. Bytes beyond ASCII are legal in a path for no one.
constexpr bool is_attribute_octet(char c) noexcept { return c >= 0x20 && c < 0x7f && c != ';'; }

constexpr bool is_domain_octet(char c) noexcept {
  return chars::is_alpha(c) || chars::is_digit(c) || c == '-' || c == '.';
}

bool has_prefix(std::string_view name, std::string_view prefix) noexcept {
  return name.size() >= prefix.size() && equal_ignore_case(name.substr(0, prefix.size()), prefix);
}

void check_bytes(const Cookie& cookie) {
  if (!is_token(cookie.name)) reject(cookie, "its name is no token");
  if (!std::ranges::all_of(cookie.value, is_cookie_octet))
    reject(cookie, "invalid byte in its value");
  if (!std::ranges::all_of(cookie.path, is_attribute_octet))
    reject(cookie, "invalid byte in its path");
  if (!cookie.path.empty() && cookie.path.front() != '/')
    reject(cookie, "its path does not begin with '/'");
  if (!std::ranges::all_of(cookie.domain, is_domain_octet))
    reject(cookie, "invalid byte in its domain");
}

void check_promises(const Cookie& cookie) {
  if (cookie.same_site == SameSite::none && !cookie.secure)
    reject(cookie, "SameSite=None wants Secure");
  if (cookie.partitioned && !cookie.secure) reject(cookie, "Partitioned wants Secure");
  if (has_prefix(cookie.name, "__Secure-") && !cookie.secure)
    reject(cookie, "its name's prefix wants Secure");
  if (has_prefix(cookie.name, "__Host-") &&
      (!cookie.secure || cookie.path != "/" || !cookie.domain.empty()))
    reject(cookie, "its name's prefix wants Secure, Path=/ and no Domain");
}

std::string_view name_of(SameSite same_site) noexcept {
  switch (same_site) {
    case SameSite::strict: return "Strict";
    case SameSite::lax: return "Lax";
    case SameSite::none: return "None";
    case SameSite::unset: break;
  }
  return {};
}

}  // namespace

bool CookieReader::next_field() noexcept {
  for (; field_ < headers_.size(); ++field_) {
    const HeaderField& field = headers_.begin()[field_];
    if (!equal_ignore_case(field.name, "Cookie")) continue;
    rest_ = field.value;
    ++field_;
    return true;
  }
  return false;
}

std::optional<CookiePair> CookieReader::next() noexcept {
  do {
    while (!rest_.empty()) {
      const std::size_t end = rest_.find(';');
      const std::string_view pair = trim_ows(rest_.substr(0, end));
      rest_ = end == std::string_view::npos ? std::string_view{} : rest_.substr(end + 1);
      if (pair.empty()) continue;
      const std::size_t equals = pair.find('=');
      // Without '=' all of it is the value of a cookie without a name: that is how browsers send
      // one. A name made of it could pass for another's.
      if (equals == std::string_view::npos) return CookiePair{{}, pair};
      return CookiePair{trim_ows(pair.substr(0, equals)), trim_ows(pair.substr(equals + 1))};
    }
  } while (next_field());
  return std::nullopt;
}

std::optional<std::string_view> cookie(const Request& req, std::string_view name) noexcept {
  CookieReader cookies(req.headers());
  while (const auto pair = cookies.next()) {
    if (pair->name == name) return pair->value;
  }
  return std::nullopt;
}

std::string format_cookie(const Cookie& cookie) {
  check_bytes(cookie);
  check_promises(cookie);
  std::string out;
  out.append(cookie.name).append("=").append(cookie.value);
  if (!cookie.path.empty()) out.append("; Path=").append(cookie.path);
  if (!cookie.domain.empty()) out.append("; Domain=").append(cookie.domain);
  if (cookie.expires) {
    out.append("; Expires=").append(HttpDate(cookie.expires->time_since_epoch().count()).view());
  }
  // Browsers take a negative number as well, but the grammar has none.
  if (cookie.max_age) {
    const auto seconds = std::max<std::int64_t>(cookie.max_age->count(), 0);
    out.append("; Max-Age=").append(std::to_string(seconds));
  }
  if (cookie.secure) out.append("; Secure");
  if (cookie.http_only) out.append("; HttpOnly");
  if (cookie.same_site != SameSite::unset)
    out.append("; SameSite=").append(name_of(cookie.same_site));
  if (cookie.partitioned) out.append("; Partitioned");
  return out;
}

void set_cookie(Response& res, const Cookie& cookie) {
  res.add_header("Set-Cookie", format_cookie(cookie));
}

}  // namespace treadle::http
