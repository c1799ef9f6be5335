#include "access_log_line.h"

#include <time.h>

#include <algorithm>
#include <array>

#include "date_cache.h"
#include "http_date.h"

namespace treadle::http::detail {
namespace {

constexpr std::size_t kIsoTimeSize = 19;

// Rearranges "Sun, 06 Nov 1994 08:49:37 GMT" into "1994-11-06T08:49:37".
CachedText format_iso_time(std::int64_t second) noexcept {
  constexpr std::string_view kMonths = "JanFebMarAprMayJunJulAugSepOctNovDec";
  CachedText text{};
  const HttpDate date(second);
  const std::string_view d = date.view();
  const std::size_t month = kMonths.find(d.substr(8, 3)) / 3 + 1;
  char* to = text.data();
  d.copy(to, 4, 12);
  to[4] = '-';
  to[5] = static_cast<char>('0' + month / 10);
  to[6] = static_cast<char>('0' + month % 10);
  to[7] = '-';
  d.copy(to + 8, 2, 5);
  to[10] = 'T';
  d.copy(to + 11, 8, 17);
  return text;
}

constinit SecondCache<format_iso_time> iso_time_cache;

void append_iso_time(LogLine& out) {
  timespec now{};
  clock_gettime(CLOCK_REALTIME_COARSE, &now);
  const CachedText text = iso_time_cache.get(now.tv_sec);
  append(out, {text.data(), kIsoTimeSize});
  const auto ms = static_cast<int>(now.tv_nsec / 1'000'000);
  const char rest[] = {'.', static_cast<char>('0' + ms / 100),
                       static_cast<char>('0' + ms / 10 % 10), static_cast<char>('0' + ms % 10),
                       'Z'};
  append(out, {rest, sizeof rest});
}

const net::SocketAddress& client_of(const AccessRecord& r) noexcept {
  return r.client != nullptr ? *r.client : r.peer;
}
bool peer_differs(const AccessRecord& r) noexcept {
  return r.client != nullptr && !(*r.client == r.peer);
}
// Whoever looked at it before may have let a user and a password through.
std::string_view host_of(const AccessRecord& r) noexcept {
  return r.host.substr(r.host.rfind('@') + 1);
}
std::string_view protocol(const AccessRecord& r) noexcept {
  return r.minor_version == 0 ? "HTTP/1.0" : "HTTP/1.1";
}

// A URL in what `append_text` makes of text, both pieces together no longer than a field.
template <class AppendText>
void append_url(LogLine& out, std::string_view url, AppendText append_text) {
  const auto [front, back] = without_userinfo(url);
  if (!front.empty() || back.empty()) append_text(out, front, kLoggedField);
  if (!back.empty() && front.size() < kLoggedField)
    append_text(out, back, kLoggedField - front.size());
}

// A Unix path is text that clients may have chosen, and what escapes it for words is not JSON.
template <class AppendText>
void append_json_address(LogLine& out, const net::SocketAddress& address, AppendText append_text) {
  if (address.family() != AF_UNIX) return append_text(out, address);
  append(out, "unix:");
  append_json_escaped(out, address.host());
}

template <std::size_t N>
void append_member(LogLine& out, const char (&name)[N], std::string_view value) {
  if (value.empty()) return;
  append(out, {name, N - 1});
  append_json_escaped(out, value);
  out.push_back('"');
}

}  // namespace

void append_combined(LogLine& out, const AccessRecord& r) {
  append_host(out, client_of(r));
  append(out, " - ");
  append_word(out, r.user);
  append(out, " [");
  const CachedText time = log_time();
  append(out, {time.data(), kLogTimeSize});
  append(out, "] \"");
  append_word(out, r.method);
  if (!r.method.empty()) {
    out.push_back(' ');
    append_url(out, r.target, append_word);
    out.push_back(' ');
    append(out, protocol(r));
  }
  append(out, "\" ");
  append_number(out, r.status);
  out.push_back(' ');
  append_number(out, r.bytes);
  append(out, " \"");
  append_url(out, r.referer, append_escaped);
  append(out, "\" \"");
  append_escaped(out, r.user_agent);
  append(out, "\" ");
  append_seconds(out, r.took);
  out.push_back(' ');
  append_seconds(out, r.handler_time);
  out.push_back(' ');
  append_word(out, r.request_id);
  out.push_back(' ');
  append_word(out, host_of(r));
  out.push_back(' ');
  append_word(out, r.tls_version);
  if (!r.tls_version.empty() && !r.tls_cipher.empty()) {
    out.push_back('/');
    append_word(out, r.tls_cipher);
  }
  out.push_back(' ');
  if (peer_differs(r))
    append_address(out, r.peer);
  else
    out.push_back('-');
  append(out, r.cut ? " cut\n" : "\n");
}

void append_json(LogLine& out, const AccessRecord& r) {
  append(out, R"({"time":")");
  append_iso_time(out);
  append(out, R"(","client":")");
  append_json_address(out, client_of(r), append_host);
  if (peer_differs(r)) {
    append(out, R"(","peer":")");
    append_json_address(out, r.peer, append_address);
  }
  out.push_back('"');
  if (!r.method.empty()) {
    append_member(out, R"(,"method":")", r.method);
    append(out, R"(,"target":")");
    append_url(out, r.target, append_json_escaped);
    append(out, R"(","protocol":")");
    append(out, protocol(r));
    out.push_back('"');
  }
  append_member(out, R"(,"host":")", host_of(r));
  append(out, R"(,"status":)");
  append_number(out, r.status);
  append(out, R"(,"bytes":)");
  append_number(out, r.bytes);
  if (!r.referer.empty()) {
    append(out, R"(,"referer":")");
    append_url(out, r.referer, append_json_escaped);
    out.push_back('"');
  }
  append_member(out, R"(,"user_agent":")", r.user_agent);
  append_member(out, R"(,"user":")", r.user);
  append_member(out, R"(,"request_id":")", r.request_id);
  append_member(out, R"(,"tls_version":")", r.tls_version);
  append_member(out, R"(,"tls_cipher":")", r.tls_cipher);
  append(out, R"(,"duration":)");
  append_seconds(out, r.took);
  append(out, R"(,"handler":)");
  append_seconds(out, r.handler_time);
  append(out, r.cut ? ",\"cut\":true}\n" : "}\n");
}

}  // namespace treadle::http::detail
