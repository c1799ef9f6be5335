// One request after another: empty lines, request line, field lines, then the body.
//
// Every verdict on a head is that of its shortest prefix that deserves one, so that it is the same
// for all ways of cutting the stream into reads. The order: the method, byte by byte; the size of
// the request line; its content; the field lines by FieldScan; and once the head is complete, what
// llhttp says and what the fields mean. After an error the parser stays in it until reset().
#include "parser.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "chunked_reader.h"
#include "field_scan.h"
#include "head_fields.h"
#include "llhttp_machine.h"
#include "method.h"
#include "repeated_head.h"
#include "target.h"

namespace treadle::http {
namespace {

using HeadResult = RequestParser::HeadResult;
using BodyResult = RequestParser::BodyResult;

// RFC 9112 2.2 asks for one at least; more than a few is a flood.
constexpr int kMaxEmptyLines = 2;

constexpr std::size_t kCrlf = 2;

}  // namespace

struct RequestParser::Impl {
  enum class Phase : std::uint8_t { head, length, chunked, failed };

  // What the request line said. Its views are true only during the call that read it: the caller
  // may move the bytes between two calls.
  struct Line {
    RequestLine value;
    std::size_t size = 0;  // with its CRLF; 0: not read yet
  };

  Phase phase = Phase::head;
  int empty_lines = 0;
  bool method_known = false;
  std::size_t searched = 0;  // of the request line
  Line line;
  FieldScan scan;
  std::uint64_t left = 0;  // of a body with a length
  ParseError error;
  LlhttpMachine machine;
  ChunkedReader chunks;
  RepeatedHead repeated;

  // Nothing of a message has been seen: as begin_message() leaves it, but for the phase.
  bool fresh() const noexcept {
    return !method_known && searched == 0 && empty_lines == 0 && line.size == 0;
  }

  void begin_message() noexcept {
    phase = Phase::head;
    empty_lines = 0;
    method_known = false;
    searched = 0;
    line = {};
    scan.reset();
  }

  void expect_length(const RequestHead& head) noexcept {
    if (head.body != BodyKind::length) return;
    phase = Phase::length;
    left = head.content_length;
  }

  HeadResult fail(ParseError why) noexcept {
    phase = Phase::failed;
    error = why;
    return {ParseStatus::error, 0, why};
  }

