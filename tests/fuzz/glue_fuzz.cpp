// A connection's stream of requests, cut at random: every cut gives the same verdicts, and every
// request that is accepted is the one that a second reader finds there.
//
// Input: a byte that seeds the cuts, then the stream.
#include <string>
#include <string_view>

#include <treadle/http/header.h>

#include "cuts.h"
#include "fuzz.h"
#include "http/parse_stream.h"
#include "reference.h"

using namespace treadle;
using http::ParseStatus;

namespace {

fuzz::Fields owned(const std::vector<http::HeaderField>& fields) {
  fuzz::Fields out;
  for (const auto& [name, value] : fields) out.emplace_back(name, value);
  return out;
}

// What the parser says of the stream's first request, and how many bytes it took.
struct First {
  ParseStatus status = ParseStatus::need_more;
  fuzz::Message message;
};

First parse_first(http::RequestParser& parser, std::string_view stream) {
  First first;
  http::RequestHead head;
  const http::ParserLimits limits;
  const auto result = parser.parse_head(stream, limits, head);
  first.status = result.status;
  if (result.status != ParseStatus::complete) return first;
  fuzz::Message& m = first.message;
  m.method = head.method;
  m.target = head.target;
  m.version = head.minor_version == 1 ? "HTTP/1.1" : "HTTP/1.0";
  m.fields = owned(head.headers);
  m.size = result.consumed;
  if (head.body == http::BodyKind::none) return first;
  do {
    const auto body = parser.parse_body(stream.substr(m.size), limits);
    first.status = body.status;
    if (body.status == ParseStatus::error) return first;
    m.body += body.data;
    m.size += body.consumed;
    if (body.consumed == 0) break;
  } while (first.status == ParseStatus::need_more);
  m.trailers = owned(parser.trailers());
  return first;
}

// Whether nothing about it is out of the ordinary, so that the parser has no reason to refuse it.
bool plain(const fuzz::Message& m) {
  if (m.method != "GET" && m.method != "POST") return false;
  if (!m.target.starts_with('/') || m.target.size() > 100) return false;
  const auto simple = [](std::string_view text) {
    return text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789/.-") ==
           std::string_view::npos;
  };
  if (!simple(m.target) || m.version != "HTTP/1.1" || !m.trailers.empty()) return false;
  std::size_t hosts = 0;
  for (const auto& [name, value] : m.fields) {
    if (http::equal_ignore_case(name, "Expect")) return false;
    if (!http::equal_ignore_case(name, "Host")) continue;
    if (++hosts > 1 || value.empty() || !simple(value)) return false;
    if (value.find('/') != std::string::npos) return false;
  }
  return hosts == 1 && m.fields.size() <= 100;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const std::uint8_t seed = input.byte();
  const std::string_view stream = input.rest();

  test::StreamParser whole;
  whole.feed(stream);
  FUZZ_CHECK(whole.transcript() == test::transcript_of_pieces(fuzz::cut(stream, seed)));
  FUZZ_CHECK(whole.transcript() ==
             test::transcript_of_pieces(fuzz::cut(stream, static_cast<std::uint8_t>(seed + 7))));

  // Request by request. One parser goes on, as a connection's does.
  http::RequestParser parser;
  fuzz::Reference reference(stream);
  std::string_view rest = stream;
  for (;;) {
    const First first = parse_first(parser, rest);
    const auto other = reference.message();
    if (first.status != ParseStatus::complete) {
      // Extensions have a limit, so a plain message with a long one may be refused; nothing else.
      const bool short_lines = stream.size() < 256;
      FUZZ_CHECK(!other || !plain(*other) || !short_lines);
      break;
    }
    FUZZ_CHECK(other.has_value());
    const fuzz::Message& m = first.message;
    FUZZ_CHECK(m.method == other->method && m.target == other->target);
    FUZZ_CHECK(m.version == other->version && m.fields == other->fields);
    FUZZ_CHECK(m.body == other->body && m.trailers == other->trailers);
    FUZZ_CHECK(m.size == other->size);
    rest.remove_prefix(m.size);
  }
  return 0;
}
