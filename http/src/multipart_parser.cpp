#include "multipart_parser.h"

#include <algorithm>

#include "chars.h"
#include "field_list.h"

namespace treadle::http {
namespace {

constexpr std::size_t kMaxBoundary = 70;

constexpr bool is_boundary_char(char c) noexcept {
  return chars::is_alpha(c) || chars::is_digit(c) ||
         std::string_view("'()+_,-./:=? ").find(c) != std::string_view::npos;
}

}  // namespace

bool is_multipart_boundary(std::string_view text) noexcept {
  return !text.empty() && text.size() <= kMaxBoundary && text.back() != ' ' &&
         std::all_of(text.begin(), text.end(), is_boundary_char);
}

MultipartParser::MultipartParser(std::string_view boundary, const MultipartLimits& limits)
    : limits_(limits), delimiter_("\r\n--" + std::string(boundary)) {}

MultipartParser::Step MultipartParser::fail(MultipartError why) noexcept {
  state_ = State::failed;
  error_ = why;
  return {Event::error, 0, {}};
}

bool MultipartParser::count_padding(std::size_t bytes) noexcept {
  padding_ += bytes;
  return padding_ <= kMaxPadding;
}

MultipartParser::Step MultipartParser::next(std::string_view bytes) {
  switch (state_) {
    case State::preamble:
    case State::body: return search(bytes);
    case State::delimiter:
    case State::dash:
    case State::tail:
    case State::tail_cr:
    case State::close_tail:
    case State::close_cr: return read_delimiter_line(bytes);
    case State::head: return read_head(bytes);
    case State::epilogue: return read_epilogue(bytes);
    case State::failed: break;
  }
  return {Event::error, 0, {}};
}

MultipartError MultipartParser::finish() noexcept {
  if (state_ == State::failed) return error_;
  // The CRLF behind the closing delimiter belongs to an epilogue, which there need not be.
  if (state_ == State::close_tail || state_ == State::epilogue) return MultipartError::none;
  fail(MultipartError::ended_early);
  return error_;
}

// How many bytes go on the match that stands at matched_; counts them in.
std::size_t MultipartParser::match(std::string_view bytes) noexcept {
  const std::string_view wanted = std::string_view(delimiter_).substr(matched_);
  const std::size_t most = std::min(wanted.size(), bytes.size());
  std::size_t n = 0;
  while (n < most && bytes[n] == wanted[n]) ++n;
  work_ += std::min(n + 1, most);
  matched_ += n;
  return n;
}

// Bytes that are part of no delimiter.
MultipartParser::Step MultipartParser::plain(std::string_view bytes) noexcept {
  if (state_ == State::body) return {Event::data, bytes.size(), bytes};
  if (!count_padding(bytes.size())) return fail(MultipartError::padding);
  return {Event::none, bytes.size(), {}};
}

MultipartParser::Step MultipartParser::found(std::size_t consumed) noexcept {
  const Event event = state_ == State::body ? Event::part_end : Event::none;
  state_ = State::delimiter;
  padding_ = 0;
  return {event, consumed, {}};
}

// In the preamble or in data: what comes before a delimiter, then the delimiter.
MultipartParser::Step MultipartParser::search(std::string_view bytes) {
  if (matched_ > 0) return go_on_matching(bytes);
  for (std::size_t from = 0;;) {
    const std::size_t cr = std::min(bytes.find('\r', from), bytes.size());
    work_ += cr - from;
    if (cr == bytes.size()) return plain(bytes);
    const std::size_t n = match(bytes.substr(cr));
    const bool whole = matched_ == delimiter_.size();
    if (whole || cr + n == bytes.size()) {
      if (cr == 0) return whole ? found(n) : Step{Event::none, n, {}};
      matched_ = 0;
      return plain(bytes.substr(0, cr));
    }
    matched_ = 0;
    from = cr + n;
  }
}

MultipartParser::Step MultipartParser::go_on_matching(std::string_view bytes) {
  const std::size_t n = match(bytes);
  if (matched_ == delimiter_.size()) return found(n);
  if (n == bytes.size()) return {Event::none, n, {}};
  const std::string_view held = std::string_view(delimiter_).substr(unreal_, matched_ - unreal_);
  matched_ = unreal_ = 0;
  if (held.empty()) return search(bytes);
  Step step = plain(held);
  if (step.event != Event::error) step.consumed = n;
  return step;
}

MultipartParser::Step MultipartParser::read_delimiter_line(std::string_view bytes) {
  const char c = bytes.front();
  const bool space = c == ' ' || c == '\t';
  ++work_;
  switch (state_) {
    case State::delimiter:
      if (c == '-') {
        state_ = State::dash;
        return {Event::none, 1, {}};
      }
      state_ = State::tail;
      [[fallthrough]];
    case State::tail:
      if (c == '\r')
        state_ = State::tail_cr;
      else if (!space)
        return fail(MultipartError::bad_delimiter);
      break;
    case State::dash:
      if (c != '-') return fail(MultipartError::bad_delimiter);
      state_ = State::close_tail;
      break;
    case State::close_tail:
      if (c == '\r')
        state_ = State::close_cr;
      else if (!space)
        return fail(MultipartError::bad_delimiter);
      break;
    default:  // behind a CR
      if (c != '\n') return fail(MultipartError::bad_delimiter);
      if (state_ == State::close_cr) {
        state_ = State::epilogue;
      } else {
        state_ = State::head;
        head_.clear();
        fields_.clear();
        line_ = 0;
      }
      padding_ = 0;
      return {Event::none, 1, {}};
  }
  if (!count_padding(1)) return fail(MultipartError::padding);
  return {Event::none, 1, {}};
}

MultipartParser::Step MultipartParser::read_epilogue(std::string_view bytes) {
  if (!count_padding(bytes.size())) return fail(MultipartError::padding);
  return {Event::none, bytes.size(), {}};
}

// One line, or what there is of it.
MultipartParser::Step MultipartParser::read_head(std::string_view bytes) {
  const std::size_t lf = bytes.find('\n');
  const bool ends = lf != std::string_view::npos;
  const std::size_t n = ends ? lf + 1 : bytes.size();
  work_ += n;
  if (n > limits_.part_head - std::min(head_.size(), limits_.part_head))
    return fail(MultipartError::head_too_large);
  head_.append(bytes.substr(0, n));
  if (!ends) return {Event::none, n, {}};
  const std::string_view line = std::string_view(head_).substr(line_);
  if (!line.ends_with("\r\n")) return fail(MultipartError::bad_head);
  if (line.size() > 2) {
    line_ = head_.size();
    return {Event::none, n, {}};
  }
  if (const MultipartError e = end_head(); e != MultipartError::none) return fail(e);
  state_ = State::body;
  matched_ = unreal_ = 2;
  return {Event::part, n, {}};
}

// Takes the lines of a whole head apart. It moves no more from here on.
MultipartError MultipartParser::end_head() {
  std::string_view rest = std::string_view(head_).substr(0, line_);
  while (!rest.empty()) {
    const std::string_view line = rest.substr(0, rest.find('\n') - 1);
    rest.remove_prefix(line.size() + 2);
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) return MultipartError::bad_head;
    const HeaderField field{line.substr(0, colon), trim_ows(line.substr(colon + 1))};
    // A folded line begins with white space, which no name does.
    if (!is_token(field.name) || !is_field_value(field.value)) return MultipartError::bad_head;
    if (fields_.size() == limits_.fields) return MultipartError::head_too_large;
    fields_.push_back(field);
  }
  return MultipartError::none;
}

}  // namespace treadle::http