  HeadResult parse_head(std::string_view bytes, const ParserLimits& limits, RequestHead& head);
  std::optional<std::size_t> skip_empty_lines(std::string_view bytes) noexcept;
  HeadResult read_line(std::string_view bytes, const ParserLimits& limits) noexcept;
  HeadResult finish(std::string_view bytes, RequestHead& head);
  void name_refused(std::string_view bytes, RequestHead& head) const noexcept;
  BodyResult parse_body(std::string_view bytes, const ParserLimits& limits);
};

// How many bytes of empty lines the stream begins with; nothing for too many, or for half of one.
std::optional<std::size_t> RequestParser::Impl::skip_empty_lines(std::string_view bytes) noexcept {
  std::size_t skipped = 0;
  while (skipped < bytes.size() && (bytes[skipped] == '\r' || bytes[skipped] == '\n')) {
    if (bytes[skipped] == '\n' || empty_lines == kMaxEmptyLines) return std::nullopt;
    if (skipped + 1 == bytes.size()) break;  // its LF may come
    if (bytes[skipped + 1] != '\n') return std::nullopt;
    ++empty_lines;
    skipped += kCrlf;
  }
  return skipped;
}

HeadResult RequestParser::Impl::parse_head(std::string_view bytes, const ParserLimits& limits,
                                           RequestHead& head) {
  std::size_t skipped = 0;
  if (!method_known && searched == 0) {
    const auto empty = skip_empty_lines(bytes);
    if (!empty) return fail({400, "empty lines instead of a request"});
    skipped = *empty;
    bytes.remove_prefix(skipped);
    if (bytes.empty() || bytes.front() == '\r') return {ParseStatus::need_more, skipped, {}};
  }

  const bool line_is_old = line.size != 0;
  if (!line_is_old) {
    HeadResult result = read_line(bytes, limits);
    if (result.status != ParseStatus::complete) {
      result.consumed = result.status == ParseStatus::need_more ? skipped : 0;
      return result;
    }
  }

  const std::size_t max = std::max(limits.head, line.size) - line.size;
  const FieldScan::Result fields = scan.scan(bytes.substr(line.size), max, limits.headers);
  if (fields.status == ParseStatus::error) return fail(fields.error);
  if (fields.status == ParseStatus::need_more) return {ParseStatus::need_more, skipped, {}};

  bytes = bytes.substr(0, line.size + fields.size);
  if (line_is_old) line.value = *parse_request_line(bytes.substr(0, line.size - kCrlf));
  HeadResult result = finish(bytes, head);
  if (result.status != ParseStatus::complete) return result;
  repeated.note(bytes, limits, head);
  result.consumed += skipped;
  return result;
}

HeadResult RequestParser::Impl::read_line(std::string_view bytes,
                                          const ParserLimits& limits) noexcept {
  // The head's limit fires behind the line's: a line that fits leaves room for its CRLF.
  const std::size_t max = std::min(limits.request_line, std::max(limits.head, kCrlf) - kCrlf);
  if (!method_known) {
    const MethodVerdict verdict = judge_method(bytes.substr(0, max));
    if (verdict.status == ParseStatus::error) return fail(verdict.error);
    method_known = verdict.status == ParseStatus::complete;
  }
  const std::size_t lf = bytes.find('\n', searched);
  const bool complete = lf != std::string_view::npos;
  const std::size_t end = complete ? lf : bytes.size();
  const bool has_cr = end > 0 && bytes[end - 1] == '\r';
  const std::size_t size = end - (has_cr ? 1 : 0);
  if (size > max) return fail({414, "request line too long"});
  if (!complete) {
    searched = bytes.size();
    return {};
  }
  if (!has_cr) return fail({400, "line feed without its return"});
  const auto read = parse_request_line(bytes.substr(0, size));
  if (!read) return fail(read.error());
  line = {*read, lf + 1};
  return {ParseStatus::complete, 0, {}};
}

// `bytes` is the whole head, all its lines well formed.
HeadResult RequestParser::Impl::finish(std::string_view bytes, RequestHead& head) {
  head.clear();
  head.method = line.value.method;
  head.target = line.value.target;
  head.path = line.value.parts.path;
  head.query = line.value.parts.query;
  head.host = line.value.parts.authority;
  head.minor_version = line.value.minor_version;

  if (const char* reason = machine.head(bytes, head.headers)) return fail({400, reason});
  if (head.headers.size() != scan.fields()) return fail({400, "ambiguous header section"});
  if (const auto refusal = interpret_fields(head)) return fail(*refusal);
  // The same framing read twice, by us and by llhttp, is the last guard against smuggling.
  const bool chunked = head.body == BodyKind::chunked;
  if (machine.chunked() != chunked || machine.content_length() != head.content_length) {
    return fail({400, "ambiguous framing"});
  }

  begin_message();
  chunks.clear_trailers();
  if (chunked) {
    phase = Phase::chunked;
    chunks.begin(machine);
  }
  expect_length(head);
  return {ParseStatus::complete, bytes.size(), {}};
}

// What can be said about a request that was refused; `bytes` as parse_head() got them.
void RequestParser::Impl::name_refused(std::string_view bytes, RequestHead& head) const noexcept {
  head.clear();
  if (!method_known) return;
  bytes.remove_prefix(std::min(bytes.find_first_not_of("\r\n"), bytes.size()));
  const std::size_t space = bytes.find(' ');
  head.method = known_method(bytes.substr(0, space));
  if (line.size == 0) return;
  bytes.remove_prefix(space + 1);
  head.target = bytes.substr(0, bytes.find(' '));
}

BodyResult RequestParser::Impl::parse_body(std::string_view bytes, const ParserLimits& limits) {
  switch (phase) {
    case Phase::failed: return {ParseStatus::error, 0, {}, error};
    case Phase::head: return {ParseStatus::complete, 0, {}, {}};  // there is none, or it has ended
    case Phase::length: {
      const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(left, bytes.size()));
      left -= n;
      if (left > 0) return {ParseStatus::need_more, n, bytes.substr(0, n), {}};
      phase = Phase::head;
      return {ParseStatus::complete, n, bytes.substr(0, n), {}};
    }
    case Phase::chunked: break;
  }
  const BodyResult result = chunks.read(bytes, limits);
  if (result.status == ParseStatus::error) fail(result.error);
  if (result.status == ParseStatus::complete) phase = Phase::head;
  return result;
}

void RequestHead::clear() noexcept {
  std::vector<HeaderField> kept = std::move(headers);
  kept.clear();
  *this = RequestHead{};
  headers = std::move(kept);
}

RequestParser::RequestParser() : impl_(std::make_unique<Impl>()) {}
RequestParser::~RequestParser() = default;

HeadResult RequestParser::parse_head(std::string_view bytes, const ParserLimits& limits,
                                     RequestHead& head) {
  if (impl_->phase == Impl::Phase::failed) return {ParseStatus::error, 0, impl_->error};
  impl_->phase = Impl::Phase::head;  // a body left unread is the caller's to deal with
  if (impl_->fresh() && impl_->repeated.recall(bytes, limits, head)) {
    impl_->chunks.clear_trailers();
    impl_->expect_length(head);
    return {ParseStatus::complete, impl_->repeated.size(), {}};
  }
  const HeadResult result = impl_->parse_head(bytes, limits, head);
  if (result.status == ParseStatus::error) impl_->name_refused(bytes, head);
  return result;
}

BodyResult RequestParser::parse_body(std::string_view bytes, const ParserLimits& limits) {
  return impl_->parse_body(bytes, limits);
}

const std::vector<HeaderField>& RequestParser::trailers() const noexcept {
  return impl_->chunks.trailers();
}

void RequestParser::reset() noexcept {
  if (impl_->phase != Impl::Phase::head || !impl_->fresh()) impl_->begin_message();
  impl_->chunks.clear_trailers();
}

}  // namespace treadle::http
