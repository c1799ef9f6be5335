// Cookies (RFC 6265).
//
//   if (auto session = http::cookie(req, "session")) resume(*session);
//   http::set_cookie(res, {.name = "__Host-session",
//                          .value = id,
//                          .path = "/",
//                          .max_age = 24h,
//                          .secure = true,
//                          .http_only = true,
//                          .same_site = http::SameSite::lax});
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <treadle/http/header.h>

namespace treadle::http {

class Request;
class Response;

// One cookie as a client sent it. Views into the request: they live until the handler returns.
struct CookiePair {
  std::string_view name;   // empty where the client sent none
  std::string_view value;  // as it came: quotes are a part of it, nothing is decoded
};

// Walks the cookies of a request, in the order they came, which is the more specific path first
// (RFC 6265 5.4). Neither allocates nor fails: browsers send what scripts and other servers have
// put there, so all that stands between two semicolons counts, and only emptiness is passed over.
//
//   http::CookieReader cookies(req.headers());
//   while (auto c = cookies.next()) ...
class CookieReader {
 public:
  // Several Cookie fields count as one.
  explicit CookieReader(HeaderView headers) noexcept : headers_(headers) {}
  // The cookies of one Cookie field's value.
  explicit CookieReader(std::string_view value) noexcept : rest_(value) {}

  std::optional<CookiePair> next() noexcept;

 private:
  bool next_field() noexcept;

  HeaderView headers_;
  std::size_t field_ = 0;  // the next of headers_ to look at
  std::string_view rest_;  // of the current field
};

// The value of the first cookie of that name, case counting; nothing when there is none. A view
// into the request. Whoever can set cookies for a parent domain can set this one too, unless its
// name begins with "__Host-". Never parks.
std::optional<std::string_view> cookie(const Request& req, std::string_view name) noexcept;

// Whether a browser sends a cookie with requests that other sites bring about.
enum class SameSite : std::uint8_t {
  unset,   // no attribute: browsers take it as lax
  strict,  // never
  lax,     // only when the user follows a link there
  none,    // always; wants `secure`
};

// A cookie for a client to keep. Make `value` safe text (base64url, hex, percent-encoding): what a
// cookie cannot carry panics.
struct Cookie {
  std::string name;                                   // a token (RFC 9110 5.6.2)
  std::string value{};                                // no controls, spaces, or any of " , ; and \.
  std::string path{};                                 // begins with '/'; empty: the request's own
  std::string domain{};                               // subdomains get it too; empty: this host
  std::optional<std::chrono::sys_seconds> expires{};  // neither this nor the next: for the session
  std::optional<std::chrono::seconds> max_age{};      // wins over `expires`; 0 or less deletes it
  bool secure = false;                                // sent over TLS only
  bool http_only = false;                             // hidden from scripts
  SameSite same_site = SameSite::unset;
  bool partitioned = false;  // one for each site it is embedded in; wants `secure`
};

// The value of a Set-Cookie field. Panics on an invalid byte in any part, and on what browsers
// would refuse without a word: SameSite=None or Partitioned without Secure, a name that begins with
// "__Secure-" without Secure, or with "__Host-" without Secure and Path=/ or with a Domain. Names
// are compared to these without case, as browsers do. They also drop a cookie whose name and value
// have more than 4096 bytes; that is not looked at here. Never parks; any thread.
std::string format_cookie(const Cookie& cookie);

// Adds a Set-Cookie field. Panics as format_cookie() does, and once the head has left. Of several
// of one name, path and domain the last one counts. Never parks.
void set_cookie(Response& res, const Cookie& cookie);

}  // namespace treadle::http
