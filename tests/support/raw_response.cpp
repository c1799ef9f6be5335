// RawClient's view of HTTP responses: independent of the parser under test, and strict.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <charconv>

#include "support/raw_client.h"

namespace treadle::test {
namespace {

bool same_name(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
    auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
    return lower(x) == lower(y);
  });
}

std::optional<std::size_t> number(std::string_view text, int base) {
  std::size_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return {};
  return value;
}

bool parse_status_line(const std::string& line, RawResponse& out) {
  // HTTP/1.1 SP 3DIGIT SP [reason]
  if (line.size() < 13 || !line.starts_with("HTTP/1.") || line[8] != ' ' || line[12] != ' ')
    return false;
  const auto status = number(std::string_view(line).substr(9, 3), 10);
  if (!status) return false;
  out.version = line.substr(0, 8);
  out.status = static_cast<int>(*status);
  out.reason = line.substr(13);
  return true;
}

bool parse_field(const std::string& line,
                 std::vector<std::pair<std::string, std::string>>& fields) {
  const std::size_t colon = line.find(':');
  if (colon == 0 || colon == std::string::npos) return false;
  std::string value = line.substr(colon + 1);
  value.erase(0, value.find_first_not_of(" \t"));
  value.erase(value.find_last_not_of(" \t") + 1);
  fields.emplace_back(line.substr(0, colon), value);
  return true;
}

}  // namespace

std::optional<std::string> RawResponse::header(std::string_view name) const {
  for (const auto& [key, value] : headers)
    if (same_name(key, name)) return value;
  return {};
}

std::size_t RawResponse::count(std::string_view name) const {
  return static_cast<std::size_t>(std::count_if(
      headers.begin(), headers.end(), [&](const auto& h) { return same_name(h.first, name); }));
}

// The next line without its CRLF; nothing, and a failure of the test, when there is none.
std::optional<std::string> RawClient::read_line(RawResponse& out) {
  for (;;) {
    const std::size_t lf = buffer_.find('\n');
    if (lf != std::string::npos) {
      std::string line = take(lf + 1);
      out.raw += line;
      if (line.size() < 2 || line[line.size() - 2] != '\r') {
        ADD_FAILURE() << "a line that does not end in CRLF: " << line;
        return {};
      }
      line.resize(line.size() - 2);
      return line;
    }
    if (!fill_or_fail("within a response, after \"" + out.raw + '"')) return {};
  }
}

bool RawClient::append(std::string& to, RawResponse& out, std::size_t n) {
  while (buffer_.size() < n)
    if (!fill_or_fail(fmt::format("in a body part of {} bytes", n))) return false;
  const std::string part = take(n);
  to += part;
  out.raw += part;
  return true;
}

bool RawClient::read_chunks(RawResponse& out) {
  for (;;) {
    const auto line = read_line(out);
    if (!line) return false;
    const auto size = number(std::string_view(*line).substr(0, line->find_first_of("; ")), 16);
    if (!size) {
      ADD_FAILURE() << "not a chunk size: " << *line;
      return false;
    }
    if (*size == 0) break;
    if (!append(out.body, out, *size)) return false;
    const auto end = read_line(out);
    if (!end || !end->empty()) {
      ADD_FAILURE() << "no CRLF behind a chunk of " << *size << " bytes";
      return false;
    }
  }
  for (;;) {
    const auto line = read_line(out);
    if (!line) return false;
    if (line->empty()) return true;
    if (!parse_field(*line, out.trailers)) {
      ADD_FAILURE() << "not a trailer: " << *line;
      return false;
    }
  }
}

// RFC 9112, section 6.3.
bool RawClient::read_body(RawResponse& out, Request request) {
  if (request == Request::head || out.status / 100 == 1 || out.status == 204 || out.status == 304)
    return true;
  if (const auto coding = out.header("Transfer-Encoding")) {
    out.chunked = true;
    if (!same_name(*coding, "chunked") || out.count("Content-Length") != 0) {
      ADD_FAILURE() << "bad framing: " << out.raw;
      return false;
    }
    return read_chunks(out);
  }
  if (const auto length = out.header("Content-Length")) {
    const auto size = number(*length, 10);
    if (!size || out.count("Content-Length") != 1) {
      ADD_FAILURE() << "bad Content-Length: " << out.raw;
      return false;
    }
    return append(out.body, out, *size);
  }
  out.until_close = true;
  out.body = read_until_close();
  out.raw += out.body;
  return true;
}

RawResponse RawClient::read_response(Request request) {
  RawResponse out;
  const auto first = read_line(out);
  if (!first) return out;
  if (!parse_status_line(*first, out)) {
    ADD_FAILURE() << "not a status line: " << *first;
    out.status = 0;
    return out;
  }
  for (;;) {
    const auto line = read_line(out);
    if (line && line->empty()) break;
    if (!line || !parse_field(*line, out.headers)) {
      if (line) ADD_FAILURE() << "not a header: " << *line;
      out.status = 0;
      return out;
    }
  }
  if (!read_body(out, request)) out.status = 0;
  return out;
}

RawResponse RawClient::roundtrip(std::string_view request, Request kind) {
  send(request);
  for (;;) {
    RawResponse response = read_response(kind);
    if (response.status / 100 != 1 || response.status == 101) return response;
  }
}

}  // namespace treadle::test
