// Request targets taken apart: percent-decoding, path segments, queries. Pure functions over bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <treadle/http/query.h>

namespace treadle::http {

// A path split on '/' and each segment decoded once (RFC 3986 2.4), so that an encoded slash stays
// inside its segment and nothing is ever decoded twice.
//
//   "/a/b%2Fc/"  ->  segments {"a", "b/c"}, trailing_slash
//   "/"          ->  no segments, trailing_slash
//
// Keeps its memory from one assign() to the next. Segments are views into the path given to
// assign() when it has no escapes, else into a buffer of its own.
class DecodedPath {
 public:
  enum class Status : std::uint8_t {
    clean,    // as a client should send it: the router may match it
    unclean,  // has empty or dot segments, encoded ones too: see clean_path()
    bad,      // does not begin with '/', has a malformed escape, or %00: answer 400
  };

  DecodedPath() = default;
  DecodedPath(const DecodedPath&) = delete;
  DecodedPath& operator=(const DecodedPath&) = delete;

  // Takes an encoded path, without query. Views into it must stay valid as long as segments are
  // used. After `bad` there are no segments; after `unclean` they stand as they came.
  Status assign(std::string_view path);

  std::span<const std::string_view> segments() const noexcept { return segments_; }
  bool trailing_slash() const noexcept { return trailing_slash_; }

  // The decoded path from segment `index` on, joined by '/', without a leading slash and with the
  // trailing one if there is one. An encoded slash can no longer be told from a real one here:
  // whatever opens files looks at segments() instead.
  std::string_view rest(std::size_t index) const noexcept;
  // The whole decoded path.
  std::string_view text() const noexcept { return text_; }

 private:
  std::string buffer_;     // decoded text, when the path had escapes
  std::string_view text_;  // the decoded path; points into buffer_ or into the path given
  std::vector<std::string_view> segments_;
  bool trailing_slash_ = false;
};

// The path without its empty and dot segments (RFC 3986 5.2.4, encoded dots too), still encoded:
// where a client with an unclean path is redirected to. Begins with exactly one '/', never with
// "//" or "/\", so that as a Location it cannot name another host. Give it a path that assign()
// did not call bad.
std::string clean_path(std::string_view path);

// Decodes every %XX of `text`; nothing when an escape is malformed. '+' stays as it is.
std::optional<std::string> percent_decode(std::string_view text);

// Encodes everything but unreserved characters (RFC 3986 2.3), '/' included.
std::string percent_encode(std::string_view text);

enum class QueryError : std::uint8_t { bad_escape, too_many };

// All pairs of a query or an urlencoded form, decoded ('+' is a space), in the order they came.
// Pairs are parted by '&'; empty ones are dropped; without '=' the value is empty.
std::expected<std::vector<QueryPair>, QueryError> parse_query(std::string_view query,
                                                              std::size_t max_pairs);

// The decoded value of the first pair called `name` (given decoded); nothing when there is none or
// when its value has a malformed escape. Allocates only for a value longer than fits a string.
std::optional<std::string> query_value(std::string_view query, std::string_view name);

}  // namespace treadle::http
