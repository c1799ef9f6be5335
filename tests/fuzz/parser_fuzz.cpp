// The parser says the same however its bytes are cut, and what it accepts is unambiguous.
//
// Input: a byte that picks limits, a byte that seeds the cuts, then the stream.
#include <string>
#include <string_view>

#include "cuts.h"
#include "fuzz.h"
#include "head_fields.h"
#include "http/parse_stream.h"
#include "method.h"
#include "target.h"

using namespace treadle;
using http::RequestHead;

namespace {

http::ParserLimits limits_for(std::uint8_t pick) {
  http::ParserLimits limits;
  if (pick & 1) limits.request_line = pick >> 1;
  if (pick & 2) limits.head = pick;
  if (pick & 4) limits.headers = pick >> 5;
  if (pick & 8) limits.chunk_extension = pick >> 4;
  if (pick & 16) limits.trailers = pick >> 2;
  return limits;
}

void check_head(const RequestHead& head) {
  const http::HeaderView fields(head.headers);
  FUZZ_CHECK(!http::known_method(head.method).empty());
  FUZZ_CHECK(head.minor_version == 0 || head.minor_version == 1);
  FUZZ_CHECK(head.path == "*" || head.path.starts_with('/'));
  FUZZ_CHECK(head.host.empty() ? head.minor_version == 0 : http::valid_authority(head.host));
  FUZZ_CHECK(fields.count("Host") == 1 || (head.minor_version == 0 && !fields.has("Host")));

  const std::size_t encodings = fields.count("Transfer-Encoding");
  const std::size_t lengths = fields.count("Content-Length");
  FUZZ_CHECK(encodings + lengths <= 1);
  FUZZ_CHECK((head.body == http::BodyKind::chunked) == (encodings == 1));
  FUZZ_CHECK(lengths == 1 || head.content_length == 0);
  FUZZ_CHECK((head.body == http::BodyKind::length) == (head.content_length > 0));
  if (encodings == 1) {
    FUZZ_CHECK(http::equal_ignore_case(fields.get("Transfer-Encoding"), "chunked"));
  }
  if (fields.has_token("Connection", "close")) FUZZ_CHECK(!head.keep_alive);
  for (const auto& [name, value] : fields) {
    FUZZ_CHECK(http::is_token(name));
    FUZZ_CHECK(http::is_field_value(value));
    FUZZ_CHECK(!value.starts_with(' ') && !value.ends_with(' '));
    FUZZ_CHECK(!value.starts_with('\t') && !value.ends_with('\t'));
  }
}

// An accepted head, written anew from what was read of it, is read as the same.
void check_rewritten(const RequestHead& head) {
  std::string text;
  text.append(head.method).append(" ").append(head.target);
  text += head.minor_version == 1 ? " HTTP/1.1\r\n" : " HTTP/1.0\r\n";
  for (const auto& [name, value] : head.headers) {
    text.append(name).append(": ").append(value).append("\r\n");
  }
  text += "\r\n";
  http::RequestParser parser;
  RequestHead again;
  http::ParserLimits limits;
  limits.head = limits.request_line = text.size() + 2;
  // The third time it may be a head that is remembered.
  for (int times = 0; times < 3; ++times) {
    const auto result = parser.parse_head(text, limits, again);
    FUZZ_CHECK(result.status == http::ParseStatus::complete && result.consumed == text.size());
    FUZZ_CHECK(again.path == head.path && again.query == head.query && again.host == head.host);
    FUZZ_CHECK(again.body == head.body && again.content_length == head.content_length);
    FUZZ_CHECK(again.headers.size() == head.headers.size());
    for (std::size_t i = 0; i < head.headers.size(); ++i)
      FUZZ_CHECK(again.headers[i].name == head.headers[i].name &&
                 again.headers[i].value == head.headers[i].value);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const http::ParserLimits limits = limits_for(input.byte());
  const std::uint8_t seed = input.byte();
  const std::string_view stream = input.rest();

  test::StreamParser whole(limits);
  whole.feed(stream);
  FUZZ_CHECK(whole.transcript() == test::transcript_of_pieces(fuzz::cut(stream, seed), limits));
  if (stream.size() <= 1024) {
    FUZZ_CHECK(whole.transcript() == test::transcript_byte_by_byte(stream, limits));
  }

  http::RequestParser parser;
  RequestHead head;
  if (parser.parse_head(stream, limits, head).status == http::ParseStatus::complete) {
    check_head(head);
    check_rewritten(head);
  }
  return 0;
}
