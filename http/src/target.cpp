// Request lines and targets, byte by byte against tables.
#include "target.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>

#include "chars.h"
#include "method.h"

namespace treadle::http {
namespace {

std::unexpected<ParseError> refuse(const char* reason, int status = 400) noexcept {
  return std::unexpected(ParseError{status, reason});
}

// Whether `text` is characters of class `which` and well-formed escapes. %00 is no part of a path
// or a host: it would end the name for whoever opens the file or looks the host up.
bool valid_encoded(std::string_view text, chars::Class which) noexcept {
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (chars::is(text[i], which)) continue;
    if (text[i] != '%' || text.size() - i < 3) return false;
    const int high = chars::hex_value(text[i + 1]);
    const int low = chars::hex_value(text[i + 2]);
    if (high < 0 || low < 0) return false;
    if (which != chars::kQuery && high == 0 && low == 0) return false;
    i += 2;
  }
  return true;
}

// Whether `text` is an IPv6 address without zone: digits, colons and an IPv4 tail at most.
bool valid_ipv6(std::string_view text) noexcept {
  std::array<char, INET6_ADDRSTRLEN> name{};
  if (text.size() >= name.size() || text.find('\0') != std::string_view::npos) return false;
  std::copy(text.begin(), text.end(), name.begin());
  in6_addr address;
  return inet_pton(AF_INET6, name.data(), &address) == 1;
}

bool valid_port(std::string_view text) noexcept {
  int port = 0;
  for (const char c : text) {
    if (!chars::is_digit(c)) return false;
    port = port * 10 + (c - '0');
    if (port > 65535) return false;
  }
  return true;  // RFC 3986 3.2.3 lets it be empty
}

// Takes `scheme` and "://" off the target, in any case; false when it does not begin so.
bool take_scheme(std::string_view& target, std::string_view scheme) noexcept {
  constexpr std::string_view kEnd = "://";
  if (target.size() < scheme.size() + kEnd.size() ||
      !equal_ignore_case(target.substr(0, scheme.size()), scheme) ||
      target.substr(scheme.size(), kEnd.size()) != kEnd) {
    return false;
  }
  target.remove_prefix(scheme.size() + kEnd.size());
  return true;
}

}  // namespace

bool valid_authority(std::string_view authority) noexcept {
  std::size_t host_end;
  if (authority.starts_with('[')) {
    const std::size_t close = authority.find(']');
    if (close == std::string_view::npos || !valid_ipv6(authority.substr(1, close - 1))) {
      return false;
    }
    host_end = close + 1;
  } else {
    host_end = std::min(authority.find(':'), authority.size());
    if (host_end == 0 || !valid_encoded(authority.substr(0, host_end), chars::kRegName)) {
      return false;
    }
  }
  const std::string_view rest = authority.substr(host_end);
  return rest.empty() || (rest.front() == ':' && valid_port(rest.substr(1)));
}

std::expected<Target, ParseError> parse_target(std::string_view method,
                                               std::string_view target) noexcept {
  Target out;
  if (target == "*") {
    if (method != "OPTIONS") return refuse("target * is for OPTIONS only");
    out.path = target;
    return out;
  }
  std::string_view rest = target;
  if (!rest.starts_with('/')) {
    if (!take_scheme(rest, "http") && !take_scheme(rest, "https")) {
      return refuse("target is neither a path nor an http URI");
    }
    const std::size_t end = std::min(rest.find_first_of("/?#"), rest.size());
    out.authority = rest.substr(0, end);
    if (!valid_authority(out.authority)) return refuse("bad authority in the target");
    rest.remove_prefix(end);
  }
  const std::size_t mark = std::min(rest.find('?'), rest.size());
  out.path = rest.substr(0, mark);
  if (!valid_encoded(out.path, chars::kPath)) return refuse("bad character or escape in the path");
  if (mark < rest.size()) {
    out.query = rest.substr(mark + 1);
    if (!valid_encoded(out.query, chars::kQuery)) {
      return refuse("bad character or escape in the query");
    }
  }
  // OPTIONS without a path is what the last proxy makes "OPTIONS *" of (RFC 9112 3.2.4).
  if (out.path.empty()) out.path = method == "OPTIONS" && mark == rest.size() ? "*" : "/";
  return out;
}

std::expected<RequestLine, ParseError> parse_request_line(std::string_view line) noexcept {
  RequestLine out;
  const std::size_t first = line.find(' ');
  if (first == std::string_view::npos) return refuse("malformed request line");
  out.method = known_method(line.substr(0, first));
  if (out.method.empty()) return refuse("unknown method", 501);

  const std::size_t second = line.find(' ', first + 1);
  if (second == std::string_view::npos) return refuse("request line without a version");
  out.target = line.substr(first + 1, second - first - 1);
  const std::string_view version = line.substr(second + 1);
  if (version.size() != 8 || !version.starts_with("HTTP/") || !chars::is_digit(version[5]) ||
      version[6] != '.' || !chars::is_digit(version[7])) {
    return refuse("malformed request line");
  }
  if (version[5] != '1' || version[7] > '1') return refuse("HTTP version not supported", 505);
  out.minor_version = version[7] - '0';

  const auto parts = parse_target(out.method, out.target);
  if (!parts) return std::unexpected(parts.error());
  out.parts = *parts;
  return out;
}

MethodVerdict judge_method(std::string_view begin) noexcept {
  const auto error = [](int status, const char* reason) {
    return MethodVerdict{ParseStatus::error, {status, reason}};
  };
  for (std::size_t i = 0; i < begin.size(); ++i) {
    const char c = begin[i];
    if (c == ' ') {
      const std::string_view method = begin.substr(0, i);
      if (method.empty()) return error(400, "request line begins with a space");
      if (method == "PRI") return error(505, "HTTP/2 is not spoken here");
      if (known_method(method).empty()) return error(501, "unknown method");
      return {ParseStatus::complete, {}};
    }
    if (i == 0 && c == '\x16') return error(400, "TLS on a plain port");
    if (!chars::is(c, chars::kToken)) return error(400, "bad character in the method");
    if (i == kLongestMethod) return error(501, "unknown method");
  }
  return {};
}

}  // namespace treadle::http
