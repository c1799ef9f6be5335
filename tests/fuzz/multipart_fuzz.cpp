// Multipart bodies: the same parts however the bytes are cut, those that a plain search over the
// whole finds, and work that is linear.
//
// Input: a byte that cuts, a boundary, '\n', a body.
#include <optional>
#include <string>

#include "display_name.h"
#include "form_disposition.h"
#include "fuzz.h"
#include "multipart_parser.h"

using namespace treadle;
using namespace treadle::http;

namespace {

using Event = MultipartParser::Event;

constexpr MultipartLimits kLimits{.part_head = 200, .fields = 4};

// Heads and data of all parts; nothing when the body was refused.
std::optional<std::string> parse(std::string_view boundary, std::string_view body,
                                 std::size_t piece) {
  MultipartParser parser(boundary, kLimits);
  std::string out;
  bool open = false;
  for (std::size_t at = 0; at < body.size(); at += piece) {
    std::string_view rest = body.substr(at, piece);
    while (!rest.empty()) {
      const MultipartParser::Step step = parser.next(rest);
      FUZZ_CHECK(step.consumed <= rest.size());
      rest.remove_prefix(step.consumed);
      FUZZ_CHECK(step.data.empty() != (step.event == Event::data));
      FUZZ_CHECK(step.event != Event::data || open);
      FUZZ_CHECK(step.event != Event::part || !open);
      FUZZ_CHECK(step.event != Event::part_end || open);
      if (step.event == Event::error) return std::nullopt;
      if (step.event == Event::part) {
        open = true;
        for (const HeaderField& f : parser.headers())
          out.append(f.name).append(":").append(f.value).append("\n");
        out += "\n";
      }
      out += step.data;
      if (step.event == Event::part_end) {
        open = false;
        out += '\0';
      }
    }
  }
  FUZZ_CHECK(parser.work() <= 4 * body.size() + 100);
  if (parser.finish() != MultipartError::none) return std::nullopt;
  FUZZ_CHECK(!open);
  return out;
}

// Takes white space and a line's end off the front; false when something else stands there.
bool take_line_end(std::string_view& text) {
  const std::size_t spaces = text.find_first_not_of(" \t");
  if (spaces == std::string_view::npos || !text.substr(spaces).starts_with("\r\n")) return false;
  text.remove_prefix(spaces);
  return spaces < MultipartParser::kMaxPadding && (text.remove_prefix(2), true);
}

// The data of all parts by a search over the whole body; nothing when there is no such structure.
std::optional<std::string> plain_data(std::string_view boundary, std::string_view body) {
  const std::string delimiter = "\r\n--" + std::string(boundary);
  const std::string padded = "\r\n" + std::string(body);
  std::string_view rest = padded;
  const std::size_t first = rest.find(delimiter);
  if (first == std::string_view::npos) return std::nullopt;
  rest.remove_prefix(first + delimiter.size());
  std::string out;
  for (;;) {
    if (rest.starts_with("--")) return out;
    if (!take_line_end(rest)) return std::nullopt;
    // The head ends with an empty line, which may be its first. Its CRLF may begin a delimiter.
    const std::size_t head = rest.starts_with("\r\n") ? 0 : rest.find("\r\n\r\n");
    if (head == std::string_view::npos) return std::nullopt;
    rest.remove_prefix(head + (rest.starts_with("\r\n") ? 0 : 2));
    const std::size_t end = rest.find(delimiter);
    if (end == std::string_view::npos) return std::nullopt;
    if (end > 0) out += rest.substr(2, end - 2);
    out += '\0';
    rest.remove_prefix(end + delimiter.size());
  }
}

std::string only_data(const std::string& parts, std::string_view boundary, std::string_view body) {
  MultipartParser parser(boundary, kLimits);
  std::string out;
  while (!body.empty()) {
    const MultipartParser::Step step = parser.next(body);
    out += step.data;
    if (step.event == Event::part_end) out += '\0';
    body.remove_prefix(step.consumed);
  }
  FUZZ_CHECK(out.size() <= parts.size());
  return out;
}

void check_name(std::string_view sent) {
  const std::string name = display_name(sent);
  FUZZ_CHECK(!name.empty() && name.size() <= 200);
  FUZZ_CHECK(name.find_first_of(std::string_view("/\\:*?\"<>|\r\n\0", 12)) == std::string::npos);
  FUZZ_CHECK(name.front() != '.' && name.back() != '.');
  FUZZ_CHECK(display_name(name) == name);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const std::size_t piece = input.byte() + 1;
  const std::string_view boundary = input.until('\n');
  const std::string_view body = input.rest();
  check_name(body);
  const HeaderField field{"Content-Disposition", body};
  const std::vector<HeaderField> head{field};
  if (const auto d = read_form_disposition(HeaderView(head)); d && d->filename)
    FUZZ_CHECK(is_field_value(*d->filename) || !is_field_value(body));
  if (!is_multipart_boundary(boundary)) return 0;

  const auto whole = parse(boundary, body, body.size() + 1);
  FUZZ_CHECK(parse(boundary, body, 1) == whole);
  FUZZ_CHECK(parse(boundary, body, piece) == whole);
  if (whole) FUZZ_CHECK(plain_data(boundary, body) == only_data(*whole, boundary, body));
  return 0;
}
