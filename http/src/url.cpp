// Percent-decoding, path segments and queries.
#include "url.h"

#include <algorithm>
#include <cstring>

#include "chars.h"

namespace treadle::http {
namespace {

// The byte that the escape at text[i] stands for; -1 when it is malformed or cut off.
int escaped_byte(std::string_view text, std::size_t i) noexcept {
  if (text.size() - i < 3) return -1;
  const int high = chars::hex_value(text[i + 1]);
  const int low = chars::hex_value(text[i + 2]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

void append_escape(std::string& out, char c) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  const auto byte = static_cast<unsigned char>(c);
  out += '%';
  out += kDigits[byte >> 4];
  out += kDigits[byte & 15];
}

// How many dots an encoded segment decodes to: 1 or 2 for a dot segment, 0 for any other.
int dots_of(std::string_view segment) noexcept {
  int dots = 0;
  while (!segment.empty() && dots < 3) {
    if (segment.front() == '.') {
      segment.remove_prefix(1);
    } else if (segment.front() == '%' && escaped_byte(segment, 0) == '.') {
      segment.remove_prefix(3);
    } else {
      return 0;
    }
    ++dots;
  }
  return dots < 3 ? dots : 0;
}

// One decoded byte of an urlencoded text at a time: '+' is a space. The value is -1 at the end, -2
// for a malformed escape.
class FormReader {
 public:
  explicit FormReader(std::string_view text) noexcept : text_(text) {}

  int next() noexcept {
    if (at_ == text_.size()) return -1;
    const char c = text_[at_];
    if (c != '%') {
      ++at_;
      return c == '+' ? ' ' : static_cast<unsigned char>(c);
    }
    const int byte = escaped_byte(text_, at_);
    if (byte < 0) return -2;
    at_ += 3;
    return byte;
  }

 private:
  std::string_view text_;
  std::size_t at_ = 0;
};

std::optional<std::string> form_decode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  FormReader reader(text);
  for (int byte = reader.next(); byte != -1; byte = reader.next()) {
    if (byte == -2) return std::nullopt;
    out += static_cast<char>(byte);
  }
  return out;
}

bool form_equals(std::string_view encoded, std::string_view plain) noexcept {
  FormReader reader(encoded);
  for (const char c : plain) {
    if (reader.next() != static_cast<unsigned char>(c)) return false;
  }
  return reader.next() == -1;
}

struct EncodedPair {
  std::string_view name;
  std::string_view value;
};

// Takes the next pair off `query`, passing over empty ones; nothing when none is left.
std::optional<EncodedPair> next_pair(std::string_view& query) noexcept {
  while (!query.empty()) {
    const std::size_t end = query.find('&');
    const std::string_view pair = query.substr(0, end);
    query = end == std::string_view::npos ? std::string_view{} : query.substr(end + 1);
    if (pair.empty()) continue;
    const std::size_t equals = pair.find('=');
    if (equals == std::string_view::npos) return EncodedPair{pair, {}};
    return EncodedPair{pair.substr(0, equals), pair.substr(equals + 1)};
  }
  return std::nullopt;
}

}  // namespace

DecodedPath::Status DecodedPath::assign(std::string_view path) {
  segments_.clear();
  text_ = {};
  trailing_slash_ = false;
  if (path.empty() || path.front() != '/') return Status::bad;

  const bool escaped = path.find('%') != std::string_view::npos;
  // As large as it can get before any view into it is taken: it never moves below.
  if (escaped) buffer_.resize(path.size());
  std::size_t written = 0;  // of buffer_
  Status status = Status::clean;
  std::size_t at = 0;
  while (at < path.size()) {  // path[at] is the slash before a segment
    const std::size_t end = std::min(path.find('/', at + 1), path.size());
    std::string_view segment = path.substr(at + 1, end - at - 1);
    if (escaped) {
      buffer_[written++] = '/';
      const std::size_t begin = written;
      for (std::size_t i = 0; i < segment.size(); ++i) {
        int byte = static_cast<unsigned char>(segment[i]);
        if (segment[i] == '%') {
          byte = escaped_byte(segment, i);
          i += 2;
        }
        if (byte <= 0) {
          segments_.clear();
          return Status::bad;
        }
        buffer_[written++] = static_cast<char>(byte);
      }
      segment = std::string_view(buffer_).substr(begin, written - begin);
    } else if (segment.find('\0') != std::string_view::npos) {
      segments_.clear();
      return Status::bad;
    }
    const bool last = end == path.size();
    if (segment.empty() && last) {
      trailing_slash_ = true;
    } else {
      if (segment.empty() || segment == "." || segment == "..") status = Status::unclean;
      segments_.push_back(segment);
    }
    at = end;
  }
  text_ = escaped ? std::string_view(buffer_).substr(0, written) : path;
  return status;
}

std::string_view DecodedPath::rest(std::size_t index) const noexcept {
  if (index >= segments_.size()) return {};
  return text_.substr(static_cast<std::size_t>(segments_[index].data() - text_.data()));
}

std::string clean_path(std::string_view path) {
  std::vector<std::string_view> kept;
  bool slash = true;  // whether the last segment leaves a slash behind
  std::size_t at = 0;
  while (at < path.size()) {
    if (path[at] == '/') {
      ++at;
      slash = true;
      continue;
    }
    const std::size_t end = std::min(path.find('/', at), path.size());
    const std::string_view segment = path.substr(at, end - at);
    const int dots = dots_of(segment);
    slash = dots != 0;
    if (dots == 0) {
      kept.push_back(segment);
    } else if (dots == 2 && !kept.empty()) {
      kept.pop_back();
    }
    at = end;
  }

  std::string out;
  out.reserve(path.size() + 1);
  for (const std::string_view segment : kept) {
    out += '/';
    for (const char c : segment) {
      // A backslash would do as a slash for browsers; other bytes that no path has follow suit.
      if (chars::is(c, chars::kPath) || c == '%') {
        out += c;
      } else {
        append_escape(out, c);
      }
    }
  }
  if (slash || kept.empty()) out += '/';
  return out;
}

std::optional<std::string> percent_decode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    const int byte = escaped_byte(text, i);
    if (byte < 0) return std::nullopt;
    out += static_cast<char>(byte);
    i += 2;
  }
  return out;
}

std::string percent_encode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    if (chars::is(c, chars::kUnreserved)) {
      out += c;
    } else {
      append_escape(out, c);
    }
  }
  return out;
}

std::expected<std::vector<QueryPair>, QueryError> parse_query(std::string_view query,
                                                              std::size_t max_pairs) {
  std::vector<QueryPair> pairs;
  while (const auto encoded = next_pair(query)) {
    if (pairs.size() == max_pairs) return std::unexpected(QueryError::too_many);
    auto name = form_decode(encoded->name);
    auto value = form_decode(encoded->value);
    if (!name || !value) return std::unexpected(QueryError::bad_escape);
    pairs.push_back({std::move(*name), std::move(*value)});
  }
  return pairs;
}

std::optional<std::string> query_value(std::string_view query, std::string_view name) {
  while (const auto pair = next_pair(query)) {
    if (form_equals(pair->name, name)) return form_decode(pair->value);
  }
  return std::nullopt;
}

}  // namespace treadle::http
