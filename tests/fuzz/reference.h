// A second opinion on requests: a reader of RFC 9112's grammar that sees the whole stream at once
// and shares no line with the parser. It knows what is a message and where it ends, and leaves to
// the parser what it may refuse besides: limits, hosts, URIs, expectations.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace treadle::fuzz {

using Fields = std::vector<std::pair<std::string, std::string>>;

struct Message {
  std::string method, target, version;
  Fields fields;
  std::string body;
  Fields trailers;
  std::size_t size = 0;  // bytes of the stream that it takes, empty lines before it included
};

// Reads messages off the front of a stream; nothing where it does not begin with a whole and
// well-formed one.
class Reference {
 public:
  explicit Reference(std::string_view stream) : all_(stream), rest_(stream) {}

  std::optional<Message> message() {
    const std::string_view begin = rest_;
    Message m;
    for (int i = 0; i < 2 && rest_.starts_with("\r\n"); ++i) rest_.remove_prefix(2);
    const auto line = take_line();
    if (!line) return std::nullopt;
    const std::size_t first = line->find(' ');
    const std::size_t last = line->rfind(' ');
    if (first == std::string_view::npos || first == last) return std::nullopt;
    m.method = line->substr(0, first);
    m.target = line->substr(first + 1, last - first - 1);
    m.version = line->substr(last + 1);
    if (!token(m.method) || m.target.empty()) return std::nullopt;
    for (const char c : m.target) {
      if (c <= ' ' || c == 0x7f) return std::nullopt;
    }
    if (m.version != "HTTP/1.0" && m.version != "HTTP/1.1") return std::nullopt;
    if (!take_fields(m.fields) || !take_body(m)) return std::nullopt;
    m.size = begin.size() - rest_.size();
    return m;
  }

  // A chunked body with its trailers (RFC 9112 7.1).
  bool chunks(std::string& body, Fields& trailers) {
    for (;;) {
      const auto line = take_line();
      if (!line) return false;
      const auto size = chunk_size(*line);
      if (!size) return false;
      if (*size == 0) return take_fields(trailers);
      if (rest_.size() < *size || rest_.size() - *size < 2) return false;
      body += rest_.substr(0, static_cast<std::size_t>(*size));
      rest_.remove_prefix(static_cast<std::size_t>(*size));
      if (!rest_.starts_with("\r\n")) return false;
      rest_.remove_prefix(2);
    }
  }

  std::size_t consumed() const { return all_.size() - rest_.size(); }

 private:
  static bool token(std::string_view text) {
    for (const char c : text) {
      const bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
      if (!alnum && std::string_view("!#$%&'*+-.^_`|~").find(c) == std::string_view::npos)
        return false;
    }
    return !text.empty();
  }

  static bool blank(char c) { return c == ' ' || c == '\t'; }

  static bool same(std::string_view a, std::string_view b) {
    if (a.size() != b.size()) return false;
    for (std::size_t i = 0; i < a.size(); ++i) {
      const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c + 0; };
      if (lower(a[i]) != lower(b[i])) return false;
    }
    return true;
  }

  // Up to the next CRLF, without it; nothing when a bare CR or LF comes first, or no end.
  std::optional<std::string_view> take_line() {
    const std::size_t at = rest_.find_first_of("\r\n");
    if (at == std::string_view::npos || !rest_.substr(at).starts_with("\r\n")) return std::nullopt;
    const std::string_view line = rest_.substr(0, at);
    rest_.remove_prefix(at + 2);
    return line;
  }

  bool take_fields(Fields& fields) {
    for (;;) {
      const auto line = take_line();
      if (!line) return false;
      if (line->empty()) return true;
      const std::size_t colon = line->find(':');
      if (colon == std::string_view::npos || !token(line->substr(0, colon))) return false;
      std::string_view value = line->substr(colon + 1);
      while (!value.empty() && blank(value.front())) value.remove_prefix(1);
      while (!value.empty() && blank(value.back())) value.remove_suffix(1);
      for (const char c : value) {
        if ((c >= 0 && c < ' ' && c != '\t') || c == 0x7f) return false;
      }
      fields.emplace_back(line->substr(0, colon), value);
    }
  }

  bool take_body(Message& m) {
    const std::string* length = nullptr;
    const std::string* encoding = nullptr;
    for (const auto& [name, value] : m.fields) {
      const bool is_length = same(name, "content-length");
      const bool is_encoding = same(name, "transfer-encoding");
      if (!is_length && !is_encoding) continue;
      if (length != nullptr || encoding != nullptr) return false;
      (is_length ? length : encoding) = &value;
    }
    if (encoding != nullptr) {
      return same(*encoding, "chunked") && m.version == "HTTP/1.1" && chunks(m.body, m.trailers);
    }
    if (length == nullptr) return true;
    std::size_t size = 0;
    if (length->empty()) return false;
    for (const char c : *length) {
      if (c < '0' || c > '9') return false;
      size = size * 10 + static_cast<std::size_t>(c - '0');
      if (size > rest_.size()) return false;
    }
    m.body = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return true;
  }

  // 1*HEXDIG *( BWS ";" BWS token [ BWS "=" BWS ( token / quoted-string ) ] )
  std::optional<std::uint64_t> chunk_size(std::string_view line) const {
    std::uint64_t size = 0;
    std::size_t at = 0;
    for (; at < line.size(); ++at) {
      const std::size_t digit =
          std::string_view("0123456789abcdef")
              .find(static_cast<char>(line[at] >= 'A' && line[at] <= 'F' ? line[at] + ('a' - 'A')
                                                                         : line[at]));
      if (digit == std::string_view::npos) break;
      if (at == 16 || size >> 59 != 0) return std::nullopt;
      size = size * 16 + digit;
    }
    if (at == 0) return std::nullopt;
    std::string_view rest = line.substr(at);
    const auto skip = [&rest](auto wanted) {
      std::size_t n = 0;
      while (n < rest.size() && wanted(rest[n])) ++n;
      rest.remove_prefix(n);
      return n > 0;
    };
    const auto is_token = [](char c) { return token({&c, 1}); };
    while (!rest.empty()) {
      skip(blank);
      if (!rest.starts_with(';')) return std::nullopt;
      rest.remove_prefix(1);
      skip(blank);
      if (!skip(is_token)) return std::nullopt;
      std::string_view before = rest;
      skip(blank);
      if (!rest.starts_with('=')) {
        rest = before;
        continue;
      }
      rest.remove_prefix(1);
      skip(blank);
      if (!rest.starts_with('"')) {
        if (!skip(is_token)) return std::nullopt;
      } else if (!skip_quoted(rest)) {
        return std::nullopt;
      }
    }
    return size;
  }

  static bool skip_quoted(std::string_view& rest) {
    for (std::size_t i = 1; i < rest.size(); ++i) {
      if (rest[i] == '"') {
        rest.remove_prefix(i + 1);
        return true;
      }
      if (rest[i] == '\\') ++i;
      if (i < rest.size() &&
          ((rest[i] >= 0 && rest[i] < ' ' && rest[i] != '\t') || rest[i] == 0x7f))
        return false;
    }
    return false;
  }

  std::string_view all_;
  std::string_view rest_;
};

}  // namespace treadle::fuzz
